"""The learning rate, step by step."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """Factor of the highest rate: a linear rise, then half a cosine down to zero.

    Args:
        step: from 0.
        total: steps in all.
        warmup: share of them spent rising.
    """
    rising = max(1, round(total * warmup)) if warmup else 0
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def make_schedule(optimizer: Optimizer, total: int, warmup: float) -> LambdaLR:
    """A schedule to step once per optimizer step."""
    return LambdaLR(optimizer, lambda step: warmup_cosine(step, total, warmup))
