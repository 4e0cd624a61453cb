"""The plots of the dataset page, as PNG bytes."""

import textwrap
from contextlib import closing
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from fftag.base import plots
from fftag.data.manifest import Manifest
from fftag.photos.decode import InputSpec
from fftag.photos.pool import ReadOptions, decoded

LONGEST_NAME = 40
THUMBNAIL = InputSpec(360, 270, resize="pad")


@dataclass(frozen=True)
class Sample:
    """A photo made small, on white, with its path and labels."""

    picture: np.ndarray
    image: str
    labels: list[str]


def shorten(name: str) -> str:
    """A label name that leaves room for the plot, printable whatever it holds."""
    printable = "".join(
        sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in name
    )
    return printable if len(printable) <= LONGEST_NAME else printable[: LONGEST_NAME - 1] + "…"


def label_frequency(frequencies: pd.DataFrame, photos: int) -> bytes:
    """Bars of each label's share with its interval, the commonest on top."""
    return _share_bars(frequencies, f"Share of {photos:,} photos with each label")


def rarest_labels(frequencies: pd.DataFrame) -> bytes:
    """Bars of the rarest labels' shares, the rarest on top."""
    rarest = frequencies.iloc[::-1]
    return _share_bars(rarest, f"The {len(rarest)} rarest labels")


def _share_bars(frequencies: pd.DataFrame, title: str) -> bytes:
    rows = zip(frequencies["label"], frequencies["photos"], strict=True)
    drawing = plots.bars(
        [f"{shorten(name)}  {count:,}" for name, count in rows],
        frequencies["share %"].to_list(),
        title,
        "% of photos, with 95 % interval; beside each name: photos with it",
        frequencies["low %"].to_list(),
        frequencies["high %"].to_list(),
    )
    return plots.to_png(drawing)


def labels_per_photo(counts: np.ndarray) -> bytes:
    """How many photos have 0, 1, 2, ... labels."""
    with mpl.rc_context(plots.STYLE):
        drawing = plots.figure(7.5, 3.6)
        axes = drawing.subplots()
        photos = np.bincount(counts)
        bars = axes.bar(np.arange(len(photos)), photos, color=plots.ACCENT, width=0.8)
        if len(photos) <= 20:
            axes.bar_label(bars, [f"{count:,}" for count in photos], fontsize=7, padding=2)
        mean = counts.mean()
        axes.axvline(mean, color=plots.INK, linewidth=1, linestyle="--")
        axes.annotate(
            f"mean {mean:.2f}",
            (mean, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            va="top",
            fontsize=8,
        )
        axes.margins(y=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x", visible=False)
        axes.set(title="Labels per photo", xlabel="labels", ylabel="photos")
    return plots.to_png(drawing)


def co_occurrence(together: np.ndarray, names: list[str]) -> bytes:
    """Of the photos with the row's label, the % that has the column's.

    Args:
        together: photos with both labels, int [labels, labels]; the diagonal counts each label.
    """
    with np.errstate(invalid="ignore"):
        shares = 100 * together / np.diag(together)[:, None]
    np.fill_diagonal(shares, np.nan)
    shown = [shorten(name) for name in names]
    title = "Labels together (% of the row's photos)"
    return plots.to_png(plots.heat_map(shares, shown, shown, title, diverging=False))


def correlation(phi: np.ndarray, names: list[str]) -> bytes:
    """The phi coefficients, the diagonal left blank."""
    shown = [shorten(name) for name in names]
    title = "Correlation of labels (phi)"
    return plots.to_png(plots.heat_map(phi, shown, shown, title, diverging=True))


def read_samples(manifest: Manifest, most: int, seed: int) -> tuple[list[Sample], int]:
    """Photos drawn at random; those that cannot be read are counted, and others drawn.

    Returns:
        Up to `most` samples, and how many photos could not be read on the way.
    """
    order = np.random.default_rng(seed).permutation(len(manifest))[: 4 * most]
    files, found, unreadable = manifest.files(), list[Sample](), 0
    photos = decoded([files[row] for row in order], THUMBNAIL, ReadOptions(batch_size=most))
    with closing(photos):
        for row, (_, pixels) in zip(order, photos, strict=False):
            if pixels is None:
                unreadable += 1
                continue
            image, labels = manifest.frame.loc[row, ["image", "labels"]]
            found.append(Sample(pixels, str(image), list(labels)))
            if len(found) == most:
                break
    return found, unreadable


def samples(found: list[Sample], columns: int = 4) -> bytes:
    """A grid of photos, their labels underneath."""
    with mpl.rc_context(plots.STYLE):
        rows = max(1, -(-len(found) // columns))
        drawing = plots.figure(2.4 * columns, 3.7 * rows)
        grid = np.ravel(drawing.subplots(rows, columns))
        for axes in grid:
            axes.set_axis_off()
        for axes, sample in zip(grid, found, strict=False):
            axes.imshow(sample.picture)
            words = " · ".join(shorten(name) for name in sample.labels) or "no label"
            axes.text(
                0.5,
                -0.03,
                "\n".join(textwrap.wrap(words, 34)[:7]),
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=7,
            )
        if not found:
            grid[0].text(0, 1, "No photo could be read.", transform=grid[0].transAxes)
    return plots.to_png(drawing)
