import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from fftag.models.architectures import factory
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
]
PREVALENCE = torch.tensor([0.5, 0.1, 0.01, 0.9])


def of(settings: LossSettings, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return make_loss(settings, PREVALENCE)(factory.Outputs(logits, torch.empty(0), None), targets)


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    targets = (rng.random((50, 4)) < 0.3).astype(np.float64)
    return torch.from_numpy(rng.normal(0, 4, (50, 4))), torch.from_numpy(targets)


def test_cross_entropy_is_scikit_learns_with_and_without_weights() -> None:
    logits, targets = problem()
    scores = logits.sigmoid().numpy()
    for settings, positives in (
        (LossSettings(), (1, 1, 1, 1)),
        (LossSettings(name="weighted_bce", weight_cap=5), (1, 5, 5, 1)),
    ):
        columns = [
            log_loss(
                targets[:, label],
                scores[:, label],
                normalize=False,
                sample_weight=np.where(targets[:, label] > 0, positives[label], 1),
            )
            for label in range(4)
        ]
        found = of(settings, logits, targets)
        assert float(found) == pytest.approx(sum(columns) / 200, rel=1e-5)


def test_the_asymmetric_loss_holds_cross_entropy_and_the_focal_loss() -> None:
    logits, targets = problem()
    for gamma, other in ((0, LossSettings()), (2, LossSettings(name="focal", gamma=2))):
        same = LossSettings(
            name="asymmetric", gamma_positive=gamma, gamma_negative=gamma, probability_margin=0
        )
        torch.testing.assert_close(of(same, logits, targets), of(other, logits, targets))


@pytest.mark.parametrize(
    ("settings", "positive", "negative"),
    [  # at a score of a half, whose logarithm is -0.693147
        (LossSettings(name="focal", gamma=1, alpha=0.25), 0.0866434, 0.2599302),
        (LossSettings(name="focal", gamma=3), 0.0866434, 0.0866434),
        # 0.4 ** 2 times -log 0.6, which is 0.510826, for the negative
        (
            LossSettings(
                name="asymmetric", gamma_positive=1, gamma_negative=2, probability_margin=0.1
            ),
            0.3465736,
            0.0817321,
        ),
    ],
)
def test_a_loss_at_one_half_is_worked_out_by_hand(
    settings: LossSettings, positive: float, negative: float
) -> None:
    half = torch.zeros(1, 4)
    assert float(of(settings, half, torch.ones(1, 4))) == pytest.approx(positive, rel=1e-5)
    assert float(of(settings, half, half)) == pytest.approx(negative, rel=1e-5)


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


def test_a_negative_below_the_margin_costs_nothing() -> None:
    low = torch.tensor([[-4.0]])  # a score of 0.018
    assert of(LossSettings(name="asymmetric"), low, torch.zeros(1, 1)) == 0


def test_positives_weigh_what_negatives_outnumber_them_by_up_to_the_cap() -> None:
    weights = positive_weights(torch.tensor([0.5, 0.1, 0.0, 0.9]), cap=20)
    assert torch.allclose(weights, torch.tensor([1.0, 9.0, 20.0, 1.0]))


def test_the_auxiliary_head_counts_four_tenths() -> None:
    logits, targets = torch.zeros(1, 4), torch.ones(1, 4)
    loss = make_loss(LossSettings(), PREVALENCE)
    alone = loss(factory.Outputs(logits, torch.empty(0), None), targets)
    assert torch.isclose(
        loss(factory.Outputs(logits, torch.empty(0), logits), targets), 1.4 * alone
    )
