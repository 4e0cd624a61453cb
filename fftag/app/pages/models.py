"""Models: runs beside each other, and one of them in full."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from fftag.app import shared
from fftag.app.charts import interval_bars, line_chart
from fftag.app.evaluations import (
    HEADLINES,
    PICTURES,
    Error,
    Evaluation,
    differences,
    epochs,
    evaluations,
    headline_figures,
    label_figures,
    surest_errors,
)
from fftag.app.model_choice import model_folders, names_of
from fftag.app.parts import missing, page, plain
from fftag.app.thumbnails import Wanted
from fftag.errors import FftagError

CURVES = ["mAP", "micro_f1", "macro_f1", "val_loss", "train_loss", "lr"]
VIEWS = ["Compare", "Training", "Labels", "Plots", "Mistakes"]
PERCENT = st.column_config.NumberColumn(format="percent")


def show() -> None:
    given = shared.settings()
    folders = model_folders(given.model, given.runs)
    if not folders:
        missing("model")
        return
    names = dict(zip(folders, names_of(folders), strict=True))
    found: dict[Path, list[Evaluation]] = {}
    for folder in folders:
        try:
            found[folder] = evaluations(folder)
        except FftagError as error:
            st.warning(plain(error))
    chosen = st.multiselect(
        "Models", folders, folders[:4], format_func=names.__getitem__, key="models",
        persist_state="session",
    )  # fmt: skip
    view = st.segmented_control(
        "View", VIEWS, default=VIEWS[0], required=True, key="models_view", persist_state="session"
    )
    if not chosen:
        st.info("Choose at least one model.")
    elif view == "Compare":
        show_comparison([one for one in chosen if one in found], names, found)
    elif view == "Training":
        show_training(chosen, names)
    else:
        show_one(chosen, names, found, view)


def show_comparison(
    folders: list[Path], names: dict[Path, str], found: dict[Path, list[Evaluation]]
) -> None:
    splits = list(dict.fromkeys(one.split for folder in folders for one in found[folder]))
    if not splits:
        st.info("None was evaluated yet: `fftag evaluate MODEL --data DATASET`.")
        return
    split = st.selectbox("Split", splits, key="models_split")
    there = [
        next(one for one in found[folder] if one.split == split)
        for folder in folders
        if any(one.split == split for one in found[folder])
    ]
    figures = headline_figures(there, [names[one.model] for one in there])
    metric = st.selectbox("Figure", list(HEADLINES.values()), index=3, key="models_metric")
    rows = figures[figures["metric"] == metric].rename(columns={"model": "name"})
    if not rows.empty:
        chart = interval_bars(rows[["name", "value", "low", "high"]], metric, ".1%")
        st.altair_chart(chart, alt=f"{metric} of each model with its 95 % interval")
    st.caption("Intervals are 95 %, from random redraws of the photos evaluated on.")
    st.dataframe(
        figures, hide_index=True, alt="Figures of each model",
        column_config=dict.fromkeys(["value", "low", "high"], PERCENT),
    )  # fmt: skip
    if len(there) > 1:
        show_differences([one.model for one in there], names, split)


def show_differences(folders: list[Path], names: dict[Path, str], split: str) -> None:
    """Which differences are more than chance."""
    st.header("Differences", anchor=False)
    first = names[folders[0]]
    st.caption(plain(f"Each model less {first}, on the same redraws of the same photos."))
    if st.button("Compute the differences", key="models_differences"):
        table = differences(folders, [names[one] for one in folders], split)
        st.dataframe(
            table, hide_index=True, alt="Differences between models",
            column_config={
                **dict.fromkeys(
                    ["value", "low", "high"], st.column_config.NumberColumn(format="%+.4f")
                ),
                "better in": PERCENT,
            },
        )  # fmt: skip


def show_training(folders: Sequence[Path], names: dict[Path, str]) -> None:
    metric = st.selectbox("Figure", CURVES, key="models_curve")
    rows = epochs(folders, [names[one] for one in folders], metric)
    if rows.empty:
        st.info("There is no training log with that figure beside these models.")
        return
    chart = line_chart(rows, metric, ".3~g", dated=False)
    st.altair_chart(chart, alt=f"{metric} by epoch, on the validation photos")


def show_one(
    folders: Sequence[Path],
    names: dict[Path, str],
    found: dict[Path, list[Evaluation]],
    view: str,
) -> None:
    """One model: its labels, plots or mistakes."""
    folder = st.selectbox("Model", folders, format_func=names.__getitem__, key="models_one")
    splits = found.get(folder, [])
    if not splits:
        st.info("It was not evaluated yet: `fftag evaluate MODEL --data DATASET`.")
        return
    by_split = {one.split: one for one in splits}
    one = by_split[st.selectbox("Split", list(by_split), key="models_one_split")]
    st.caption(f"{one.content['overall']['photos']:,} photos")
    if view == "Labels":
        show_labels(one)
    elif view == "Plots":
        show_plots(one)
    else:
        show_mistakes(one)


def show_labels(one: Evaluation) -> None:
    figures = label_figures(one)
    figure = st.selectbox("Figure", ["recall", "precision"], key="models_label_figure")
    rows = pd.DataFrame(
        {
            "name": figures["label"],
            "value": figures[figure],
            "low": figures[f"{figure} low"],
            "high": figures[f"{figure} high"],
        }
    ).dropna()
    st.altair_chart(
        interval_bars(rows, figure, ".0%"), alt=f"{figure} of each label with its 95 % interval"
    )
    shares = [f"{of}{end}" for of in ("precision", "recall") for end in ("", " low", " high")]
    st.dataframe(
        figures, hide_index=True, alt="Figures of each label",
        column_config={
            **dict.fromkeys([*shares, "F1", "AP"], PERCENT),
            "threshold": st.column_config.NumberColumn(format="%.3f"),
        },
    )  # fmt: skip


def show_plots(one: Evaluation) -> None:
    there = {name: one.folder / name for name in PICTURES if (one.folder / name).is_file()}
    if not there:
        st.info("There are no plots beside this evaluation.")
    for name, file in there.items():
        st.header(PICTURES[name], anchor=False)
        st.image(file.read_bytes(), alt=PICTURES[name])


def show_mistakes(one: Evaluation) -> None:
    labels = [row["label"] for row in one.content["per_label"]]
    label = st.selectbox("Label", labels, index=None, placeholder="all", key="models_mistake")
    wrong, missed = surest_errors(one, label)
    for heading, errors in (
        ("The surest tags that are wrong", wrong),
        ("The labels missed most surely", missed),
    ):
        st.header(heading, anchor=False)
        if errors:
            show_errors(errors)
        else:
            st.caption("There are none.")


def show_errors(errors: Sequence[Error]) -> None:
    """Photos with the label and its score, where the manifest says where they lie."""
    data = shared.settings().data
    if data is None:
        st.caption("With `--data MANIFEST` their photos are shown.")
        rows = [vars(one) for one in errors]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Mistakes")
        return
    wanted = [Wanted(one.image) for one in errors]
    with st.container(horizontal=True, gap="small"):
        for one, picture in zip(errors, shared.manifest_pictures(data, wanted), strict=True):
            with st.container(width=165, border=True, gap="small"):
                if picture.jpeg is not None:
                    st.image(picture.jpeg, alt=one.image, width="stretch")
                else:
                    st.caption(plain(picture.error))
                st.caption(plain(f"{one.label}: {one.score:.2f}"))


page("Models", "How good is each model, and where does it err?", show)
