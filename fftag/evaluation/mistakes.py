"""Where a model is wrong: what it says instead of a label it misses, and its surest errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_MISSED = 12
MOST_PUT_INSTEAD = 15
TOP = 3
SUREST = 12


@dataclass(frozen=True)
class Instead:
    """What photos get that lack a tag they should have.

    Attributes:
        missed: int [rows], the labels with the most misses, most first.
        misses: int [rows], photos that have the label and did not get it.
        with_wrong: int [rows], those of them that got a label they do not have.
        counts: int [rows, labels], those of them that wrongly got each label.
    """

    missed: np.ndarray
    misses: np.ndarray
    with_wrong: np.ndarray
    counts: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """The labels put most often in place of those missed: int, most first."""
        shares = (self.counts / np.maximum(self.misses, 1)[:, None]).sum(axis=0)
        order = np.argsort(-shares, kind="stable")[:MOST_PUT_INSTEAD]
        return order[shares[order] > 0]

    @property
    def shares(self) -> np.ndarray:
        """Of the photos that miss the row's label, the share that wrongly got the column's."""
        return self.counts[:, self.columns] / np.maximum(self.misses, 1)[:, None]

    def rows(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """One row per label: `label`, `misses`, `share_with_wrong` and `instead` (the top 3)."""
        rows = []
        for row, label in enumerate(self.missed):
            misses, counts = int(self.misses[row]), self.counts[row]
            top = [int(other) for other in np.argsort(-counts, kind="stable")[:TOP]]
            instead = [
                {"label": names[other], "share": float(counts[other] / misses)}
                for other in top
                if counts[other]
            ]
            share = float(self.with_wrong[row] / misses)
            rows.append(
                {
                    "label": names[label],
                    "misses": misses,
                    "share_with_wrong": share,
                    "instead": instead,
                }
            )
        return rows


def instead_of_missed(targets: np.ndarray, tags: np.ndarray, most: int = MOST_MISSED) -> Instead:
    """What is predicted where a label is missed, of the labels with the most misses.

    Args:
        targets: uint8 [photos, labels].
        tags: uint8 [photos, labels].
        most: labels at most.
    """
    missing = (targets == 1) & (tags == 0)
    wrong = (targets == 0) & (tags == 1)
    misses = missing.sum(axis=0)
    missed = np.argsort(-misses, kind="stable")[:most]
    missed = missed[misses[missed] > 0]
    chosen = missing[:, missed]
    return Instead(
        missed=missed,
        misses=misses[missed],
        with_wrong=(chosen & wrong.any(axis=1)[:, None]).sum(axis=0),
        counts=chosen.T.astype(np.int64) @ wrong.astype(np.int64),
    )


@dataclass(frozen=True)
class Mistake:
    """One wrong photo-label pair.

    Attributes:
        photo: its position.
        label: the label's position.
        score: what the model gave.
    """

    photo: int
    label: int
    score: float


def surest_false_positives(
    targets: np.ndarray, tags: np.ndarray, scores: np.ndarray, most: int = SUREST
) -> list[Mistake]:
    """The tags given wrongly with the highest scores; each photo once, at its worst."""
    return _surest((targets == 0) & (tags == 1), scores, -scores, most)


def surest_false_negatives(
    targets: np.ndarray, tags: np.ndarray, scores: np.ndarray, most: int = SUREST
) -> list[Mistake]:
    """The labels missed with the lowest scores; each photo once, at its worst."""
    return _surest((targets == 1) & (tags == 0), scores, scores, most)


def _surest(wrong: np.ndarray, scores: np.ndarray, by: np.ndarray, most: int) -> list[Mistake]:
    worst = np.where(wrong, by, np.inf).argmin(axis=1)
    photos = np.flatnonzero(wrong.any(axis=1))
    photos = photos[np.argsort(by[photos, worst[photos]], kind="stable")][:most]
    return [
        Mistake(int(photo), int(worst[photo]), float(scores[photo, worst[photo]]))
        for photo in photos
    ]
