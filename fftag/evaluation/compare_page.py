"""The page of a comparison of runs, with its plots and its files."""

import json
from collections.abc import Sequence
from pathlib import Path, PurePath

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fftag.base.atomic import Kind, has_keys, make_folder, write_text
from fftag.base.page import Section, write_page
from fftag.base.plots import COLOURS, INK, QUIET, STYLE, figure, to_png
from fftag.evaluation.compare import (
    DIFFERENCES,
    LOWER_IS_BETTER,
    TABLE,
    Comparison,
    Difference,
    points,
    seconds,
)
from fftag.evaluation.plots import draw_curve, draw_iso_f1, shortened
from fftag.evaluation.ranking import counts_by_threshold
from fftag.evaluation.runs import Run, curve

PAGE = "compare.html"
FIGURES = "compare.json"
COMPARISON = Kind("the figures of a comparison", has_keys("runs", "differences"))
BY_EPOCH = {"mAP": "validation mAP", "micro_f1": "validation micro-F1"}
GRID = "#e3e5e9"
STYLES = ("-", "--", ":", "-.")


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
    images = [(to_png(forest(comparison)), "")]
    return Section("Differences", text, images, pd.DataFrame(rows), right=right)


def _curves(comparison: Comparison) -> Section:
    text = ["Each point of a curve is one threshold for all labels; a dot is where the run tags."]
    picture = to_png(precision_recall(comparison.runs))
    return Section("Precision and recall", text, [(picture, "")])


def _epochs(comparison: Comparison) -> Section:
    text = [
        "Measured on the validation photos after every epoch, from the training logs; the dot is "
        "the epoch with the highest mAP. Micro-F1 is at the best threshold of that epoch."
    ]
    without = [run.name for run in comparison.runs if not run.log]
    if without:
        text.append(f"Without a training log: {'; '.join(without)}.")
    picture = to_png(by_epoch(comparison.runs))
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
