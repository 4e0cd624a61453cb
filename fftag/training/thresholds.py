"""Where a score becomes a tag: thresholds with a stated objective, learned on validation."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit

from fftag.base.errors import FftagError
from fftag.evaluation.metrics import checked
from fftag.evaluation.ranking import ThresholdCounts, counts_by_threshold
from fftag.training.settings import TagSettings

DISTANCES = np.linspace(-3, 4, 141)
Choice = Callable[[ThresholdCounts], float]


def choose_thresholds(targets: np.ndarray, scores: np.ndarray, settings: TagSettings) -> np.ndarray:
    """One threshold per label: float32 [labels].

    `micro_f1` has one cut for all labels, the exact best on these photos: with calibrated scores
    the cut of best micro-F1 is the same for every label (Lipton et al. 2014). `macro_f1` and
    `precision` have a cut per label, drawn in the logit domain towards one that serves all labels
    at once, the more so the fewer positives a label has: for `precision` that is one score, for
    `macro_f1` one distance above each label's prevalence, as the best cut of a rare label is low.

    Args:
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels], calibrated.
        settings: the objective.

    Raises:
        FftagError: no photo has a label, or the target precision is not reached at any cut.
    """
    targets, scores = checked(targets, scores)
    labels = targets.shape[1]
    if settings.objective == "fixed":
        return np.full(labels, settings.threshold, dtype=np.float32)
    overall = counts_by_threshold(targets, scores)
    if not overall.positives:
        raise FftagError("no photo of the split has a label: a threshold cannot be chosen on it")
    if settings.objective == "micro_f1":
        return np.full(labels, _best_f1(overall), dtype=np.float32)
    choice: Choice = _best_f1
    if settings.objective == "precision":
        choice = _reaching(settings.precision)
        common = choice(overall)
        if np.isnan(common):
            raise FftagError(
                f"no threshold reaches a precision of {settings.precision:.0%} on the validation "
                "split: lower tags.precision"
            )
        cuts = np.full(labels, common)
    else:
        cuts = cuts_above_prevalence(targets, scores)
    positives = targets.sum(axis=0, dtype=np.int64)
    for label in np.flatnonzero(positives):
        own = choice(counts_by_threshold(targets[:, label], scores[:, label]))
        if not np.isnan(own):
            weight = positives[label] / (positives[label] + settings.shrinkage)
            cuts[label] = _blend(own, float(cuts[label]), float(weight))
    return cuts.astype(np.float32)


def cuts_above_prevalence(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Thresholds at one distance, in logits, from each label's mean score: the best for macro-F1.

    A label that a model cannot tell at all is best tagged everywhere, which is at its prevalence;
    the mean of calibrated scores estimates that.

    Args:
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels], calibrated.

    Returns:
        float64 [labels].
    """
    prior = logit(np.clip(scores.mean(axis=0, dtype=np.float64), 1e-6, 1 - 1e-6))
    best, found = -1.0, expit(prior)
    for distance in DISTANCES:
        cuts = expit(prior + distance)
        tags = scores >= cuts
        tp = (tags & (targets > 0)).sum(axis=0)
        wanted = tags.sum(axis=0) + targets.sum(axis=0, dtype=np.int64)
        macro = float((2 * tp / np.maximum(wanted, 1)).mean())
        if macro > best:
            best, found = macro, cuts
    return found


def _best_f1(counts: ThresholdCounts) -> float:
    """The middle of the scores between which F1 is best: less noisy than either end."""
    best = int(np.argmax(counts.f1))
    return _between(counts, best)


def _reaching(precision: float) -> Choice:
    def lowest(counts: ThresholdCounts) -> float:
        good = np.flatnonzero(counts.precision >= precision)
        return _between(counts, int(good[-1])) if len(good) else np.nan

    return lowest


def _between(counts: ThresholdCounts, cut: int) -> float:
    """Halfway from the score of a cut to the next lower one, in the logit domain."""
    here = float(counts.thresholds[cut])
    if cut + 1 == len(counts.thresholds):
        return here
    return _blend(here, float(counts.thresholds[cut + 1]), 0.5)


def _blend(one: float, other: float, weight: float) -> float:
    """A weighted mean of two scores in the logit domain."""
    logits = logit(np.clip(np.array([one, other]), 1e-7, 1 - 1e-7))
    return float(expit(weight * logits[0] + (1 - weight) * logits[1]))
