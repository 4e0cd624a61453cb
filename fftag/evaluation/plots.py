"""The plots of an evaluation."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from fftag.base.plots import ACCENT, COLOURS, INK, QUIET, STYLE, figure
from fftag.evaluation.ranking import ThresholdCounts, counts_by_threshold

MOST_LABELS_DRAWN = 100
LABEL_CURVES = 5
ENOUGH_SUPPORT = 10
CURVE_POINTS = 500
NAME_LENGTH = 42
COUNT = "{x:,.0f}"
COMPARED = {
    "subset_accuracy": "subset accuracy",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "samples_f1": "samples-F1",
    "mAP": "mAP",
    "micro_ap": "micro AP",
}


def comparison(series: dict[str, dict[str, float]]) -> Figure:
    """A group of bars per metric, one bar per predictor, the value at its end.

    Args:
        series: name of the predictor -> its overall metrics.
    """
    with mpl.rc_context(STYLE):
        drawing = figure(7.5, 1.0 + 0.24 * len(COMPARED) * len(series))
        axes = drawing.subplots()
        height = 0.8 / len(series)
        for position, (name, figures) in enumerate(series.items()):
            values = np.array([figures[metric] for metric in COMPARED], dtype=float)
            rows = np.arange(len(COMPARED)) + (position - (len(series) - 1) / 2) * height
            axes.barh(rows, values, height * 0.92, color=COLOURS[position], label=name)
            for row, value in zip(rows, values, strict=True):
                text = "not defined" if np.isnan(value) else f"{value:.1%}"
                axes.text(np.nan_to_num(value) + 0.008, row, text, va="center", fontsize=7)
        axes.set_yticks(np.arange(len(COMPARED)), list(COMPARED.values()))
        axes.set(title="The model beside what needs no model", xlim=(0, 1.06))
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis="y", visible=False)
        drawing.legend(loc="outside lower center", ncols=len(series))
    return drawing


def precision_recall(targets: np.ndarray, scores: np.ndarray, per_label: pd.DataFrame) -> Figure:
    """Precision against recall: all labels together, and a few from the best to the worst.

    Args:
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels].
        per_label: of the `Evaluation`; its counts give the point at which the model tags.
    """
    with mpl.rc_context(STYLE):
        drawing = figure(9.2, 4.9)
        together, single = drawing.subplots(1, 2, sharey=True)
        draw_curve(together, counts_by_threshold(targets, scores), color=ACCENT, linewidth=2)
        draw_iso_f1(together)
        tp, predicted, positives = (
            per_label[name].sum() for name in ("tp", "predicted", "support")
        )
        if predicted and positives:
            at = tp / positives, tp / predicted
            together.plot(*at, "o", color=INK, markersize=6, label="at the model's thresholds")
        share = positives / targets.size
        together.axhline(share, color=QUIET, linewidth=1, linestyle="--", label="chance")
        together.set(title="All labels together (micro)", xlabel="recall", ylabel="precision")
        _legend_below(together)
        for label in _from_best_to_worst(per_label):
            row = per_label.iloc[label]
            name = f"{shortened(row['label'])} (AP {row['ap']:.2f}, support {row['support']:,})"
            counts = counts_by_threshold(targets[:, label], scores[:, label])
            draw_curve(single, counts, label=name, linewidth=1.5)
        single.set(title="Labels from the best to the worst", xlabel="recall")
        _legend_below(single)
        for axes in (together, single):
            axes.set(xlim=(0, 1.01), ylim=(0, 1.03))
    return drawing


def by_label(per_label: pd.DataFrame) -> Figure:
    """F1 and average precision of each label beside its support, the most frequent on top.

    Args:
        per_label: of the `Evaluation`; at most `MOST_LABELS_DRAWN` rows are drawn. With `ap_low`
            and `ap_high`, the interval of each average precision is a line.
    """
    shown = per_label.sort_values("support", ascending=False, kind="stable")
    shown = shown.head(MOST_LABELS_DRAWN)
    with mpl.rc_context(STYLE):
        drawing = figure(9.2, 1.3 + 0.21 * max(len(shown), 3))
        quality, support = drawing.subplots(1, 2, sharey=True, width_ratios=(3, 1.3))
        rows = np.arange(len(shown))
        f1 = quality.barh(rows, shown["f1"].to_numpy(), 0.7, color=ACCENT, label="F1")
        (ap,) = quality.plot(
            shown["ap"], rows, "D", color=INK, markersize=4, label="average precision (AP)"
        )
        (by_chance,) = quality.plot(
            shown["prevalence"].where(shown["support"] > 0),
            rows,
            "|",
            color=COLOURS[1],
            markersize=9,
            markeredgewidth=2,
            label="AP of chance (prevalence)",
        )
        if "ap_low" in shown:
            quality.hlines(rows, shown["ap_low"], shown["ap_high"], color=INK, linewidth=0.8)
        quality.set_yticks(rows, [shortened(name) for name in shown["label"]])
        quality.set(title="Quality by label", xlim=(-0.01, 1.02))
        quality.set_ylim(len(shown) - 0.4, -0.6)
        _bars_with_counts(support, shown["support"].to_numpy())
        for axes in (quality, support):
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        drawing.legend(handles=[f1, ap, by_chance], loc="outside lower center", ncols=3)
    return drawing


def thresholds(targets: np.ndarray, scores: np.ndarray, used: np.ndarray) -> Figure:
    """Micro precision, recall and F1 against one threshold for all, and where the scores lie.

    Args:
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels].
        used: float [labels], the model's thresholds.
    """
    counts = counts_by_threshold(targets, scores)
    low, high = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
    with mpl.rc_context(STYLE):
        drawing = figure(9.2, 4.2)
        curves, histogram = drawing.subplots(1, 2)
        grid = np.linspace(low, high, CURVE_POINTS)
        # The counts at a threshold are those at the lowest score that still reaches it.
        reached = np.searchsorted(-counts.thresholds, -grid, side="right") - 1
        drawn = {"F1": counts.f1, "precision": counts.precision, "recall": counts.recall}
        for position, (name, values) in enumerate(drawn.items()):
            nothing_tagged = np.nan if name == "precision" else 0.0
            y = np.where(reached >= 0, values[reached], nothing_tagged)
            width = 2.2 if name == "F1" else 1.2
            curves.plot(grid, y, label=name, color=COLOURS[position], linewidth=width)
        if counts.positives:
            best = counts.thresholds[np.argmax(counts.f1)]
            text = f"best F1 on these photos ({best:.3f})"
            curves.axvline(best, color=QUIET, linewidth=1, linestyle=":", label=text)
        _mark_thresholds(curves, used)
        curves.set(title="Micro-F1 by threshold", xlabel="threshold", ylim=(0, 1.03))
        bins = np.linspace(low, high, 51)
        for truth, name, colour in ((0, "without the label", QUIET), (1, "with the label", ACCENT)):
            histogram.hist(
                scores[targets == truth], bins, color=colour, alpha=0.65, label=f"photos {name}"
            )
        histogram.set_yscale("log")
        histogram.yaxis.set_major_formatter(StrMethodFormatter(COUNT))
        histogram.set(
            title="Where the scores lie", xlabel="score", ylabel="photo-label pairs (log scale)"
        )
        for axes in (curves, histogram):
            _legend_below(axes, columns=2)
    return drawing


def shortened(name: str) -> str:
    """A label name that fits beside a plot."""
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1].rstrip() + "…"


def draw_curve(axes: Any, counts: ThresholdCounts, **look: Any) -> None:
    """Precision against recall; nothing where there is no positive."""
    if not counts.positives:
        return
    # The first threshold to reach each recall: enough points for the eye, whatever their number.
    wanted = np.linspace(1 / CURVE_POINTS, 1, CURVE_POINTS)
    points = np.unique(np.searchsorted(counts.recall, wanted).clip(max=len(counts.tp) - 1))
    recall, precision = counts.recall[points], counts.precision[points]
    # Steps, as average precision sums them: the area drawn is the AP stated.
    recall, precision = np.append(0, recall), np.append(precision[0], precision)
    axes.plot(recall, precision, drawstyle="steps-pre", **look)


def draw_iso_f1(axes: Any) -> None:
    """Thin lines of equal F1, named where precision equals recall."""
    for f1 in (0.2, 0.4, 0.6, 0.8):
        recall = np.linspace(f1 / (2 - f1), 1, 100)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color="#d5d8dd", linewidth=0.8)
        axes.text(f1 + 0.01, f1 + 0.01, f"F1 {f1}", color=QUIET, fontsize=7)


def _from_best_to_worst(per_label: pd.DataFrame) -> Sequence[int]:
    """Positions of a few labels, evenly spaced by AP, of those with enough photos to judge."""
    ranked = per_label["ap"].reset_index(drop=True).dropna()
    enough = ranked[per_label["support"].to_numpy()[ranked.index] >= ENOUGH_SUPPORT]
    ranked = (enough if len(enough) else ranked).sort_values(ascending=False, kind="stable")
    if ranked.empty:
        return []
    places = np.unique(np.linspace(0, len(ranked) - 1, LABEL_CURVES).round().astype(int))
    return [int(label) for label in ranked.index[places]]


def _bars_with_counts(axes: Any, support: np.ndarray) -> None:
    rows = np.arange(len(support))
    axes.barh(rows, support, 0.7, color=COLOURS[1])
    for row, count in zip(rows, support, strict=True):
        axes.text(max(count, 0.75) * 1.12, row, f"{count:,}", va="center", fontsize=7)
    axes.set(title="Photos (log scale)", xlim=(0.7, max(support.max(), 10) * 6))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter(COUNT))


def _mark_thresholds(axes: Any, used: np.ndarray) -> None:
    lowest, highest = float(used.min()), float(used.max())
    if lowest == highest:
        text = f"the model's threshold ({lowest:.3f})"
        axes.axvline(lowest, color=INK, linewidth=1, linestyle="--", label=text)
    else:
        text = f"the model's thresholds ({lowest:.3f} to {highest:.3f})"
        axes.axvspan(lowest, highest, color=INK, alpha=0.08, label=text)


def _legend_below(axes: Any, columns: int = 1) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.13), fontsize=8, ncols=columns)
