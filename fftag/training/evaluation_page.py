"""The page of an evaluation: the model beside its baselines, by label, and by threshold."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fftag.atomic import replacing
from fftag.errors import FftagError
from fftag.page import Section, write_page
from fftag.plots import to_png
from fftag.training import evaluation_plots
from fftag.training.baselines import Baseline
from fftag.training.metrics import Evaluation

PAGE = "evaluation.html"
IN_PLOT = ("chance", "best_constant")
TABLE_METRICS = {
    "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss (lower is better)",
    "micro_f1": "micro-F1",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "macro_f1": "macro-F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "weighted_f1": "weighted F1",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
    "samples_f1": "samples-F1",
    "samples_precision": "samples precision",
    "samples_recall": "samples recall",
    "mAP": "mAP",
    "micro_ap": "micro AP",
    "tags_per_photo": "tags per photo",
}


def to_json(evaluation: Evaluation, baselines: dict[str, Baseline]) -> dict[str, Any]:
    """What `metrics.json` holds: `overall`, `per_label` and `baselines`; None where not defined."""
    return {
        **evaluation.to_json(),
        "baselines": {name: baseline.to_json() for name, baseline in baselines.items()},
    }


def write(
    out: Path,
    title: str,
    evaluation: Evaluation,
    baselines: dict[str, Baseline],
    targets: np.ndarray,
    scores: np.ndarray,
) -> list[Path]:
    """Writes `evaluation.html`, which holds its plots, and each plot as a PNG beside it.

    Args:
        out: the folder; made if it is not there.
        title: of the page, such as the model's name and the split.
        evaluation: of `targets` and `scores`.
        baselines: as `baselines.compute` gives them.
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels].

    Returns:
        The files written, the page first.

    Raises:
        FftagError: the folder cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FftagError(f"cannot make the folder {out}: {error.strerror}") from error
    per_label = evaluation.per_label
    compared = {"model": evaluation.overall} | {
        baselines[name].name: baselines[name].overall for name in IN_PLOT if name in baselines
    }
    used = per_label["threshold"].to_numpy()
    plots = {
        "baselines.png": to_png(evaluation_plots.comparison(compared)),
        "precision_recall.png": to_png(
            evaluation_plots.precision_recall(targets, scores, per_label)
        ),
        "labels.png": to_png(evaluation_plots.by_label(per_label)),
        "thresholds.png": to_png(evaluation_plots.thresholds(targets, scores, used)),
    }
    for name, png in plots.items():
        with replacing(out / name) as temporary:
            temporary.write_bytes(png)
    sections = [
        _beside_baselines(evaluation, baselines, plots["baselines.png"]),
        _curves(plots["precision_recall.png"]),
        _labels(evaluation, plots["labels.png"]),
        _thresholds(plots["thresholds.png"]),
    ]
    write_page(out / PAGE, title, sections, _lead(evaluation))
    return [out / name for name in (PAGE, *plots)]


def _lead(evaluation: Evaluation) -> str:
    figures = evaluation.overall
    return (
        f"On {figures['photos']:,} photos with {figures['labels_per_photo']:.2f} of "
        f"{figures['labels']:,} labels each on average, the model gives "
        f"{figures['tags_per_photo']:.2f} tags a photo; {figures['subset_accuracy']:.1%} of the "
        f"photos get exactly their labels. Micro-F1 is {figures['micro_f1']:.1%}, macro-F1 "
        f"{figures['macro_f1']:.1%}."
    )


def _beside_baselines(
    evaluation: Evaluation, baselines: dict[str, Baseline], plot: bytes
) -> Section:
    columns: dict[str, dict[str, float]] = {"model": evaluation.overall}
    columns |= {baseline.name: baseline.overall for baseline in baselines.values()}
    table = pd.DataFrame(
        {"metric": list(TABLE_METRICS.values())}
        | {name: [figures[key] for key in TABLE_METRICS] for name, figures in columns.items()}
    )
    notes = [f"{baseline.name}: {baseline.note}." for baseline in baselines.values()]
    constant = baselines.get("best_constant")
    if constant is not None and constant.labels:
        notes.append(f"Labels of the best constant: {'; '.join(constant.labels)}.")
    return Section("Beside chance and constants", notes, [(plot, "")], table)


def _curves(plot: bytes) -> Section:
    text = [
        "Each point of a curve is a threshold: of the tags it gives, the share that is right "
        "(precision), and of the labels that are there, the share it finds (recall). Average "
        "precision (AP) is the area under the curve.",
        f"The labels shown are evenly spaced by AP among those that at least "
        f"{evaluation_plots.ENOUGH_SUPPORT} photos have, where there are such.",
    ]
    return Section("Precision and recall", text, [(plot, "")])


def _labels(evaluation: Evaluation, plot: bytes) -> Section:
    figures, per_label = evaluation.overall, evaluation.per_label
    text = [
        "Support is the number of photos that have the label. A figure from few photos is a rough "
        "one; an empty cell is a figure that is not defined, such as the recall of a label that no "
        "photo has."
    ]
    if figures["labels_without_positives"]:
        text.append(
            f"{figures['labels_without_positives']} of {figures['labels']} labels are on none of "
            f"these photos. They count as 0 in macro-F1; mAP is the mean over the other "
            f"{figures['mAP_labels']}."
        )
    most = evaluation_plots.MOST_LABELS_DRAWN
    caption = f"The {most} labels with the most photos." if len(per_label) > most else ""
    table = per_label.sort_values("support", ascending=False, kind="stable")
    return Section("By label", text, [(plot, caption)], table)


def _thresholds(plot: bytes) -> Section:
    text = [
        "Left: what a single threshold for all labels would give. The best one for these photos is "
        "drawn to compare; a threshold is to be chosen on the validation split, not here.",
        "Right: the scores of all photo-label pairs. The less the two heaps overlap, the less the "
        "threshold matters.",
    ]
    return Section("By threshold", text, [(plot, "")])
