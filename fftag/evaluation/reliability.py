"""Whether scores are probabilities: reliability bins, calibration error, Brier score."""

from dataclasses import dataclass

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Bins:
    """Scores in bins of equal width on 0..1.

    Attributes:
        count: int64 [bins], entries in each.
        score: float64 [bins], their mean score; NaN in an empty bin.
        share: float64 [bins], the share of them that is positive; NaN in an empty bin.
    """

    count: np.ndarray
    score: np.ndarray
    share: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: mean of |share - score|, bins weighted by count."""
        filled = self.count > 0
        gaps = np.abs(self.share[filled] - self.score[filled])
        return float((gaps * self.count[filled]).sum() / self.count.sum())


def bins(targets: np.ndarray, scores: np.ndarray, number: int = BINS) -> Bins:
    """The entries of the two arrays by score; a score on a border belongs to the bin above it.

    Args:
        targets: 0 or 1.
        scores: float in 0..1, of the same shape.
        number: of bins.
    """
    truth, values = targets.ravel(), scores.ravel().astype(np.float64)
    place = np.clip((values * number).astype(np.int64), 0, number - 1)
    count = np.bincount(place, minlength=number)
    blank = np.full(number, np.nan)
    means = [
        np.divide(np.bincount(place, of, number), count, out=blank.copy(), where=count > 0)
        for of in (values, truth)
    ]
    return Bins(count, means[0], means[1])


def classwise_calibration_error(targets: np.ndarray, scores: np.ndarray) -> float:
    """The mean over labels of their expected calibration error, in 15 bins of equal width.

    As in Kull et al. 2019 (classwise-ECE) and Nixon et al. 2019 (static calibration error), with
    each label a two-class problem of its own.

    Args:
        targets: uint8 [photos, labels].
        scores: float [photos, labels], in 0..1.
    """
    errors = [bins(truth, score).error for truth, score in zip(targets.T, scores.T, strict=True)]
    return float(np.mean(errors))


def photo_brier(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Of each photo the mean over labels of (score - truth) squared: float64 [photos].

    The mean over photos is the Brier score over all photo-label pairs.
    """
    return ((scores.astype(np.float64) - targets) ** 2).mean(axis=1)
