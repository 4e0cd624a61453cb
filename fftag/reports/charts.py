"""The picture of an answer, as its report's header asks for it."""

import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fftag.base.plots import ACCENT, COLOURS, INK, QUIET, STYLE, bars, figure, to_png
from fftag.reports.ask import Answer
from fftag.reports.files import Bars, Lines

MOST_BARS = 40
MOST_PANELS = 12
PANELS_A_ROW = 3
TREND_BARS = 8
TREND_LINES = 3
MONTHLY = ("month", "share", "low", "high")
RISING, FALLING = COLOURS[0], COLOURS[1]
LONGEST_NAME = 34
UNITS = {"percent": (100, ", %"), "points": (100, ", percentage points")}
"""How a column is shown -> what it is multiplied by to be drawn, and what is said of it."""


def draw(answer: Answer) -> bytes | None:
    """The picture as a PNG; None for a report that has none.

    Args:
        answer: with at least one row.
    """
    drawing = picture(answer)
    if drawing is None:
        return None
    with warnings.catch_warnings():
        # The font has not every script; what it lacks is drawn as a box, and the table has it.
        warnings.filterwarnings("ignore", "Glyph")
        return to_png(drawing, dpi=130)


def picture(answer: Answer) -> Figure | None:
    """What `draw` draws."""
    plot = answer.report.plot
    if plot is None:
        return None
    answer = replace(answer, table=answer.named)
    with mpl.rc_context(STYLE):
        if isinstance(plot, Bars):
            return _bars(answer, plot)
        if isinstance(plot, Lines):
            return _lines(answer, plot)
        return _trend(answer, answer.beside("monthly"))


def _bars(answer: Answer, plot: Bars) -> Figure:
    """One bar per row, the first rows only."""
    table = answer.table.head(MOST_BARS)
    scale, unit = UNITS.get(answer.report.shows.get(plot.value, ""), (1, ""))
    columns = [table[column].map(_name) for column in plot.names]
    title = answer.report.title
    if len(answer.table) > len(table):
        title += f" (the first {len(table)} of {len(answer.table):,})"
    interval = [(scale * table[column]).tolist() for column in plot.interval or ()]
    label = plot.value.replace("_", " ") + unit + (", with 95 % interval" if interval else "")
    rows = ["  +  ".join(row) for row in zip(*columns, strict=True)]
    return bars(rows, (scale * table[plot.value]).tolist(), title, label, *interval)


def _lines(answer: Answer, plot: Lines) -> Figure:
    """Small panels, one per series: those with the highest mean."""
    table = answer.table.assign(**{plot.series: answer.table[plot.series].map(_name)})
    groups = {str(name): rows for name, rows in table.groupby(plot.series)}
    chosen = sorted(groups, key=lambda name: -groups[name][plot.y].mean())[:MOST_PANELS]
    rows = -(-len(chosen) // PANELS_A_ROW)
    drawing = figure(10, 0.7 + 1.9 * rows)
    title = answer.report.title
    if len(groups) > len(chosen):
        title += f" (the {len(chosen)} most frequent of {len(groups):,})"
    drawing.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    grid = drawing.subplots(rows, PANELS_A_ROW, sharex=True, sharey=True, squeeze=False)
    panels: list[Axes] = grid.ravel().tolist()
    for number, (axes, name) in enumerate(zip(panels, chosen, strict=False)):
        _line(axes, groups[name], (plot.x, plot.y, *(plot.interval or ())), ACCENT)
        axes.tick_params(labelbottom=number + PANELS_A_ROW >= len(chosen))
        axes.set_title(name, fontsize=9)
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    _months(panels[: len(chosen)], answer.report.shows.get(plot.y) == "percent", ticks=7)
    return drawing


def _trend(answer: Answer, monthly: pd.DataFrame) -> Figure:
    """The greatest changes as bars with intervals, and the months of those told from chance."""
    table = answer.table
    risers = table[table["change"] > 0].head(TREND_BARS)
    fallers = table[table["change"] < 0].tail(TREND_BARS)
    shown = pd.concat([risers, fallers]) if len(risers) + len(fallers) else table.head(TREND_BARS)
    drawing = figure(11.5, max(4.4, 1.6 + 0.27 * len(shown)))
    rising = risers[risers["verdict"] == "rising"]["label"].tolist()[:TREND_LINES]
    falling = fallers[fallers["verdict"] == "falling"]["label"].tolist()[: -TREND_LINES - 1 : -1]
    columns = max(len(rising), len(falling))
    grid = drawing.add_gridspec(2, 1 + columns, width_ratios=(1 + 0.4 * columns, *[1] * columns))
    _change_bars(drawing.add_subplot(grid[:, 0]), shown, _windows(answer, monthly))
    panels: list[Axes] = []
    for row, (labels, colour) in enumerate(((rising, RISING), (falling, FALLING))):
        for column, label in enumerate(labels):
            first = panels[0] if panels else None
            axes = drawing.add_subplot(grid[row, 1 + column], sharex=first, sharey=first)
            _line(axes, monthly[monthly["label"] == label], MONTHLY, colour)
            axes.tick_params(left=column == 0, labelleft=column == 0)
            axes.set_title(_name(label), fontsize=9, color=colour)
            if column == 0:
                axes.set_ylabel("share of items listed", color=QUIET)
            panels.append(axes)
    _months(panels, percent=True, ticks=5)
    title = _headline(rising[:1], falling[:1], table.set_index("label")["change"])
    drawing.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK)
    return drawing


def _headline(rising: list[str], falling: list[str], change: pd.Series) -> str:
    found = [f"{_name(label)} rose by {100 * change[label]:.0f} points" for label in rising]
    found += [f"{_name(label)} fell by {-100 * change[label]:.0f} points" for label in falling]
    return ", ".join(found) or "No label rose or fell by more than chance would have it"


def _windows(answer: Answer, monthly: pd.DataFrame) -> str:
    """The first months and the last, as the report's SQL takes them."""
    first, last = monthly["month"].min().to_period("M"), monthly["month"].max().to_period("M")
    span = (last - first).n + 1
    width = min(max(int(answer.values["months"]), 1), span // 2)
    before, after = (first, first + width - 1), (last - width + 1, last)
    named = [" to ".join(dict.fromkeys(f"{m:%b %Y}" for m in window)) for window in (before, after)]
    return f"{named[0]} against {named[1]}"


def _change_bars(axes: Axes, shown: pd.DataFrame, windows: str) -> None:
    rows = np.arange(len(shown))
    change = 100 * shown["change"].to_numpy()
    spread = [change - 100 * shown["low"].to_numpy(), 100 * shown["high"].to_numpy() - change]
    judged = shown["verdict"].notna().to_numpy()
    colours = np.where(change > 0, RISING, FALLING)
    for row, value, colour, sure in zip(rows, change, colours, judged, strict=True):
        axes.barh(row, value, color=colour, height=0.66, alpha=1.0 if sure else 0.3)
    axes.errorbar(change, rows, xerr=np.abs(spread), fmt="none", ecolor=INK, elinewidth=0.9)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(rows, [_name(label) for label in shown["label"]])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    first, last = int(shown["of_first"].iloc[0]), int(shown["of_last"].iloc[0])
    note = (
        "change of share, percentage points, 95 % interval\n"
        f"{windows}: {first:,} and {last:,} items"
    )
    if not judged.all():
        note += "\npale: not told from chance at 5 % false discoveries"
    axes.set_xlabel(note, color=QUIET)
    axes.set_title("Rising and falling labels")


def _line(axes: Axes, table: pd.DataFrame, columns: Sequence[str], colour: str) -> None:
    """A line that breaks where a month is missing, in the band of its interval."""
    x, y, *interval = columns
    months = pd.date_range(table[x].min(), table[x].max(), freq="MS")
    rows = table.set_index(x).reindex(months)
    axes.plot(months, rows[y], color=colour, linewidth=1.6)
    alone = rows[y].notna() & rows[y].shift().isna() & rows[y].shift(-1).isna()
    axes.plot(months[alone], rows[y][alone], color=colour, linestyle="", marker="o", markersize=3)
    if interval:
        below, above = (rows[column].astype(float) for column in interval)
        axes.fill_between(months, below, above, color=colour, alpha=0.13, linewidth=0)


def _months(panels: Sequence[Axes], percent: bool, ticks: int) -> None:
    """The axes of panels that share theirs, once all is drawn."""
    for axes in panels:
        axes.set_ylim(bottom=0)
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        locator = AutoDateLocator(minticks=2, maxticks=ticks)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _name(label: object) -> str:
    """A label short enough for an axis, on one line."""
    if pd.isna(label):  # type: ignore[call-overload]
        return "(none)"
    line = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in str(label))
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"
