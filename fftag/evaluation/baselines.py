"""What a model must beat: chance, and predictions that do not look at the photo."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fftag.evaluation import metrics
from fftag.models.labels import LabelSet

CHANCE_DRAWS = 10


@dataclass(frozen=True)
class Baseline:
    """A prediction that needs no model, measured as a model is.

    Attributes:
        name: in words, for tables and plots.
        note: one sentence: what it predicts, and how it was chosen.
        overall: as `Evaluation.overall`.
        labels: the labels it gives to every photo; None for chance, which differs by photo.
    """

    name: str
    note: str
    overall: dict[str, float]
    labels: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """NaN as None; a constant prediction also has `labels` and their number `k`."""
        content: dict[str, Any] = {
            "name": self.name,
            "note": self.note,
            "overall": metrics.without_nan(self.overall),
        }
        if self.labels is not None:
            content |= {"k": len(self.labels), "labels": list(self.labels)}
        return content


def compute(
    targets: np.ndarray, labels: LabelSet, prevalence: np.ndarray | None = None, seed: int = 0
) -> dict[str, Baseline]:
    """All baselines: `chance`, `best_constant`, `predict_all` and `most_common_set`.

    Args:
        targets: uint8 [photos, labels].
        labels: in the order of the columns.
        prevalence: float [labels], for `chance`.
        seed: for `chance`.
    """
    return {
        "chance": chance(targets, prevalence, seed),
        "best_constant": best_constant(targets, labels),
        "predict_all": predict_all(targets, labels),
        "most_common_set": most_common_set(targets, labels),
    }


def chance(
    targets: np.ndarray,
    prevalence: np.ndarray | None = None,
    seed: int = 0,
    draws: int = CHANCE_DRAWS,
) -> Baseline:
    """Tags thrown at random, each label as often as it is met; the mean over several draws.

    Scores are uniform on 0..1 and a label is a tag where its score >= 1 - prevalence. The
    average precision of such scores is about the label's prevalence, and more where few photos
    have it (one in n: (1 + 1/2 + ... + 1/n) / n), which is why it is simulated. As a probability,
    chance states the prevalence for every photo.

    Args:
        targets: uint8 [photos, labels].
        prevalence: float [labels], shares in 0..1, of the training photos; by default those of
            `targets`.
        seed: of the random generator.
        draws: how many to average over.

    Raises:
        FftagError: there are no photos.
        ValueError: shapes differ, or `targets` holds other than 0 and 1.
    """
    truth = metrics.checked_targets(targets)
    whose = "the training photos" if prevalence is not None else "these photos"
    rates = truth.mean(axis=0) if prevalence is None else np.asarray(prevalence, dtype=np.float64)
    if rates.shape != truth.shape[1:]:
        raise ValueError(f"{len(rates)} prevalences for {truth.shape[1]} labels")
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        scores = random.random(truth.shape)
        tags = (scores >= 1 - rates).astype(np.uint8)
        drawn.append(metrics.overall(truth, tags, scores, np.broadcast_to(rates, truth.shape)))
    counted = {name: value for name, value in drawn[0].items() if isinstance(value, int)}
    means = {name: float(np.mean([figures[name] for figures in drawn])) for name in drawn[0]}
    return Baseline(
        name="chance",
        note=f"each label at random, as often as {whose} have it; mean of {draws} draws",
        overall=means | counted,
    )


def best_constant(targets: np.ndarray, labels: LabelSet) -> Baseline:
    """The one set of labels that, given to every photo, has the highest micro-F1 of all sets.

    With n_j photos having label j, a constant set S of k labels has micro-F1
    2 * sum(n_j, j in S) / (photos * k + sum of all n_j). For each k the most frequent k labels
    are best, so trying every k finds the optimum over all sets; the smallest k of equals is
    taken. It is chosen on the very photos it is judged on: a bar set high on purpose.

    Args:
        targets: uint8 [photos, labels].
        labels: in the order of the columns.

    Raises:
        FftagError: there are no photos.
        ValueError: `targets` holds other than 0 and 1.
    """
    truth = metrics.checked_targets(targets)
    counts = truth.sum(axis=0, dtype=np.int64)
    by_frequency = np.argsort(-counts, kind="stable")
    k = np.arange(1, len(counts) + 1)
    micro_f1 = 2 * np.cumsum(counts[by_frequency]) / (len(truth) * k + counts.sum())
    chosen = np.zeros(len(counts), dtype=np.uint8)
    chosen[by_frequency[: np.argmax(micro_f1) + 1]] = 1
    note = (
        f"the {int(chosen.sum())} most frequent labels for every photo: the constant with the "
        "highest micro-F1, chosen on these very photos"
    )
    return _constant("best constant", note, truth, chosen, labels)


def predict_all(targets: np.ndarray, labels: LabelSet) -> Baseline:
    """Every label for every photo: of all constants the one with the highest macro-F1."""
    truth = metrics.checked_targets(targets)
    everything = np.ones(truth.shape[1], dtype=np.uint8)
    note = "every label for every photo: the constant with the highest macro-F1"
    return _constant("all labels", note, truth, everything, labels)


def most_common_set(targets: np.ndarray, labels: LabelSet) -> Baseline:
    """The set of labels met most often: of all constants the one with the best subset accuracy."""
    truth = metrics.checked_targets(targets)
    sets, counts = np.unique(truth, axis=0, return_counts=True)
    note = (
        "the set of labels that most photos have exactly, for every photo: the constant with the "
        "highest subset accuracy, chosen on these very photos"
    )
    return _constant("most common set", note, truth, sets[np.argmax(counts)], labels)


def _constant(
    name: str, note: str, truth: np.ndarray, chosen: np.ndarray, labels: LabelSet
) -> Baseline:
    # Scores rank the labels by frequency, whatever set is tagged: no other constant scores have a
    # higher micro AP, so that bar too is as high as a constant can set it.
    ranks = np.argsort(np.argsort(-truth.sum(axis=0, dtype=np.int64), kind="stable"))
    scores = np.broadcast_to(1 - ranks / len(ranks), truth.shape)
    tags = np.broadcast_to(chosen, truth.shape)
    return Baseline(
        name=name,
        note=note,
        overall=metrics.overall(truth, tags, scores, probabilities=tags),
        labels=tuple(label for label, given in zip(labels.names, chosen, strict=True) if given),
    )
