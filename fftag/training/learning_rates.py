"""Which stages of a network learn at a step, and at what rate: probing, thawing, FreezeOut.

All are functions of the step, so that a resumed run need not store them.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.optim import Optimizer

from fftag.models.architectures.factory import Classifier, Stage
from fftag.training.settings import FreezeSettings, OptimizerSettings

Rates = Callable[[int], list[float]]
ONE_CYCLE_START = 1 / 25  # of the highest rate, as in Smith and Topin 2018 and PyTorch


def make_rates(
    optimizer: OptimizerSettings,
    freeze: FreezeSettings,
    stages: int,
    epochs: int,
    steps_per_epoch: int,
) -> Rates:
    """The learning rate of each stage, head first, as a function of the step; 0 freezes it.

    Args:
        optimizer: the highest rate, its course, and its decay by stage.
        freeze: which stages learn when.
        stages: how many the network has.
        epochs: of the whole training.
        steps_per_epoch: optimizer steps in each.
    """
    total = epochs * steps_per_epoch
    course = SCHEDULES[optimizer.schedule]
    highest = [optimizer.lr * optimizer.layer_decay**depth for depth in range(stages)]

    def plain(step: int) -> list[float]:
        # Zero means frozen, so the very last rate is only nearly zero.
        factor = max(course(step, total, optimizer.warmup), 1e-6)
        return [rate * factor for rate in highest]

    def probe(step: int) -> list[float]:
        alone = min(freeze.head_epochs, epochs) * steps_per_epoch
        if step < alone:
            return [freeze.head_lr] + [0.0] * (stages - 1)
        factor = max(course(step - alone, total - alone, optimizer.warmup), 1e-6)
        return [rate * factor for rate in highest]

    def gradual(step: int) -> list[float]:
        thawed = 1 + step // (steps_per_epoch * freeze.epochs_per_stage)
        return [rate if depth < thawed else 0.0 for depth, rate in enumerate(plain(step))]

    def head_only(step: int) -> list[float]:
        return plain(step)[:1] + [0.0] * (stages - 1)

    def freezeout(step: int) -> list[float]:
        ends = freezeout_ends(stages, freeze.t0)
        rates = []
        for rate, end in zip(highest, ends, strict=True):
            progress = step / total / end
            scaled = rate / end if freeze.scale_rates else rate
            rates.append(scaled * half_cosine(progress) if progress < 1 else 0.0)
        return rates

    return {
        "none": plain,
        "probe": probe,
        "gradual": gradual,
        "head_only": head_only,
        "freezeout": freezeout,
    }[freeze.schedule]


def freezeout_ends(stages: int, t0: float) -> list[float]:
    """Share of the training after which each stage freezes, head first (Brock et al. 2017).

    The times run evenly from t0 at the stem to 1 at the head and are then cubed, which leaves
    more of the training to the later stages.
    """
    steps = max(1, stages - 1)
    return [(t0 + (1 - t0) * (steps - depth) / steps) ** 3 for depth in range(stages)]


def make_optimizer(model: Classifier, settings: OptimizerSettings) -> Optimizer:
    """Two parameter groups for each stage, head first: matrices, which decay, and vectors."""
    groups = []
    for depth, stage in enumerate(model.stages()):
        matrices = [parameter for parameter in stage.parameters if parameter.ndim > 1]
        vectors = [parameter for parameter in stage.parameters if parameter.ndim <= 1]
        for parameters, decay in ((matrices, settings.weight_decay), (vectors, 0.0)):
            groups.append({"params": parameters, "weight_decay": decay, "stage": depth})
    if settings.name == "adam":
        return torch.optim.Adam(groups, lr=settings.lr)
    return torch.optim.AdamW(groups, lr=settings.lr)


class Freezer:
    """Sets the rates of a step, and keeps frozen stages out of the backward pass.

    A frozen stage needs no gradient, its optimizer state is dropped, and it runs in evaluation
    mode: its batch norm neither learns nor follows the batches.
    """

    def __init__(self, model: Classifier, optimizer: Optimizer, rates: Rates) -> None:
        self.model = model
        self.stages = model.stages()
        self.optimizer = optimizer
        self.rates = rates

    def apply(self, step: int) -> bool:
        """Prepares the model, in training mode, for a step; True where a stage froze or thawed."""
        rates = self.rates(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rates[group["stage"]]
        changed = False
        for stage, rate in zip(self.stages, rates, strict=True):
            learns = rate > 0
            if stage.parameters[0].requires_grad != learns:
                changed = True
                self._turn(stage, learns)
            for module in stage.modules:
                if module.training != learns:
                    module.train(learns)
        return changed

    def _turn(self, stage: Stage, learns: bool) -> None:
        for parameter in stage.parameters:
            parameter.requires_grad_(learns)
            if not learns:
                parameter.grad = None
                self.optimizer.state.pop(parameter, None)

    def frozen(self) -> list[str]:
        """Names of the stages that do not learn now."""
        return [stage.name for stage in self.stages if not stage.parameters[0].requires_grad]


def trainable(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that learn now."""
    return (parameter for parameter in model.parameters() if parameter.requires_grad)


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
