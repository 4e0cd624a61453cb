"""Everything that an evaluation finds, before it is written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fftag.evaluation import baselines, breakdown, intervals, metrics, mistakes
from fftag.evaluation.baselines import Baseline
from fftag.evaluation.intervals import Intervals
from fftag.evaluation.metrics import Evaluation
from fftag.evaluation.mistakes import Instead
from fftag.models.folder import ModelConfig


@dataclass(frozen=True)
class Results:
    """What a model's scores on some photos are worth.

    Attributes:
        evaluation: the figures; its `per_label` also has `ap_low` and `ap_high`.
        baselines: what the model must beat.
        intervals: how far the figures would move on other photos.
        prevalence: float [labels], share of the training photos with each label.
        instead: what is predicted where a label is missed.
        targets: uint8 [photos, labels].
        tags: uint8 [photos, labels].
        scores: float32 [photos, labels].
        files: where the photos lie, in order; empty where that is not known.
    """

    evaluation: Evaluation
    baselines: dict[str, Baseline]
    intervals: Intervals
    prevalence: np.ndarray
    instead: Instead
    targets: np.ndarray
    tags: np.ndarray
    scores: np.ndarray
    files: Sequence[Path] = ()

    @property
    def names(self) -> list[str]:
        """Of the labels."""
        return self.evaluation.per_label["label"].tolist()

    def to_json(self) -> dict[str, Any]:
        """What `metrics.json` holds; None where a figure is not defined."""
        measured = self.evaluation.to_json()
        return {
            "overall": measured["overall"],
            **self.intervals.to_json(),
            "breakdown": breakdown.to_json(self.evaluation.per_label, self.prevalence),
            "per_label": measured["per_label"],
            "missed": self.instead.rows(self.names),
            "baselines": {name: one.to_json() for name, one in self.baselines.items()},
        }


def judge(
    config: ModelConfig,
    targets: np.ndarray,
    scores: np.ndarray,
    files: Sequence[Path] = (),
    resamples: int | None = None,
    seed: int = 0,
) -> Results:
    """Measures scores in every way.

    Args:
        config: the model's labels, thresholds and training prevalence.
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels].
        files: where the photos lie, in order.
        resamples: for the intervals; see `intervals.bootstrap`.
        seed: of the resampling.

    Raises:
        FftagError: there are no photos, or a score is not finite.
        ValueError: shapes differ, or `targets` holds other than 0 and 1.
    """
    thresholds = np.asarray(config.thresholds, dtype=np.float32)
    prevalence = np.asarray(config.prevalence, dtype=np.float64)
    measured = metrics.evaluate(targets, scores, thresholds, config.labels)
    targets, scores = metrics.checked(targets, scores)
    tags = (scores >= thresholds).astype(np.uint8)
    around = intervals.bootstrap(targets, tags, scores, resamples, seed)
    low, high = around.ap.T
    return Results(
        evaluation=replace(measured, per_label=measured.per_label.assign(ap_low=low, ap_high=high)),
        baselines=baselines.compute(targets, config.labels, prevalence),
        intervals=around,
        prevalence=prevalence,
        instead=mistakes.instead_of_missed(targets, tags),
        targets=targets,
        tags=tags,
        scores=scores,
        files=files,
    )
