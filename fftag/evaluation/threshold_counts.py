"""What each possible global threshold would tag, rightly and wrongly."""

from typing import NamedTuple

import numpy as np


class ThresholdCounts(NamedTuple):
    """What each global threshold would tag: one entry per distinct score, highest first.

    Attributes:
        thresholds: float32, the distinct scores.
        tp: int64, true tags with a score at or above the threshold.
        predicted: int64, all tags at or above it.
        positives: how many true tags there are in all.
    """

    thresholds: np.ndarray
    tp: np.ndarray
    predicted: np.ndarray
    positives: int

    @property
    def precision(self) -> np.ndarray:
        return self.tp / self.predicted

    @property
    def recall(self) -> np.ndarray:
        """NaN where there is no positive."""
        return self.tp / self.positives if self.positives else np.full(self.tp.shape, np.nan)

    @property
    def f1(self) -> np.ndarray:
        # From whole numbers, so that equal F1 are equal floats and ties are seen as ties.
        return 2 * self.tp / (self.predicted + self.positives)


def counts_by_threshold(targets: np.ndarray, scores: np.ndarray) -> ThresholdCounts:
    """Counts at each threshold that makes a difference, over all entries of the two arrays."""
    truth, values = targets.ravel(), scores.ravel()
    order = np.argsort(-values, kind="stable")
    values = values[order]
    # Equal scores are tagged together: only the last of a run of them is a possible cut.
    cut = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    tp = np.cumsum(truth[order], dtype=np.int64)
    return ThresholdCounts(values[cut], tp[cut], cut + 1, int(tp[-1]))
