"""The look of every plot, and the few kinds of plot that more than one page draws."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure

from fftag.base.atomic import PNG, Kind, head_of

MADE_BY = {"Software": "fftag"}
PICTURE = Kind(
    "a picture that fftag drew",
    lambda path: PNG.knows(path) and b"Software\0fftag" in head_of(path),
)

INK = "#22252b"
QUIET = "#8a8f99"
ACCENT = "#b3435f"
COLOURS = ("#b3435f", "#2f6f8f", "#d9963a", "#5b7f4b", "#7a5c99", "#8a8f99")

# All that a style may set, so that no matplotlibrc of the working folder or of a user draws along.
STYLE: Any = {
    name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault.keys() - {"backend"}
} | {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#c9ccd2",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eceef1",
    "xtick.color": QUIET,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "text.parse_math": False,
}


def figure(width: float, height: float) -> Figure:
    """An empty figure in the house style; width and height in inches. Needs no display."""
    with mpl.rc_context(STYLE):
        return Figure(figsize=(width, height), layout="constrained")


def to_png(drawing: Figure, dpi: int = 110) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        drawing.savefig(buffer, format="png", dpi=dpi, metadata=MADE_BY)
    return buffer.getvalue()


def bars(
    names: Sequence[str],
    values: Sequence[float],
    title: str,
    x_label: str,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
) -> Figure:
    """Horizontal bars, the first on top, with whiskers from `low` to `high` where given."""
    with mpl.rc_context(STYLE):
        drawing = figure(7.5, 1.0 + 0.22 * max(len(names), 3))
        axes = drawing.subplots()
        rows = np.arange(len(names))
        axes.barh(rows, values, color=ACCENT, height=0.7)
        if low is not None and high is not None:
            below, above = np.subtract(values, low), np.subtract(high, values)
            axes.errorbar(values, rows, xerr=[below, above], fmt="none", ecolor=INK, elinewidth=0.8)
        axes.set_yticks(rows, list(names))
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set(title=title, xlabel=x_label)
    return drawing


def heat_map(
    matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str, diverging: bool
) -> Figure:
    """A matrix as colours: float [rows, columns]; NaN is left blank.

    Args:
        diverging: True for values on both sides of zero (red-blue), False for counts and shares.
    """
    with mpl.rc_context(STYLE):
        drawing = figure(3.2 + 0.2 * len(columns), 2.2 + 0.2 * len(rows))
        axes = drawing.subplots()
        limit = float(np.nanmax(np.abs(matrix))) if np.isfinite(matrix).any() else 1.0
        image = axes.imshow(
            matrix,
            cmap="RdBu_r" if diverging else "magma_r",
            vmin=-limit if diverging else 0,
            vmax=limit or 1.0,
        )
        axes.set_xticks(np.arange(len(columns)), list(columns), rotation=90, fontsize=7)
        axes.set_yticks(np.arange(len(rows)), list(rows), fontsize=7)
        axes.grid(visible=False)
        axes.set_title(title)
        drawing.colorbar(image, ax=axes, shrink=0.6)
    return drawing
