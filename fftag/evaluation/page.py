"""The page of an evaluation: the model beside its baselines, by label, and by threshold."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fftag.base.atomic import make_folder, write_bytes
from fftag.base.page import Section, write_page
from fftag.base.plots import PICTURE, to_png
from fftag.evaluation import breakdown, mistakes_page
from fftag.evaluation import plots as evaluation_plots
from fftag.evaluation.mistakes_page import instead_section, surest_sections
from fftag.evaluation.results import Results

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
    "CF1": "CF1",
    "mAP": "mAP",
    "micro_ap": "micro AP",
    "lrap": "label-ranking average precision",
    "coverage_error": "coverage error (lower is better)",
    "brier": "Brier score (lower is better)",
    "classwise_ece": "classwise calibration error (lower is better)",
    "tags_per_photo": "tags per photo",
}


def write(out: Path, title: str, results: Results, further: Sequence[Section] = ()) -> list[Path]:
    """Writes `evaluation.html`, which holds its plots, and each plot as a PNG beside it.

    The thumbnails of mistakes are in the page alone.

    Args:
        out: the folder; made if it is not there.
        title: of the page, such as the model's name and the split.
        results: of the evaluation.
        further: parts on what else was measured; they stand before the mistakes.

    Returns:
        The files written, the page first.

    Raises:
        FftagError: the folder cannot be made or written to.
    """
    make_folder(out)
    plots = _plots(results)
    for name, png in plots.items():
        write_bytes(out / name, png, PICTURE)
    sections = [
        _beside_baselines(results, plots["baselines.png"]),
        _breakdown(results),
        _curves(plots["precision_recall.png"]),
        _labels(results, plots["labels.png"]),
        _thresholds(plots["thresholds.png"]),
        _reliability(plots["reliability.png"]),
        *further,
        instead_section(results, plots.get("missed.png")),
        *surest_sections(results),
    ]
    write_page(out / PAGE, title, sections, _lead(results))
    return [out / name for name in (PAGE, *plots)]


def _plots(results: Results) -> dict[str, bytes]:
    per_label, targets, scores = results.evaluation.per_label, results.targets, results.scores
    compared = {"model": results.evaluation.overall} | {
        results.baselines[name].name: results.baselines[name].overall for name in IN_PLOT
    }
    used = per_label["threshold"].to_numpy()
    draw: dict[str, Callable[[], Figure]] = {
        "baselines.png": lambda: evaluation_plots.comparison(compared),
        "precision_recall.png": lambda: evaluation_plots.precision_recall(
            targets, scores, per_label
        ),
        "labels.png": lambda: evaluation_plots.by_label(per_label),
        "thresholds.png": lambda: evaluation_plots.thresholds(targets, scores, used),
        "reliability.png": lambda: mistakes_page.reliability(targets, scores, results.names),
    }
    if len(results.instead.columns):
        draw["missed.png"] = lambda: mistakes_page.instead_of_missed(results.instead, results.names)
    return {name: to_png(picture()) for name, picture in draw.items()}


def _lead(results: Results) -> str:
    figures, around = results.evaluation.overall, results.intervals

    def percent(name: str) -> str:
        low, high = around.overall[name]
        return f"{figures[name]:.1%} ({100 * low:.1f}-{100 * high:.1f})"

    return (
        f"On {figures['photos']:,} photos with {figures['labels_per_photo']:.2f} of "
        f"{figures['labels']:,} labels each on average, the model gives "
        f"{figures['tags_per_photo']:.2f} tags a photo; {percent('subset_accuracy')} of the "
        f"photos get exactly their labels. Micro-F1 is {percent('micro_f1')}, macro-F1 "
        f"{percent('macro_f1')}. In brackets are 95 % intervals: what {around.resamples:,} "
        "random redraws of these photos give."
    )


def _beside_baselines(results: Results, plot: bytes) -> Section:
    columns: dict[str, dict[str, float]] = {"model": results.evaluation.overall}
    columns |= {baseline.name: baseline.overall for baseline in results.baselines.values()}
    values = {name: [figures[key] for key in TABLE_METRICS] for name, figures in columns.items()}
    around = [_interval(results, key) for key in TABLE_METRICS]
    table = pd.DataFrame(
        {"metric": list(TABLE_METRICS.values()), "model": values.pop("model"), "95 %": around}
        | values
    )
    notes = [f"{baseline.name}: {baseline.note}." for baseline in results.baselines.values()]
    constant = results.baselines["best_constant"]
    if constant.labels:
        notes.append(f"Labels of the best constant: {'; '.join(constant.labels)}.")
    right = frozenset({"95 %"})
    return Section("Beside chance and constants", notes, [(plot, "")], table, right=right)


def _interval(results: Results, metric: str) -> str:
    low, high = results.intervals.overall.get(metric, (np.nan, np.nan))
    return "" if np.isnan(low) else f"{low:.4g} to {high:.4g}"


def _breakdown(results: Results) -> Section:
    per_label = results.evaluation.per_label
    frequency = breakdown.by_frequency(per_label, results.prevalence)
    groups = breakdown.by_group(per_label)
    parts = [
        f"{part} ({low:.2%} to {high:.2%} of the training photos)"
        for part, low, high in zip(
            frequency["part"],
            frequency["training_share_from"],
            frequency["training_share_to"],
            strict=True,
        )
    ]
    columns = ["labels", "labels_with_photos", "support", "mAP", "macro_f1", "micro_f1"]
    rows = [frequency[columns].assign(labels_of=parts)]
    if not groups.empty:
        names = [f"group {name}" for name in groups["group"]]
        rows.append(groups[columns].assign(labels_of=names))
    table = pd.concat(rows, ignore_index=True)[["labels_of", *columns]]
    table.columns = pd.Index(
        ["of", "labels", "with photos", "support", "mAP", "macro-F1", "micro-F1"]
    )
    return Section("Frequent and rare labels, and groups", [f"Parts: {breakdown.RULE}."], [], table)


def _reliability(plot: bytes) -> Section:
    text = [
        "Pairs of photo and label in 15 bins by score. Where scores are probabilities, the points "
        "lie on the diagonal: of the pairs scored about 0.7, seven in ten are right. Above it the "
        "model is too cautious, below it too sure. A larger point holds more pairs; few make a "
        "point jump about.",
        "ECE is the expected calibration error: the mean distance from the diagonal.",
    ]
    return Section("Reliability", text, [(plot, "")])


def _curves(plot: bytes) -> Section:
    text = [
        "Each point of a curve is a threshold: of the tags it gives, the share that is right "
        "(precision), and of the labels that are there, the share it finds (recall). Average "
        "precision (AP) is the area under the curve.",
        f"The labels shown are evenly spaced by AP among those that at least "
        f"{evaluation_plots.ENOUGH_SUPPORT} photos have, where there are such.",
    ]
    return Section("Precision and recall", text, [(plot, "")])


def _labels(results: Results, plot: bytes) -> Section:
    figures, per_label = results.evaluation.overall, results.evaluation.per_label
    text = [
        "Support is the number of photos that have the label. A figure from few photos is a rough "
        "one; an empty cell is a figure that is not defined, such as the recall of a label that no "
        "photo has. From ap_low to ap_high reaches the 95 % interval of the average precision (ap)."
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
