"""Scores that mean what they say: Platt scaling, learned on validation, folded into the head."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import nn

from fftag.training.settings import TagSettings

LEAST_SLOPE = 0.01  # a slope of 0 or less would tie or turn round what the model has ranked


@dataclass(frozen=True)
class Calibration:
    """A straight line through the logits of each label.

    Attributes:
        methods: per label, `platt` (its own), `global` (that of all labels together) or `none`.
        slope: float64 [labels].
        intercept: float64 [labels].
    """

    methods: tuple[str, ...]
    slope: np.ndarray
    intercept: np.ndarray

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits: float32 [photos, labels]."""
        return (logits * self.slope + self.intercept).astype(np.float32)

    def fold_into(self, head: nn.Linear) -> None:
        """Changes a linear head so that its logits come out calibrated."""
        slope = torch.from_numpy(self.slope).to(head.weight)
        intercept = torch.from_numpy(self.intercept).to(head.weight)
        with torch.no_grad():
            head.weight.mul_(slope[:, None])
            head.bias.mul_(slope).add_(intercept)

    def to_json(self) -> dict[str, list[float] | list[str]]:
        """For the record; the head already holds it."""
        return {
            "method": list(self.methods),
            "slope": self.slope.tolist(),
            "intercept": self.intercept.tolist(),
        }


def calibrate(targets: np.ndarray, logits: np.ndarray, settings: TagSettings) -> Calibration:
    """Learns a calibration from photos that the model was not trained on.

    All labels share one line (a temperature and an offset, from all photo-label pairs); a label
    with enough positives and negatives gets its own (Platt 1999).

    Args:
        targets: uint8 [photos, labels].
        logits: float32 [photos, labels].
        settings: the method, and what is enough.
    """
    labels = targets.shape[1]
    if settings.calibration == "none":
        return Calibration(("none",) * labels, np.ones(labels), np.zeros(labels))
    methods = ["global"] * labels
    slope, intercept = (np.full(labels, value) for value in _platt(targets.ravel(), logits.ravel()))
    if settings.calibration == "platt":
        positives = targets.sum(axis=0, dtype=np.int64)
        least = np.minimum(positives, len(targets) - positives)
        for label in np.flatnonzero(least >= settings.platt_support):
            methods[label] = "platt"
            slope[label], intercept[label] = _platt(targets[:, label], logits[:, label])
    return Calibration(tuple(methods), slope, intercept)


def _platt(targets: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of least log loss, against targets smoothed as Platt (1999) does."""
    positives = float(targets.sum())
    negatives = len(targets) - positives
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    wanted = np.where(targets > 0, high, low)
    values = logits.astype(np.float64)

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        moved = values * line[0] + line[1]
        # Cross-entropy of a logit z against a target t is log(1 + e^z) - t z.
        error = 1 / (1 + np.exp(-np.clip(moved, -500, 500))) - wanted
        cost = np.logaddexp(0, moved) - wanted * moved
        return float(cost.mean()), np.array([(error * values).mean(), error.mean()])

    bounds = [(LEAST_SLOPE, None), (None, None)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B")
    return float(found.x[0]), float(found.x[1])
