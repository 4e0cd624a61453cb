"""Interactive charts, in the colours of `fftag.plots`."""

import math
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from fftag.labels import LabelSet
from fftag.plots import ACCENT, COLOURS, INK
from fftag.report import Answer

PALE = "#dcb6bf"
TEXT = "#5d626c"
ROW = 22  # pixels of a bar
MOST_BARS = 40
MOST_LINES = 12
LONGEST = 170  # pixels of a label on an axis
TYPES = {"percent": ".1%", "points": "+.1%", "ratio": ".2f"}


def score_bars(
    labels: LabelSet, scores: np.ndarray, thresholds: np.ndarray, everything: bool
) -> alt.Chart:
    """The scores of one photo as bars, the thresholds as ticks, in the order of groups.

    Args:
        labels: of the model.
        scores: float32 [labels].
        thresholds: float32 [labels].
        everything: also the labels that are no tags.
    """
    frame = pd.DataFrame(
        {
            "label": labels.names,
            "group": [group or "other" for group in labels.groups],
            "score": scores.astype(float),
            "threshold": thresholds.astype(float),
            "tag": scores >= thresholds,
        }
    )
    best = frame.groupby("group")["score"].transform("max")
    frame = frame.assign(best=best).sort_values(
        ["best", "group", "score"], ascending=[False, True, False], kind="stable"
    )
    shown = frame if everything or not frame["tag"].any() else frame[frame["tag"]]
    if not everything:
        shown = shown.head(MOST_BARS)
    shown = shown.drop(columns="best")
    groups = shown["group"].drop_duplicates().tolist()
    y = alt.Y("label:N", sort=shown["label"].tolist(), title=None, axis=axis())
    hint = [
        alt.Tooltip("label:N"),
        alt.Tooltip("group:N"),
        alt.Tooltip("score:Q", format=".3f"),
        alt.Tooltip("threshold:Q", format=".3f"),
    ]
    base = alt.Chart(shown).encode(y=y, tooltip=hint)
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        x=alt.X("score:Q", scale=alt.Scale(domain=[0, 1]), title="score"),
        color=alt.Color(
            "group:N",
            sort=groups,
            scale=alt.Scale(domain=groups, range=spread(COLOURS[:5], len(groups))),
            legend=legend(2),
        ),
        opacity=alt.condition("datum.tag", alt.value(1.0), alt.value(0.35)),
    )
    ticks = base.mark_tick(color=INK, thickness=2).encode(x="threshold:Q")
    return (bars + ticks).properties(height=alt.Step(ROW))


def axis(**more: Any) -> alt.Axis:
    """An axis of names that are read in full as far as they fit."""
    return alt.Axis(labelLimit=LONGEST, labelColor=INK, titleColor=TEXT, **more)


def legend(columns: int) -> alt.Legend:
    """What colours mean, above the chart; few columns, so that a phone shows them."""
    return alt.Legend(
        title=None,
        orient="top",
        columns=columns,
        labelLimit=LONGEST,
        labelColor=INK,
        symbolOpacity=1,  # where bands lie under lines, too
    )


def spread(colours: tuple[str, ...], count: int) -> list[str]:
    """So many colours, the given ones again and again."""
    return [colours[at % len(colours)] for at in range(count)]


def report_chart(answer: Answer) -> alt.Chart | None:
    """The chart that a report's header asks for; None for a report without one, or without rows."""
    plot = answer.report.plot
    if plot is None or answer.table.empty:
        return None
    if plot.kind == "bars":
        return _bars(answer, *plot.columns)
    if plot.kind == "lines":
        return _lines(answer, *plot.columns)
    return _changes(answer)


def series_of(answer: Answer) -> list[str]:
    """What a report of lines has a line for, the highest first; empty for any other."""
    plot = answer.report.plot
    if plot is None or plot.kind != "lines" or answer.table.empty:
        return []
    _, y, series, *_ = plot.columns
    means = answer.table.groupby(series)[y].mean().sort_values(ascending=False)
    return [str(name) for name in means.index]


def interval_bars(
    frame: pd.DataFrame, title: str, form: str, colours: dict[str, str] | None = None
) -> alt.Chart:
    """Bars with whiskers, the first row on top.

    Args:
        frame: `name`, `value`, and, if there are any, `low`, `high` and `kind`.
        title: of the values.
        form: how d3 writes a value.
        colours: of each kind.
    """
    y = alt.Y("name:N", sort=frame["name"].tolist(), title=None, axis=axis())
    x_axis = alt.Axis(format=form, labelColor=TEXT, titleColor=TEXT)
    hint = [alt.Tooltip("name:N", title="of"), alt.Tooltip("value:Q", format=form, title=title)]
    if "low" in frame:
        hint += [
            alt.Tooltip(f"{bound}:Q", format=form, title=f"{bound} (95 %)")
            for bound in ("low", "high")
        ]
    base = alt.Chart(frame).encode(y=y, tooltip=hint)
    colour: Any = alt.value(ACCENT)
    if colours is not None:
        colour = alt.Color(
            "kind:N",
            scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            legend=legend(1),
        )
    chart = base.mark_bar(cornerRadiusEnd=2, height={"band": 0.7}).encode(
        x=alt.X("value:Q", title=title, axis=x_axis), color=colour
    )
    if "low" in frame:
        chart += base.mark_rule(color=INK).encode(x="low:Q", x2="high:Q")
    return chart.properties(height=alt.Step(ROW))


def line_chart(frame: pd.DataFrame, title: str, form: str, dated: bool = True) -> alt.Chart:
    """A line per series, in the band of its interval.

    Args:
        frame: `x`, `y`, `series` and, if there are any, `low` and `high`.
        title: of the values.
        form: how d3 writes a value.
        dated: whether `x` is a date.
    """
    kind = "x:T" if dated else "x:Q"
    x = alt.X(kind, title=None if dated else "epoch", axis=alt.Axis(labelColor=TEXT))
    names = frame["series"].drop_duplicates().tolist()
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=names, range=spread(COLOURS, len(names))),
        legend=legend(2),
    )
    y = alt.Y("y:Q", title=title, axis=alt.Axis(format=form, labelColor=TEXT, titleColor=TEXT))
    hint = [alt.Tooltip(kind), alt.Tooltip("series:N"), alt.Tooltip("y:Q", format=form)]
    if "low" in frame:
        hint += [alt.Tooltip(f"{bound}:Q", format=form) for bound in ("low", "high")]
    base = alt.Chart(frame).encode(x=x, color=colour, tooltip=hint)
    chart = base.mark_line(point=alt.OverlayMarkDef(size=25)).encode(y=y)
    if "low" in frame:
        chart = base.mark_area(opacity=0.12).encode(y=alt.Y("low:Q", title=title), y2="high:Q") + (
            chart
        )
    return chart.properties(height=340)


def _bars(answer: Answer, names: str, value: str, *bounds: str) -> alt.Chart:
    table = answer.table.head(MOST_BARS)
    columns = [table[column].map(_name) for column in names.split("+")]
    frame = pd.DataFrame(
        {
            "name": ["  +  ".join(parts) for parts in zip(*columns, strict=True)],
            "value": table[value].astype(float).to_numpy(),
        }
    )
    for name, column in zip(("low", "high"), bounds, strict=False):
        frame[name] = table[column].astype(float).to_numpy()
    return interval_bars(frame, value.replace("_", " "), _form(answer, value))


def _lines(answer: Answer, x: str, y: str, series: str, *bounds: str) -> alt.Chart:
    table = answer.table
    frame = pd.DataFrame(
        {
            "x": table[x].astype(str) if table[x].dtype == object else table[x],
            "y": table[y].astype(float),
            "series": table[series].map(_name),
        }
    )
    for name, column in zip(("low", "high"), bounds, strict=False):
        frame[name] = table[column].astype(float)
    return line_chart(frame, y.replace("_", " "), _form(answer, y))


def _changes(answer: Answer) -> alt.Chart:
    """Changes of share as bars to both sides; what is not told from chance is grey."""
    table = answer.table
    kinds = table["verdict"].where(table["verdict"].notna(), "not told from chance")
    frame = pd.DataFrame(
        {
            "name": table["label"].map(_name),
            "value": table["change"].astype(float),
            "low": table["low"].astype(float),
            "high": table["high"].astype(float),
            "kind": kinds.astype(str),
        }
    )
    colours = {"rising": COLOURS[0], "falling": COLOURS[1], "not told from chance": "#c9ccd2"}
    return interval_bars(frame, "change of share", _form(answer, "change"), colours)


def _form(answer: Answer, column: str) -> str:
    return TYPES.get(answer.report.shows.get(column, ""), ",.4~g")


def _name(value: object) -> str:
    """A name on one line, and never null: a chart would drop it."""
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
    return " ".join(text.split()) or "(none)"
