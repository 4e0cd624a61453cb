"""The plots of a comparison of runs."""

from collections.abc import Sequence
from pathlib import PurePath

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fftag.base.plots import COLOURS, INK, QUIET, STYLE, figure
from fftag.evaluation.compare import DIFFERENCES, Comparison, Difference, points
from fftag.evaluation.plots import draw_curve, draw_iso_f1, shortened
from fftag.evaluation.runs import Run, curve
from fftag.evaluation.threshold_counts import counts_by_threshold

BY_EPOCH = {"mAP": "validation mAP", "micro_f1": "validation micro-F1"}
GRID = "#e3e5e9"
STYLES = ("-", "--", ":", "-.")


def by_epoch(runs: Sequence[Run]) -> Figure:
    """Validation mAP and micro-F1 by epoch; a point marks the epoch with the highest mAP.

    Args:
        runs: those without a training log are left out.
    """
    names = short_names(runs)
    with mpl.rc_context(STYLE):
        drawing = figure(9.2, 3.6 + 0.18 * len(runs))
        for axes, (metric, title) in zip(
            drawing.subplots(1, 2, sharex=True), BY_EPOCH.items(), strict=True
        ):
            for position, run in enumerate(runs):
                epochs, values = curve(run, metric)
                if not epochs:
                    continue
                colour, style = look(position)
                label = names[position]
                axes.plot(epochs, values, color=colour, linestyle=style, label=label)
                if metric == "mAP":
                    best = int(np.argmax(values))
                    axes.plot(epochs[best], values[best], "o", color=colour, markersize=5)
            axes.set(title=title, xlabel="epoch")
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles, labels = drawing.axes[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=2)
    return drawing


def precision_recall(runs: Sequence[Run]) -> Figure:
    """Precision against recall of all labels together; a point is where each run tags."""
    names = short_names(runs)
    with mpl.rc_context(STYLE):
        drawing = figure(7.2, 5.0 + 0.18 * len(runs))
        axes = drawing.subplots()
        draw_iso_f1(axes)
        for position, run in enumerate(runs):
            photos = run.photos
            colour, style = look(position)
            counts = counts_by_threshold(photos.targets, photos.scores)
            width, label = 1.6, names[position]
            draw_curve(axes, counts, color=colour, linestyle=style, linewidth=width, label=label)
            right, given = int((photos.targets & photos.tags).sum()), int(photos.tags.sum())
            if given and counts.positives:
                axes.plot(right / counts.positives, right / given, "o", color=colour)
        share = float(runs[0].photos.targets.mean())
        axes.axhline(share, color=QUIET, linewidth=1, linestyle="--", label="chance")
        axes.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel="recall", ylabel="precision")
        axes.set_title("All labels together (micro)")
        drawing.legend(loc="outside lower center", ncols=2)
    return drawing


def forest(comparison: Comparison) -> Figure:
    """Each run less the first, by metric, with its 95 % interval; a row per metric and run.

    Args:
        comparison: of at least two runs.
    """
    shown = [one for metric in DIFFERENCES for one in _drawn(comparison, metric)]
    others = [run.name for run in comparison.runs[1:]]
    names = short_names(comparison.runs)
    with mpl.rc_context(STYLE):
        drawing = figure(8.2, 1.6 + 0.22 * max(len(shown), 3) + 0.18 * len(others))
        axes = drawing.subplots()
        axes.axvline(0, color=INK, linewidth=0.8)
        named: set[str] = set()
        for row, one in enumerate(shown):
            position = others.index(one.run) + 1
            colour, _ = look(position)
            label = names[position] if one.run not in named else None
            named.add(one.run)
            low, value, high = (100 * border for border in (one.low, one.value, one.high))
            axes.plot([low, high], [row, row], color=colour, linewidth=1.8)
            axes.plot(value, row, "o", color=colour, markersize=5, label=label)
        metrics = [one.metric for one in shown]
        begins = [row for row, metric in enumerate(metrics) if metrics.index(metric) == row]
        axes.set_yticks(begins, [DIFFERENCES[metrics[row]] for row in begins])
        for row in begins[1:]:
            axes.axhline(row - 0.5, color=GRID, linewidth=0.8)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set(
            title=f"Difference from {names[0]}", xlabel="percentage points, with 95 % interval"
        )
        drawing.legend(loc="outside lower center", ncols=2)
    return drawing


def look(position: int) -> tuple[str, str]:
    """Colour and line style of a run, the same in every plot."""
    number = len(COLOURS)
    return COLOURS[position % number], STYLES[position // number % len(STYLES)]


def short_names(runs: Sequence[Run]) -> list[str]:
    """The name of each run's folder alone, where no two share it; otherwise its path."""
    folders = [PurePath(run.name).name for run in runs]
    if all(folders) and len(set(folders)) == len(folders):
        return [shortened(folder) for folder in folders]
    return [shortened(run.name) for run in runs]


def _drawn(comparison: Comparison, metric: str) -> list[Difference]:
    """The differences in a metric that have an interval in percentage points."""
    return [
        one
        for one in comparison.differences
        if one.metric == metric and points(metric) > 1 and not np.isnan(one.low + one.value)
    ]
