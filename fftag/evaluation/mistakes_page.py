"""The parts of an evaluation's page that show calibration and mistakes: text, tables, pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fftag.base.page import Section
from fftag.base.plots import ACCENT, INK, QUIET, STYLE, figure, heat_map, to_png
from fftag.evaluation.mistakes import (
    Instead,
    Mistake,
    surest_false_negatives,
    surest_false_positives,
)
from fftag.evaluation.plots import shortened
from fftag.evaluation.reliability import Bins, bins
from fftag.evaluation.results import Results
from fftag.photos.decode import InputSpec
from fftag.photos.pool import ReadOptions, decoded

LABELS_DRAWN = 8
THUMBNAIL = InputSpec(150, 120, resize="pad")
PER_ROW = 6
CAPTION_LENGTH = 24


def instead_section(results: Results, plot: bytes | None) -> Section:
    """Where a label is missed, what is predicted instead: a heat map and a table."""
    heading = "Where a label is missed, what is predicted instead"
    rows = results.instead.rows(results.names)
    if not rows:
        return Section(heading, ["No label is missed on any photo."])
    text = [
        "Of the photos that have a label and do not get it, the share that got some label they do "
        "not have, and the labels they got most often. The rest got nothing wrong: the label is "
        "simply absent. Labels with the most misses come first."
    ]
    table = pd.DataFrame(
        {
            "missed": [row["label"] for row in rows],
            "photos missing it": [row["misses"] for row in rows],
            "with a wrong label": [f"{row['share_with_wrong']:.0%}" for row in rows],
            "instead": [
                "; ".join(f"{one['label']} ({one['share']:.0%})" for one in row["instead"])
                for row in rows
            ],
        }
    )
    images = [] if plot is None else [(plot, "")]
    return Section(heading, text, images, table, right=frozenset({"with a wrong label"}))


def surest_sections(results: Results) -> list[Section]:
    """The surest false positives and negatives, as thumbnails where the photos are known."""
    targets, tags, scores = results.targets, results.tags, results.scores
    return [
        _surest(
            "The surest tags that are wrong",
            "False positives with the highest scores. Among them are photos whose labels are "
            "incomplete.",
            surest_false_positives(targets, tags, scores),
            results,
        ),
        _surest(
            "The labels missed most surely",
            "False negatives with the lowest scores.",
            surest_false_negatives(targets, tags, scores),
            results,
        ),
    ]


def _surest(heading: str, text: str, shown: Sequence[Mistake], results: Results) -> Section:
    if not shown:
        return Section(heading, ["There are none."])
    columns: dict[str, list[object]] = {
        "number": list(range(1, len(shown) + 1)),
        "label": [results.names[one.label] for one in shown],
        "score": [one.score for one in shown],
    }
    images = []
    paragraphs = [text]
    if results.files:
        sheet = Thumbnails(shown, results.files, results.names)
        images = [(to_png(sheet.picture), "")]
        files = [str(results.files[one.photo]) for one in shown]
        columns["photo"] = [file.encode("utf-8", "replace").decode() for file in files]
        failed = [problem for problem in sheet.problems if problem]
        if failed:
            paragraphs.append(f"{len(failed)} of these photos cannot be read to be shown.")
            columns["problem"] = list(sheet.problems)
    else:
        columns["photo"] = [f"number {one.photo + 1} of the split" for one in shown]
    return Section(heading, paragraphs, images, pd.DataFrame(columns))


def reliability(targets: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> Figure:
    """Reliability diagrams of all photo-label pairs, and of the labels with the most support.

    Args:
        targets: uint8 [photos, labels].
        scores: float [photos, labels], in 0..1.
        names: of the labels.
    """
    support = targets.sum(axis=0)
    shown = [
        int(label)
        for label in np.argsort(-support.astype(np.int64), kind="stable")[:LABELS_DRAWN]
        if support[label]
    ]
    with mpl.rc_context(STYLE):
        drawing = figure(9.2, 3.9)
        halves: Any = drawing.subfigures(1, 2, width_ratios=(1, 1.5))
        together, single = halves
        axes = together.subplots()
        _diagram(axes, bins(targets, scores), 9)
        axes.set(xlabel="score", ylabel="share that is right")
        axes.set_title("All photo-label pairs")
        small = single.subplots(2, 4, sharex=True, sharey=True, squeeze=False).ravel()
        for place, label in zip(small, shown, strict=False):
            _diagram(place, bins(targets[:, label], scores[:, label]), 6)
            place.set_title(_cut(names[label], 16), fontsize=8)
            place.tick_params(labelsize=7)
        for place in small[len(shown) :]:
            place.set_axis_off()
    return drawing


def _diagram(axes: Any, found: Bins, largest: float) -> None:
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle="--")
    filled = found.count > 0
    axes.plot(found.score[filled], found.share[filled], color=ACCENT, linewidth=1)
    size = (2 + (largest - 2) * np.sqrt(found.count[filled] / found.count.max())) ** 2
    axes.scatter(found.score[filled], found.share[filled], size, color=ACCENT, zorder=3)
    text = f"ECE {found.error:.3f}"
    axes.text(0.97, 0.03, text, transform=axes.transAxes, fontsize=7, ha="right")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")


def instead_of_missed(found: Instead, names: Sequence[str]) -> Figure:
    """A heat map: rows are missed labels, columns those wrongly given to the photos missing them.

    Args:
        found: with at least one row and column.
        names: of the labels.
    """
    rows = [
        f"{shortened(names[label])} ({misses:,} missed)"
        for label, misses in zip(found.missed, found.misses, strict=True)
    ]
    columns = [shortened(names[label]) for label in found.columns]
    return heat_map(found.shares, rows, columns, "Given instead", False)


class Thumbnails:
    """A sheet of numbered photos, and why those that are not drawn could not be read.

    Attributes:
        picture: the sheet.
        problems: of each photo, in order; empty where it was read.
    """

    def __init__(self, shown: Sequence[Mistake], files: Sequence[Path], names: Sequence[str]):
        """Reads and draws them.

        Args:
            shown: what to draw; at least one.
            files: of all photos, by position.
            names: of all labels, by position.
        """
        photos = list(decoded([files[one.photo] for one in shown], THUMBNAIL, ReadOptions()))
        self.problems = [
            f"{photo.status}: {photo.error}" if pixels is None else "" for photo, pixels in photos
        ]
        rows = -(-len(shown) // PER_ROW)
        with mpl.rc_context(STYLE):
            self.picture = figure(9.2, 2.15 * rows)
            places = self.picture.subplots(rows, PER_ROW, squeeze=False).ravel()
            for place in places:
                place.set_axis_off()
            for number, (place, one) in enumerate(zip(places, shown, strict=False), 1):
                _, photo = photos[number - 1]
                if photo is None:
                    photo = np.full((THUMBNAIL.height, THUMBNAIL.width, 3), 240, np.uint8)
                    middle = (THUMBNAIL.width / 2, THUMBNAIL.height / 2)
                    place.text(*middle, "cannot\nbe read", ha="center", va="center", color=INK)
                place.imshow(photo)
                text = f"{number}. {_cut(names[one.label])}\n{one.score:.3f}"
                place.set_title(text, fontsize=7, fontweight="normal")
                place.text(
                    THUMBNAIL.width / 2,
                    THUMBNAIL.height * 1.02,
                    _cut(files[one.photo].name),
                    fontsize=6,
                    color=QUIET,
                    ha="center",
                    va="top",
                )


def _cut(text: str, length: int = CAPTION_LENGTH) -> str:
    """At most so many characters, the end of a file name as telling as its beginning."""
    plain = text.encode("utf-8", "replace").decode()
    if len(plain) <= length:
        return plain
    kept = (length - 1) // 2
    return f"{plain[: length - 1 - kept]}…{plain[-kept:]}"
