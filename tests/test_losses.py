import math

import numpy as np
import pytest
import torch

from fftag import models
from fftag.training.losses import make_loss, positive_weights
from fftag.training.settings import LossSettings

SETTINGS = [
    LossSettings(name="bce"),
    LossSettings(name="weighted_bce", weight_cap=5),
    LossSettings(name="focal", gamma=2.0),
    LossSettings(name="focal", gamma=1.0, alpha=0.25),
    LossSettings(name="asymmetric"),
    LossSettings(name="asymmetric", gamma_positive=1, gamma_negative=2, probability_margin=0.1),
    LossSettings(name="asymmetric", gamma_negative=0, probability_margin=0),
    LossSettings(name="hill"),
    LossSettings(name="hill", gamma=0, logit_margin=0.5, hill_lambda=1.2),
]
PREVALENCE = torch.tensor([0.5, 0.1, 0.01, 0.9])


def of(settings: LossSettings, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return make_loss(settings, PREVALENCE)(models.Outputs(logits, torch.empty(0), None), targets)


def reference(settings: LossSettings, logits: np.ndarray, targets: np.ndarray) -> float:
    """Each loss as its paper writes it, in float64, one pair at a time."""
    total = 0.0
    for row, truths in zip(logits, targets, strict=True):
        for label, (logit, truth) in enumerate(zip(row, truths, strict=True)):
            total += _one(settings, float(logit), bool(truth), float(PREVALENCE[label]))
    return total / targets.size


def _one(s: LossSettings, logit: float, truth: bool, share: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    if s.name == "bce":
        return -math.log(p if truth else 1 - p)
    if s.name == "weighted_bce":
        weight = min(max((1 - share) / share, 1.0), s.weight_cap)
        return -weight * math.log(p) if truth else -math.log(1 - p)
    if s.name == "focal":
        right = p if truth else 1 - p
        alpha = 1.0 if s.alpha < 0 else (s.alpha if truth else 1 - s.alpha)
        return -alpha * (1 - right) ** s.gamma * math.log(right)
    if s.name == "asymmetric":
        if truth:
            return -((1 - p) ** s.gamma_positive) * math.log(p)
        q = max(p - s.probability_margin, 0.0)
        return -(q**s.gamma_negative) * math.log(1 - q)
    if truth:
        moved = 1 / (1 + math.exp(-(logit - s.logit_margin)))
        return -((1 - moved) ** s.gamma) * math.log(moved)
    return (s.hill_lambda - p) * p**2


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_loss_is_what_its_paper_says(settings: LossSettings) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (50, 4))
    targets = (rng.random((50, 4)) < 0.3).astype(np.float64)
    found = of(settings, torch.from_numpy(logits), torch.from_numpy(targets))
    # The loss works in fp32 whatever comes in.
    assert float(found) == pytest.approx(reference(settings, logits, targets), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loss_and_its_slope_stay_numbers_at_any_logit(
    settings: LossSettings, dtype: torch.dtype
) -> None:
    values = [-3e4, -200.0, -90.0, -20.0, -2.95, 0.0, 2.0, 20.0, 90.0, 200.0, 3e4]
    logits = torch.tensor([[value] * 4 for value in values], dtype=dtype, requires_grad=True)
    for truth in (0.0, 1.0):
        loss = of(settings, logits, torch.full((len(values), 4), truth))
        (slope,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss) and torch.isfinite(slope).all()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_following_the_slope_makes_a_loss_smaller(settings: LossSettings) -> None:
    torch.manual_seed(0)
    logits = torch.randn(20, 4, requires_grad=True)
    targets = (torch.rand(20, 4) < 0.3).float()
    before = of(settings, logits, targets)
    (slope,) = torch.autograd.grad(before, logits)
    assert of(settings, logits - 0.01 * slope / slope.norm(), targets) < before


def test_a_negative_below_the_margin_costs_nothing_and_hill_forgives_a_sure_one() -> None:
    negative = torch.zeros(1, 1)
    low = torch.tensor([[-4.0]])  # a score of 0.018
    assert of(LossSettings(name="asymmetric"), low, negative) == 0
    unsure, sure = torch.tensor([[0.5]]), torch.tensor([[6.0]])
    hill = LossSettings(name="hill", hill_lambda=1.0)
    assert of(hill, sure, negative) < of(hill, unsure, negative)
    assert of(LossSettings(), sure, negative) > of(LossSettings(), unsure, negative)


def test_positives_weigh_what_negatives_outnumber_them_by_up_to_the_cap() -> None:
    weights = positive_weights(torch.tensor([0.5, 0.1, 0.0, 0.9]), cap=20)
    assert torch.allclose(weights, torch.tensor([1.0, 9.0, 20.0, 1.0]))


def test_the_auxiliary_head_counts_four_tenths() -> None:
    logits, targets = torch.zeros(1, 4), torch.ones(1, 4)
    loss = make_loss(LossSettings(), PREVALENCE)
    alone = loss(models.Outputs(logits, torch.empty(0), None), targets)
    assert torch.isclose(loss(models.Outputs(logits, torch.empty(0), logits), targets), 1.4 * alone)
