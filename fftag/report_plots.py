"""The picture of an answer, by the kind that the report's header asks for."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.ticker import PercentFormatter

from fftag.plots import ACCENT, COLOURS, INK, QUIET, STYLE, bars, figure, to_png
from fftag.report import Answer, run_report

MOST_BARS = 40
MOST_PAIRS = 25
TREND_BARS = 8
TREND_LINES = 3
RISING, FALLING = COLOURS[0], COLOURS[1]
LONGEST_NAME = 34


def draw(answer: Answer, db: Path) -> bytes | None:
    """The picture as a PNG; None for a report that has none.

    Args:
        answer: with at least one row.
        db: the database it came from; the trend picture asks it for the months.
    """
    table, title = answer.table, answer.report.title
    if answer.report.plot == "trend":
        return _trend(table, run_report(db, "monthly").table, title)
    if answer.report.plot == "shares":
        top = table.head(MOST_BARS)
        percent = [100 * top[column] for column in ("share", "low", "high")]
        n = f"{int(top['of_items'].iloc[0]):,} items"
        return to_png(bars(_names(top["label"]), percent[0], title, f"% of {n}", *percent[1:]))
    if answer.report.plot == "lifts":
        top = table.head(MOST_PAIRS)
        names = [f"{a}  +  {b}" for a, b in zip(*map(_names, (top["label_a"], top["label_b"])))]
        return to_png(bars(names, top["lift"], title, "lift", top["low"], top["high"]))
    if answer.report.plot == "statuses":
        return to_png(bars(list(table["status"]), table["files"], title, "files"))
    return None


def _trend(table: pd.DataFrame, monthly: pd.DataFrame, title: str) -> bytes:
    """The strongest changes as bars with intervals, and the months of the very strongest."""
    risers = table[table["change"] > 0].head(TREND_BARS)
    fallers = table[table["change"] < 0].tail(TREND_BARS)
    shown = pd.concat([risers, fallers])
    if shown.empty:
        shown = table.head(TREND_BARS)
    with mpl.rc_context(STYLE):
        drawing = figure(11, max(4.2, 1.6 + 0.28 * len(shown)))
        left, right = drawing.subfigures(1, 2, width_ratios=(1, 1.15))
        _change_bars(left.subplots(), shown)
        rising, falling = right.subplots(2, 1, sharex=True)
        _lines(rising, monthly, risers["label"].head(TREND_LINES).tolist(), "Rising")
        _lines(falling, monthly, fallers["label"].tail(TREND_LINES).tolist()[::-1], "Falling")
        drawing.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK)
    return to_png(drawing, dpi=130)


def _change_bars(axes: Axes, shown: pd.DataFrame) -> None:
    rows = np.arange(len(shown))
    change = 100 * shown["change"].to_numpy()
    spread = [change - 100 * shown["low"].to_numpy(), 100 * shown["high"].to_numpy() - change]
    judged = shown["verdict"].notna().to_numpy()
    colours = np.where(change > 0, RISING, FALLING)
    for row, value, colour, sure in zip(rows, change, colours, judged, strict=True):
        axes.barh(row, value, color=colour, height=0.66, alpha=1.0 if sure else 0.3)
    axes.errorbar(change, rows, xerr=np.abs(spread), fmt="none", ecolor=INK, elinewidth=0.9)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(rows, _names(shown["label"]))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    first, last = int(shown["of_first"].iloc[0]), int(shown["of_last"].iloc[0])
    axes.set_xlabel(
        f"change of share, percentage points, 95 % interval\n"
        f"({first:,} items in the first months, {last:,} in the last;\n"
        "pale: not told from chance at 5 % false discoveries)",
        color=QUIET,
    )
    axes.set_title("First months against last")


def _lines(axes: Axes, monthly: pd.DataFrame, labels: list[str], title: str) -> None:
    months = pd.date_range(monthly["month"].min(), monthly["month"].max(), freq="MS")
    for label, colour in zip(labels, COLOURS, strict=False):
        of_label = monthly[monthly["label"] == label].set_index("month").reindex(months)
        axes.plot(months, of_label["share"], color=colour, linewidth=1.8, label=_name(label))
        low, high = of_label["low"].astype(float), of_label["high"].astype(float)
        axes.fill_between(months, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.set_title(title)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("share of items listed", color=QUIET)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    locator = mpl.dates.AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    if labels:
        axes.legend(loc="upper left", fontsize=8)


def _names(labels: pd.Series) -> list[str]:
    return [_name(label) for label in labels]


def _name(label: str) -> str:
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"
