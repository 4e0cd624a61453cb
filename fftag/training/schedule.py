"""The learning rate as a function of the step, so that a resumed run need not store it."""

import math

ONE_CYCLE_START = 1 / 25  # of the highest rate, as in Smith and Topin 2018 and PyTorch


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
    return half_cosine((step - rising) / max(1, total - rising))


def one_cycle(step: int, total: int, warmup: float) -> float:
    """Factor of the highest rate: half a cosine up from 1/25, half a cosine down to zero."""
    rising = round(total * warmup)
    if step < rising:
        return 1 + (ONE_CYCLE_START - 1) * half_cosine(step / rising)
    return half_cosine((step - rising) / max(1, total - rising))


def constant(step: int, total: int, warmup: float) -> float:
    """1, after a linear rise."""
    rising = round(total * warmup)
    return min(1.0, (step + 1) / rising) if rising else 1.0


def half_cosine(progress: float) -> float:
    """From 1 at 0 to 0 at 1 and after."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


SCHEDULES = {"cosine": warmup_cosine, "one_cycle": one_cycle, "constant": constant}
