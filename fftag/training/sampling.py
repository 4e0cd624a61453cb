"""Class-weighted sampling: photos with rare labels are drawn more often."""

import numpy as np
import torch
from torch.utils.data import RandomSampler, Sampler, WeightedRandomSampler


def label_weights(targets: np.ndarray) -> np.ndarray:
    """Weight of each label: total label count / (label frequency x number of labels).

    Args:
        targets: multi-hot uint8 [photos, labels].

    Returns:
        float64 [labels]; 0 for a label that no photo has, as nothing can be drawn for it.
    """
    frequency = targets.sum(axis=0, dtype=np.float64)
    weights = np.zeros_like(frequency)
    np.divide(frequency.sum(), frequency * len(frequency), out=weights, where=frequency > 0)
    return weights


def photo_weights(targets: np.ndarray) -> np.ndarray:
    """Weight of each photo: the sum of its labels' weights; float64 [photos].

    A photo without labels has weight 0: it is never drawn.
    """
    return targets @ label_weights(targets)


def make_sampler(name: str, targets: np.ndarray, generator: torch.Generator) -> Sampler[int]:
    """The sampler of one epoch, as long as there are photos.

    Args:
        name: `shuffle` or `class_weighted`.
        targets: multi-hot uint8 [photos, labels].
        generator: source of its randomness.
    """
    if name == "shuffle":
        return RandomSampler(range(len(targets)), generator=generator)
    weights = torch.from_numpy(photo_weights(targets))
    return WeightedRandomSampler(
        weights,  # type: ignore[arg-type]
        num_samples=len(targets),
        replacement=True,
        generator=generator,
    )
