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
LONGEST = 230  # pixels of a label on an axis
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
            legend=alt.Legend(title=None, orient="top", columns=3, labelLimit=160),
        ),
        opacity=alt.condition("datum.tag", alt.value(1.0), alt.value(0.35)),
    )
    ticks = base.mark_tick(color=INK, thickness=2).encode(x="threshold:Q")
    return (bars + ticks).properties(height=alt.Step(ROW))


def axis(**more: Any) -> alt.Axis:
    """An axis of names that are read in full as far as they fit."""
    return alt.Axis(labelLimit=LONGEST, labelColor=INK, titleColor=TEXT, **more)


def spread(colours: tuple[str, ...], count: int) -> list[str]:
    """So many colours, the given ones again and again."""
    return [colours[at % len(colours)] for at in range(count)]
