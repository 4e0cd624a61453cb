"""Plots of the apparel screen's evaluation."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import roc_curve

from fftag.base.plots import ACCENT, COLOURS, INK, QUIET, STYLE, figure, to_png
from fftag.models.screen import Screen

KEPT = 0.95  # of the apparel photos, where methods are compared
COLUMNS = 3
BINS = 30
LEAST_SCORE = 1e-4  # that is drawn: what lies lower stands in the first bin
MOST_DRAWN = 0.99  # of the distances: what lies farther out stands in the last bin

Sides = tuple[np.ndarray, np.ndarray]
"""Distances (or scores) of the apparel photos, and of those without."""


def roc_curves(distances: dict[str, Sides]) -> bytes:
    """The ROC curve of each method, the first one thick, as a PNG."""
    drawing = figure(5, 4)
    axes = drawing.subplots()
    for number, (title, (near, far)) in enumerate(distances.items()):
        truth = np.repeat([0, 1], [len(near), len(far)])
        x, y, _ = roc_curve(truth, np.concatenate([near, far]))
        colour = ACCENT if number == 0 else COLOURS[number % len(COLOURS)]
        style = "-" if number < len(COLOURS) else "--"
        width = 2 if number == 0 else 1
        axes.plot(100 * x, 100 * y, style, color=colour, lw=width, label=title)
    axes.plot([0, 100], [0, 100], ":", color=COLOURS[-1], lw=1)
    axes.set(
        xlabel="% of apparel photos turned down", ylabel="% of photos without apparel turned down"
    )
    axes.legend(fontsize=8, loc="lower right")
    return to_png(drawing)


def distributions(
    distances: dict[str, Sides], screen: Screen | None = None, scores: Sides | None = None
) -> bytes:
    """Where both kinds of photo lie, by each method, as a PNG.

    Args:
        distances: method -> distances; a line stands where 95 % of the apparel photos are nearer.
        screen: the model's, with its thresholds; the first method is its own.
        scores: what it gives, which are drawn in the place of its distances.
    """
    with mpl.rc_context(STYLE):
        rows = -(-len(distances) // COLUMNS)
        drawing = figure(9.5, 0.4 + 2.1 * rows)
        grid = drawing.subplots(rows, COLUMNS, squeeze=False).ravel()
        for number, (axes, (title, sides)) in enumerate(zip(grid, distances.items(), strict=False)):
            if number == 0 and screen is not None and scores is not None:
                _scores(axes, title, screen, scores)
            else:
                _distances(axes, title, sides)
        for axes in grid[len(distances) :]:
            axes.set_axis_off()
        grid[0].legend(fontsize=8)
    return to_png(drawing)


def _scores(axes: Axes, title: str, screen: Screen, scores: Sides) -> None:
    """On a logarithmic scale, as thresholds lie near zero."""
    bins = np.geomspace(LEAST_SCORE, 1, BINS + 1)
    _heaps(axes, scores, bins)
    axes.set_xscale("log")
    ticks = [LEAST_SCORE * 10**power for power in range(5)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    for threshold, name in ((screen.reject, "reject"), (screen.review, "review")):
        if LEAST_SCORE <= threshold <= 1:
            axes.axvline(threshold, color=INK, lw=0.8, ls="--")
            axes.annotate(
                name,
                (threshold, 1),
                xycoords=("data", "axes fraction"),
                xytext=(2, -8),
                textcoords="offset points",
                fontsize=7,
            )
    axes.set_title(title, fontsize=9)
    axes.set(xlabel="apparel_score", ylabel="% of photos")


def _distances(axes: Axes, title: str, sides: Sides) -> None:
    together = np.concatenate(sides)
    low, high = float(together.min()), float(np.quantile(together, MOST_DRAWN))
    _heaps(axes, sides, np.linspace(low, high if high > low else low + 1, BINS + 1))
    axes.axvline(float(np.quantile(sides[0], KEPT)), color=QUIET, lw=0.8, ls=":")
    axes.set_title(title, fontsize=9)


def _heaps(axes: Axes, sides: Sides, bins: np.ndarray) -> None:
    names = (("apparel", COLOURS[1]), ("without apparel", ACCENT))
    for values, (name, colour) in zip(sides, names, strict=True):
        inside = np.clip(values, bins[0], bins[-1])
        share = np.full(len(values), 100 / len(values))
        axes.hist(inside, bins.tolist(), weights=share, color=colour, alpha=0.55, label=name)
