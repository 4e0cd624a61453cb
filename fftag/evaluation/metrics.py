"""How good scores are: multi-label metrics, overall and by label, and the threshold to tag at."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import (
    accuracy_score,
    hamming_loss,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
)

from fftag.base.errors import FftagError
from fftag.evaluation.ranking import (
    average_precision,
    counts_by_threshold,
    micro_average_precision,
    photo_coverage,
    photo_ranking_precision,
)
from fftag.evaluation.reliability import classwise_calibration_error, photo_brier
from fftag.models.labels import LabelSet

AVERAGES = ("micro", "macro", "weighted", "samples")
EPOCH_FIGURES = ("mAP", "micro_ap", "micro_f1", "macro_f1", "samples_f1", "subset_accuracy")


@dataclass(frozen=True)
class Evaluation:
    """What a model's scores are worth on some photos; docs/evaluation.md defines each figure.

    Attributes:
        overall: one number per metric; NaN where it is not defined.
        per_label: one row per label, in the order of the label set: `label`, `group`, `support`
            (photos with it), `prevalence`, `threshold`, `predicted` (photos tagged with it), `tp`,
            `fp`, `fn`, `tn`, `precision`, `recall`, `f1`, `ap`; NaN where not defined.
    """

    overall: dict[str, float]
    per_label: pd.DataFrame

    def to_json(self) -> dict[str, Any]:
        """`overall` and a list `per_label`, NaN as None: strictly valid JSON."""
        return {
            "overall": without_nan(self.overall),
            "per_label": [
                without_nan({str(name): value for name, value in row.items()})
                for row in self.per_label.astype(object).to_dict(orient="records")
            ],
        }


def evaluate(
    targets: np.ndarray, scores: np.ndarray, thresholds: np.ndarray, labels: LabelSet
) -> Evaluation:
    """Measures scores against the truth; a label is a tag where its score >= its threshold.

    Args:
        targets: uint8 [photos, labels], 1 where the photo has the label.
        scores: float32 [photos, labels].
        thresholds: float32 [labels].
        labels: names and groups, in the order of the columns.

    Raises:
        FftagError: there are no photos, or a score is not finite.
        ValueError: shapes differ, or `targets` holds other than 0 and 1.
    """
    targets, scores = checked(targets, scores)
    limits = np.asarray(thresholds, dtype=np.float32)
    if limits.shape != (len(labels),) or targets.shape[1] != len(labels):
        raise ValueError(
            f"{targets.shape[1]} columns and thresholds {limits.shape} for {len(labels)} labels"
        )
    tags = (scores >= limits).astype(np.uint8)
    ap = average_precision(targets, scores)
    return Evaluation(
        overall=overall(targets, tags, scores),
        per_label=_per_label(targets, tags, limits, ap, labels),
    )


def overall(
    targets: np.ndarray,
    tags: np.ndarray,
    scores: np.ndarray,
    probabilities: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics that are one number each, of tags already decided.

    Precision, recall and F1 are scikit-learn's with `zero_division=0`: in macro, weighted and
    samples averages an undefined value counts as 0, it is not left out.

    Args:
        targets: uint8 [photos, labels].
        tags: uint8 [photos, labels], the prediction.
        scores: float [photos, labels], what ranks photos and labels.
        probabilities: float [photos, labels], what is judged as probability; by default `scores`.
    """
    ap = average_precision(targets, scores)
    defined = ap[~np.isnan(ap)]
    stated = scores if probabilities is None else probabilities
    return {
        "photos": len(targets),
        "labels": targets.shape[1],
        "labels_without_positives": int((targets.sum(axis=0) == 0).sum()),
        "labels_per_photo": float(targets.sum(axis=1).mean()),
        "tags_per_photo": float(tags.sum(axis=1).mean()),
        **tag_figures(targets, tags),
        "mAP": float(defined.mean()) if len(defined) else math.nan,
        "mAP_labels": len(defined),
        "micro_ap": micro_average_precision(targets, scores),
        "lrap": float(photo_ranking_precision(targets, scores).mean()),
        "coverage_error": float(photo_coverage(targets, scores).mean()),
        "classwise_ece": classwise_calibration_error(targets, stated),
        "brier": float(photo_brier(targets, stated).mean()),
    }


def tag_figures(targets: np.ndarray, tags: np.ndarray) -> dict[str, float]:
    """The metrics of `overall` that look at the tags alone; both uint8 [photos, labels]."""
    truth, predicted = _multilabel(targets), _multilabel(tags)
    figures = {
        "subset_accuracy": float(accuracy_score(truth, predicted)),
        "hamming_loss": float(hamming_loss(targets.ravel(), tags.ravel())),
    }
    for average in AVERAGES:
        values = precision_recall_fscore_support(
            truth, predicted, labels=range(targets.shape[1]), average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), values, strict=False):
            figures[f"{average}_{name}"] = float(value)
    of_means = harmonic_mean(figures["macro_precision"], figures["macro_recall"])
    return figures | {"CF1": float(of_means)}


def harmonic_mean(precision: Any, recall: Any) -> Any:
    """F1 from the two, numbers or arrays; 0 where both are 0."""
    total = np.asarray(precision + recall)
    return np.divide(2 * precision * recall, total, out=np.zeros(total.shape), where=total > 0)


def _per_label(
    targets: np.ndarray, tags: np.ndarray, thresholds: np.ndarray, ap: np.ndarray, labels: LabelSet
) -> pd.DataFrame:
    # Here, unlike in the averages, what is not defined stays so: 0 would read as a failure.
    precision, recall, f1, support = precision_recall_fscore_support(
        _multilabel(targets),
        _multilabel(tags),
        labels=range(len(labels)),
        average=None,
        zero_division=np.nan,
    )
    counts = _confusion(targets, tags)
    return pd.DataFrame(
        {
            "label": labels.names,
            "group": pd.Series(labels.groups, dtype=object),
            "support": support,
            "prevalence": support / len(targets),
            "threshold": thresholds.astype(np.float64),
            "predicted": tags.sum(axis=0, dtype=np.int64),
            **{name: counts[name] for name in ("tp", "fp", "fn", "tn")},
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "ap": ap,
        }
    )


def best_global_threshold(targets: np.ndarray, scores: np.ndarray) -> float:
    """The one threshold for all labels that maximises micro-F1, exactly; the highest of equals.

    It is one of the scores, so it keeps its value as a float32. Choose it on the validation
    split; on the split that is judged it flatters.

    Args:
        targets: [photos, labels], 0 or 1.
        scores: float32 [photos, labels].

    Raises:
        FftagError: there are no photos, no photo has any label, or a score is not finite.
        ValueError: shapes differ, or `targets` holds other than 0 and 1.
    """
    counts = counts_by_threshold(*checked(targets, scores))
    if not counts.positives:
        raise FftagError("no photo of the split has a label: a threshold cannot be chosen on it")
    return float(counts.thresholds[np.argmax(counts.f1)])


def validation_counts(
    targets: np.ndarray, scores: np.ndarray, thresholds: np.ndarray
) -> list[dict[str, int]]:
    """`tp`, `fp`, `fn` and `tn` of each label at its threshold; arguments as for `evaluate`."""
    targets, scores = checked(targets, scores)
    tags = (scores >= np.asarray(thresholds, dtype=np.float32)).astype(np.uint8)
    counts = _confusion(targets, tags)
    return [
        {name: int(column[label]) for name, column in counts.items()}
        for label in range(targets.shape[1])
    ]


def summary(targets: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """The few figures to follow during training, at the threshold best for these very scores.

    A fixed threshold would follow calibration rather than quality: losses that weigh labels
    shift all scores up or down.

    Args:
        targets: [photos, labels], 0 or 1.
        scores: float32 [photos, labels].

    Raises:
        FftagError: as for `best_global_threshold`.
    """
    targets, scores = checked(targets, scores)
    threshold = best_global_threshold(targets, scores)
    figures = overall(targets, (scores >= np.float32(threshold)).astype(np.uint8), scores)
    return {name: figures[name] for name in EPOCH_FIGURES} | {"threshold": threshold}


def checked(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two as uint8 and float32 [photos, labels], after making sure that they fit.

    Raises:
        FftagError: there are no photos, or a score is not finite.
        ValueError: shapes differ, or `targets` holds other than 0 and 1.
    """
    if targets.shape != scores.shape:
        raise ValueError(f"targets {targets.shape} and scores {scores.shape} do not fit")
    truth = checked_targets(targets)
    broken = int((~np.isfinite(scores)).any(axis=1).sum())
    if broken:
        raise FftagError(
            f"the model gives scores that are no numbers for {broken} of {len(scores)} photos: "
            "its weights are damaged, or the precision is too low for it"
        )
    return truth, scores.astype(np.float32)


def checked_targets(targets: np.ndarray) -> np.ndarray:
    """The truth as uint8 [photos, labels].

    Raises:
        FftagError: there are no photos.
        ValueError: it is no matrix of 0 and 1.
    """
    if targets.ndim != 2 or not np.isin(targets, (0, 1)).all():
        raise ValueError("targets must be a matrix of 0 and 1")
    if not targets.size:
        raise FftagError("there are no photos to evaluate on")
    return targets.astype(np.uint8)


def without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """A copy with None for NaN, which JSON does not know."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def _confusion(targets: np.ndarray, tags: np.ndarray) -> dict[str, np.ndarray]:
    """int64 [labels] for each of tp, fp, fn and tn."""
    matrices = multilabel_confusion_matrix(
        _multilabel(targets), _multilabel(tags), labels=range(targets.shape[1])
    )
    return {
        "tp": matrices[:, 1, 1],
        "fp": matrices[:, 0, 1],
        "fn": matrices[:, 1, 0],
        "tn": matrices[:, 0, 0],
    }


def _multilabel(matrix: np.ndarray) -> np.ndarray:
    """The matrix, widened where it has one column.

    scikit-learn takes [photos, 1] for a two-class problem and averages over "has it" and "has it
    not"; a second, empty column, left out by `labels=`, keeps it to the one label.
    """
    return np.pad(matrix, ((0, 0), (0, 1))) if matrix.shape[1] == 1 else matrix
