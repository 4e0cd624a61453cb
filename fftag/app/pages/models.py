"""Models: the page of an evaluation, or of a comparison of several."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from fftag.app import shared
from fftag.app.model_choice import model_folders, names_of
from fftag.app.parts import missing, page, plain, show_written
from fftag.app.written_pages import evaluate, evaluation_page, predictions_of

SPLITS = ["test", "val", "train", "all"]
CURVES = "curves.png"


def show() -> None:
    given = shared.settings()
    folders = model_folders(given.model, given.runs)
    if not folders:
        missing("model")
        return
    names = dict(zip(folders, names_of(folders), strict=True))
    chosen = st.multiselect(
        "Models", folders, folders[:1], format_func=names.__getitem__, key="models",
        help="One is shown in full, several are compared with the first.",
        persist_state="session",
    )  # fmt: skip
    split = st.selectbox("Split", SPLITS, key="models_split", persist_state="session")
    if not chosen:
        st.info("Choose at least one model.")
        return
    lacking = [one for one in chosen if not predictions_of(one, split).is_file()]
    if lacking:
        offer_evaluation(lacking, names, split)
    elif len(chosen) > 1:
        show_written(shared.comparison(chosen, split), "Models compared")
    else:
        show_written(evaluation_page(chosen[0], split), f"Evaluation of {names[chosen[0]]}")
        show_training(chosen[0])


def offer_evaluation(lacking: Sequence[Path], names: Mapping[Path, str], split: str) -> None:
    """Says what was not evaluated, and evaluates it where the app may."""
    given = shared.settings()
    said = ", ".join(names[one] for one in lacking)
    st.info(
        plain(f"Not evaluated yet on split {split}: {said}.")
        + f" `fftag evaluate MODEL --data DATASET --split {split}` does it."
    )
    if given.data is not None and given.local and st.button("Evaluate now", key="models_evaluate"):
        with st.spinner(plain(f"Evaluating {said}"), show_time=True), shared.DRAWING:
            for model in lacking:
                evaluate(model, given.data, split)
        st.rerun()


def show_training(model: Path) -> None:
    """The curves that training left."""
    if (model / CURVES).is_file():
        with st.expander("Training"):
            st.image((model / CURVES).read_bytes(), alt="Loss and validation metrics by epoch")


page("Models", "How good is a model, and is another one better?", show)
