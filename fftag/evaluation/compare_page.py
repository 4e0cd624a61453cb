"""The page and the files of a comparison of runs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fftag.base.atomic import Kind, has_keys, make_folder, write_text
from fftag.base.page import Section, write_page
from fftag.base.plots import to_png
from fftag.evaluation import compare_plots
from fftag.evaluation.compare import (
    DIFFERENCES,
    LOWER_IS_BETTER,
    TABLE,
    Comparison,
    points,
    seconds,
)

PAGE = "compare.html"
FIGURES = "compare.json"
COMPARISON = Kind("the figures of a comparison", has_keys("runs", "differences"))


def write_comparison(out: Path, comparison: Comparison) -> list[Path]:
    """Writes `compare.html` and `compare.json`.

    Args:
        out: the folder; made if it is not there.
        comparison: what to write.

    Returns:
        The files written.

    Raises:
        FftagError: the folder cannot be made or written to.
    """
    make_folder(out)
    content = comparison.to_json()
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(out / FIGURES, text + "\n", COMPARISON)
    lead = (
        f"{len(comparison.runs)} models on the same {content['photos']:,} photos of split "
        f"{content['split']}. Intervals are 95 %, from {comparison.resamples:,} random redraws of "
        "the photos, the same redraws for every model."
    )
    sections = [_table(comparison), _differences(comparison), _curves(comparison)]
    logged = [run for run in comparison.runs if run.log]
    if logged:
        sections.append(_epochs(comparison))
    sections.append(_labels(comparison))
    write_page(out / PAGE, "Models compared", [one for one in sections if one], lead)
    return [out / PAGE, out / FIGURES]


def _table(comparison: Comparison) -> Section:
    rows: list[dict[str, object]] = []
    for run in comparison.runs:
        figures, around = comparison.overall[run.name], comparison.intervals[run.name]
        cells = {
            title: _percent(figures[metric], around[metric]) for metric, title in TABLE.items()
        }
        epochs: object = len(run.log) or ""
        about = {"run": run.name, "architecture": run.photos.about.architecture}
        spent = seconds(run.training_seconds)
        rows.append(about | cells | {"epochs": epochs, "training": spent})
    for baseline in comparison.baselines.values():
        cells = {title: _percent(baseline.overall[metric]) for metric, title in TABLE.items()}
        rows.append({"run": baseline.name, "architecture": "", **cells})
    table = pd.DataFrame(rows, dtype=object).fillna("")
    text = [f"{one.name}: {one.note}." for one in comparison.baselines.values()]
    text.append(
        "Exact match is the share of photos whose tags are exactly their labels (subset "
        "accuracy); precision and recall are over all tags together (micro). Training is the wall "
        "time of all epochs."
    )
    right = frozenset([*TABLE.values(), "epochs", "training"])
    return Section("Figures", text, [], table, right=right)


def _differences(comparison: Comparison) -> Section | None:
    if not comparison.differences:
        return None
    rows = []
    for one in comparison.differences:
        unit = points(one.metric)
        digits = 2 if unit > 1 else 4
        rows.append(
            {
                "run": one.run,
                "metric": DIFFERENCES[one.metric]
                + (" (lower is better)" if one.metric in LOWER_IS_BETTER else ""),
                **{
                    title: "" if np.isnan(value) else f"{value * unit:+.{digits}f}"
                    for title, value in (
                        ("difference", one.value),
                        ("low", one.low),
                        ("high", one.high),
                    )
                },
                "better in": f"{one.better:.0%}",
            }
        )
    text = [
        f"Each run less {comparison.runs[0].name}, in percentage points; the Brier score as it "
        "is. An interval that leaves out 0 is a difference that another draw of photos would "
        "hardly undo. It does not cover the luck of training: another seed trains another model.",
        "Better in: the share of the redraws in which the run has the better figure.",
    ]
    right = frozenset(["difference", "low", "high", "better in"])
    images = [(to_png(compare_plots.forest(comparison)), "")]
    return Section("Differences", text, images, pd.DataFrame(rows), right=right)


def _curves(comparison: Comparison) -> Section:
    text = ["Each point of a curve is one threshold for all labels; a dot is where the run tags."]
    picture = to_png(compare_plots.precision_recall(comparison.runs))
    return Section("Precision and recall", text, [(picture, "")])


def _epochs(comparison: Comparison) -> Section:
    text = [
        "Measured on the validation photos after every epoch, from the training logs; the dot is "
        "the epoch with the highest mAP. Micro-F1 is at the best threshold of that epoch."
    ]
    without = [run.name for run in comparison.runs if not run.log]
    if without:
        text.append(f"Without a training log: {'; '.join(without)}.")
    picture = to_png(compare_plots.by_epoch(comparison.runs))
    return Section("By epoch", text, [(picture, "")])


def _labels(comparison: Comparison) -> Section:
    """F1 of each label in each run, the most frequent label on top."""
    first = comparison.runs[0].photos
    support = first.targets.sum(axis=0, dtype=np.int64)
    columns: dict[str, object] = {"label": list(first.labels.names), "support": support}
    for run in comparison.runs:
        photos = run.photos
        right = (photos.targets & photos.tags).sum(axis=0, dtype=np.int64)
        total = support + photos.tags.sum(axis=0, dtype=np.int64)
        undefined = np.full(len(right), np.nan)
        columns[run.name] = np.divide(2 * right, total, out=undefined, where=total > 0)
    table = pd.DataFrame(columns).sort_values("support", ascending=False, kind="stable")
    return Section("F1 by label", ["Support is the number of photos with the label."], [], table)


def _percent(value: float, around: tuple[float, float] = (np.nan, np.nan)) -> str:
    if np.isnan(value):
        return ""
    text = f"{value:.2%}"
    return text if np.isnan(around[0]) else f"{text} ({100 * around[0]:.1f}-{100 * around[1]:.1f})"
