"""Losses on logits: one number for a batch."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from fftag.models import Outputs
from fftag.training.recipe import LossSettings

AUXILIARY_WEIGHT = 0.4  # Szegedy et al. 2016 train Inception v3's auxiliary head at this weight


def make_loss(settings: LossSettings) -> Callable[[Outputs, Tensor], Tensor]:
    """The loss of a model's outputs against float targets [batch, labels], meaned over both."""

    def of_logits(logits: Tensor, targets: Tensor) -> Tensor:
        logits = logits.float()
        if settings.name == "focal":
            return sigmoid_focal_loss(
                logits, targets, alpha=settings.alpha, gamma=settings.gamma, reduction="mean"
            )
        return binary_cross_entropy_with_logits(logits, targets)

    def loss(outputs: Outputs, targets: Tensor) -> Tensor:
        main = of_logits(outputs.logits, targets)
        if outputs.auxiliary is None:
            return main
        return main + AUXILIARY_WEIGHT * of_logits(outputs.auxiliary, targets)

    return loss
