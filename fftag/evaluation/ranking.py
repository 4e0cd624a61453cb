"""How well scores rank, by label and by photo, and what a cut at each of them would tag."""

import math
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score


def average_precision(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Average precision by label: float64 [labels]; NaN where no photo has the label."""
    return np.array(
        [
            average_precision_score(truth, score) if truth.any() else math.nan
            for truth, score in zip(targets.T, scores.T, strict=True)
        ]
    )


def micro_average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of all photo-label pairs as one list; NaN where nothing is positive."""
    if not targets.any():
        return math.nan
    return float(average_precision_score(targets.ravel(), scores.ravel()))


def photo_ranking_precision(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Of each photo its label-ranking average precision: float64 [photos].

    The labels of a photo are ranked by score, equal scores sharing the worst rank. For each true
    label, the share of true labels among those ranked as high or higher; their mean. A photo
    with no label, or with all, counts as 1. The mean over photos is scikit-learn's
    `label_ranking_average_precision_score`.

    Args:
        targets: uint8 [photos, labels].
        scores: float [photos, labels].
    """
    ranked = _ranked_by_photo(targets, scores)
    true = ranked.truth.sum(axis=1)
    precision = ranked.true_above / ranked.rank
    sums = (precision * ranked.truth).sum(axis=1)
    trivial = (true == 0) | (true == targets.shape[1])
    return np.where(trivial, 1.0, sums / np.maximum(true, 1))


def photo_coverage(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How far down the ranking of a photo's labels its last true label stands: int64 [photos].

    Equal scores share the worst rank; 0 for a photo without labels. The mean over photos is
    scikit-learn's `coverage_error`.
    """
    ranked = _ranked_by_photo(targets, scores)
    return (ranked.rank * ranked.truth).max(axis=1)


class _Ranked(NamedTuple):
    """Per photo, the labels from the highest score to the lowest: [photos, labels] each."""

    truth: np.ndarray
    rank: np.ndarray
    true_above: np.ndarray


def _ranked_by_photo(targets: np.ndarray, scores: np.ndarray) -> _Ranked:
    order = np.argsort(-scores, axis=1, kind="stable")
    truth = np.take_along_axis(targets, order, axis=1).astype(np.int64)
    values = np.take_along_axis(scores, order, axis=1)
    labels = targets.shape[1]
    ends = np.ones(targets.shape, dtype=bool)
    ends[:, :-1] = values[:, 1:] != values[:, :-1]
    # Each place takes the last place of its run of equal scores.
    last = np.where(ends, np.arange(labels), labels)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    true_above = np.take_along_axis(np.cumsum(truth, axis=1), last, axis=1)
    return _Ranked(truth, last + 1, true_above)


class WeightedPrecision:
    """Average precision of one ranking under many weightings of its photos.

    The entries are sorted once. A weighting is how often each photo was drawn, so that one matrix
    product gives the average precision of many resamples: the same as scikit-learn's on each
    resample written out.
    """

    def __init__(
        self, truth: np.ndarray, scores: np.ndarray, photo: np.ndarray, photos: int
    ) -> None:
        """Sorts the entries.

        Args:
            truth: [entries], 0 or 1.
            scores: float [entries].
            photo: int [entries], the photo that each entry is of.
            photos: how many there are.
        """
        order = np.argsort(-scores, kind="stable")
        values, hits = scores[order], truth[order].astype(bool)
        # Recall only grows where a run of equal scores holds a positive: nothing else adds to AP.
        ends = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
        found = np.cumsum(hits)[ends]
        grows = np.diff(found, prepend=0) > 0
        ends, found = ends[grows], found[grows]
        self._all = _segments(photo[order], np.append(0, ends + 1), photos)
        self._true = _segments(photo[order][hits], np.append(0, found), photos)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Average precision by weighting: float64 [weightings]; NaN where no positive is drawn.

        Args:
            weights: float64 [photos, weightings].
        """
        if not self._all.shape[0]:
            return np.full(weights.shape[1], math.nan)
        gained = self._true @ weights
        tp, given = np.cumsum(gained, axis=0), np.cumsum(self._all @ weights, axis=0)
        precision = np.divide(tp, given, out=np.zeros_like(tp), where=given > 0)
        total = tp[-1]
        sums = (precision * gained).sum(axis=0)
        return np.divide(sums, total, out=np.full_like(total, math.nan), where=total > 0)


def _segments(photo: np.ndarray, bounds: np.ndarray, photos: int) -> csr_array:
    """A matrix [segments, photos] that sums the photos between consecutive bounds."""
    used = photo[: bounds[-1]]
    return csr_array((np.ones(len(used)), used, bounds), shape=(len(bounds) - 1, photos))


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
