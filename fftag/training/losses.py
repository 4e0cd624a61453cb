"""Losses on logits, in fp32 whatever the network runs in: one number for a batch."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid
from torchvision.ops import sigmoid_focal_loss

from fftag.models.architectures.factory import Outputs
from fftag.training.settings import LossSettings

AUXILIARY_WEIGHT = 0.4  # Szegedy et al. 2016 train Inception v3's auxiliary head at this weight

Loss = Callable[[Tensor, Tensor], Tensor]


def make_loss(settings: LossSettings, prevalence: Tensor) -> Callable[[Outputs, Tensor], Tensor]:
    """The loss of a model's outputs against float targets [batch, labels], meaned over both.

    Args:
        settings: which, and its constants.
        prevalence: float [labels], the share of training photos with each label.
    """
    of_logits = _loss(settings, prevalence)

    def loss(outputs: Outputs, targets: Tensor) -> Tensor:
        main = of_logits(outputs.logits.float(), targets)
        if outputs.auxiliary is None:
            return main
        return main + AUXILIARY_WEIGHT * of_logits(outputs.auxiliary.float(), targets)

    return loss


def _loss(settings: LossSettings, prevalence: Tensor) -> Loss:
    s = settings
    if s.name == "weighted_bce":
        weights = positive_weights(prevalence, s.weight_cap)
        return lambda logits, targets: binary_cross_entropy_with_logits(
            logits, targets, pos_weight=weights.to(logits.device)
        )
    if s.name == "focal":
        return lambda logits, targets: sigmoid_focal_loss(
            logits, targets, alpha=s.alpha, gamma=s.gamma, reduction="mean"
        )
    if s.name == "asymmetric":
        return lambda logits, targets: asymmetric(
            logits, targets, s.gamma_positive, s.gamma_negative, s.probability_margin
        )
    return binary_cross_entropy_with_logits


def positive_weights(prevalence: Tensor, cap: float) -> Tensor:
    """Negatives per positive of each label, from 1 to `cap`: float [labels]."""
    share = prevalence.float()
    return ((1 - share) / share.clamp(min=1e-9)).clamp(1, cap)


def asymmetric(
    logits: Tensor, targets: Tensor, gamma_positive: float, gamma_negative: float, margin: float
) -> Tensor:
    """Asymmetric loss (Ben-Baruch et al. 2021, equations 4 to 7), meaned.

    With p the score and q = max(p - margin, 0): a positive costs -(1-p)^gamma_positive log p, a
    negative -q^gamma_negative log(1-q).

    Args:
        logits: float [batch, labels].
        targets: float [batch, labels], 0 or 1.
        gamma_positive: focusing of the positives.
        gamma_negative: focusing of the negatives.
        margin: scores that negatives may have at no cost.
    """
    log_score, log_rest = logsigmoid(logits), logsigmoid(-logits)
    # log(1-q) = log(min(1-p+margin, 1)), in the log domain: 1-p alone would underflow.
    if margin:
        shifted = torch.logaddexp(log_rest, torch.full_like(log_rest, math.log(margin)))
        log_rest = shifted.clamp(max=0)
    positive = log_score
    if gamma_positive:
        positive = positive * (gamma_positive * logsigmoid(-logits)).exp()
    negative = log_rest
    if gamma_negative:
        # Not 0: the slope of x ** gamma at 0 is infinite for gamma < 1.
        negative = negative * (logits.sigmoid() - margin).clamp(min=1e-8) ** gamma_negative
    return -(targets * positive + (1 - targets) * negative).mean()
