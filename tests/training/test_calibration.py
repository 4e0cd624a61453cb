import numpy as np
import pytest
import torch
from torch import nn

from fftag.base.errors import FftagError
from fftag.evaluation.metrics import best_global_threshold, evaluate
from fftag.models.labels import LabelSet
from fftag.training.calibration import calibrate
from fftag.training.settings import TagSettings
from fftag.training.thresholds import choose_thresholds, cuts_above_prevalence


def sigmoid(values: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-values))).astype(np.float32)


def logit(scores: np.ndarray) -> np.ndarray:
    return np.log(scores / (1 - scores))


@pytest.fixture
def skewed() -> tuple[np.ndarray, np.ndarray]:
    """Targets drawn from true logits, and logits that are too large and shifted: 4 labels."""
    rng = np.random.default_rng(0)
    true = rng.normal(-1, 1.5, (4000, 4))
    targets = (rng.random(true.shape) < sigmoid(true)).astype(np.uint8)
    targets[:, 3] = 0
    targets[:5, 3] = 1  # too few positives for a line of its own
    return targets, (true * [1, 2, 3, 2] + [0, 1, -2, 1]).astype(np.float32)


def test_platt_finds_the_line_back_that_the_logits_were_bent_by(
    skewed: tuple[np.ndarray, np.ndarray],
) -> None:
    targets, logits = skewed
    found = calibrate(targets, logits, TagSettings())
    assert found.methods == ("platt", "platt", "platt", "global")
    np.testing.assert_allclose(found.slope[:3], [1, 1 / 2, 1 / 3], atol=0.06)
    np.testing.assert_allclose(found.intercept[:3], [0, -1 / 2, 2 / 3], atol=0.12)
    calibrated = sigmoid(found.apply(logits))[:, :3]
    # Of the pairs with a score of about p, a share of about p is true.
    for low in np.arange(0, 1, 0.2):
        inside = (calibrated >= low) & (calibrated < low + 0.2)
        assert abs(calibrated[inside].mean() - targets[:, :3][inside].mean()) < 0.03


def test_one_line_for_all_labels_or_none(skewed: tuple[np.ndarray, np.ndarray]) -> None:
    targets, logits = skewed
    one = calibrate(targets, logits, TagSettings(calibration="global"))
    assert set(one.methods) == {"global"} and len(set(one.slope)) == 1
    none = calibrate(targets, logits, TagSettings(calibration="none"))
    np.testing.assert_array_equal(none.apply(logits), logits)


def test_a_calibrated_head_gives_calibrated_logits(skewed: tuple[np.ndarray, np.ndarray]) -> None:
    found = calibrate(*skewed, TagSettings())
    head = nn.Linear(6, 4)
    features = torch.randn(10, 6)
    before = head(features).detach().numpy()
    found.fold_into(head)
    np.testing.assert_allclose(head(features).detach().numpy(), found.apply(before), atol=1e-5)


def test_a_calibration_never_turns_a_ranking_round() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((200, 2)) < 0.4).astype(np.uint8)
    wrong = np.where(targets, -3, 3) + rng.normal(size=targets.shape)
    found = calibrate(targets, wrong.astype(np.float32), TagSettings())
    assert (found.slope > 0).all() and np.isfinite(found.intercept).all()


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    """500 photos: a common label, a rare one whose scores are low, one with 2 positives."""
    rng = np.random.default_rng(1)
    targets = (rng.random((500, 3)) < [0.5, 0.1, 0.0]).astype(np.uint8)
    targets[:2, 2] = 1
    logits = rng.normal([0, -3, -3], 1, (500, 3)) + targets * 2.5
    return targets, sigmoid(logits)


def macro_f1(targets: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> float:
    labels = LabelSet.of([f"l{n}" for n in range(targets.shape[1])])
    return evaluate(targets, scores, thresholds, labels).overall["macro_f1"]


def test_micro_f1_has_one_cut_that_tags_as_the_best_one_does(
    scored: tuple[np.ndarray, np.ndarray],
) -> None:
    targets, scores = scored
    found = choose_thresholds(targets, scores, TagSettings(objective="micro_f1"))
    assert found.dtype == np.float32 and len(set(found)) == 1
    best = np.float32(best_global_threshold(targets, scores))
    np.testing.assert_array_equal(scores >= found, scores >= best)


def test_macro_f1_cuts_each_label_and_trusts_few_positives_little(
    scored: tuple[np.ndarray, np.ndarray],
) -> None:
    targets, scores = scored
    common = cuts_above_prevalence(targets, scores)
    own = choose_thresholds(targets, scores, TagSettings(objective="macro_f1", shrinkage=0))
    shrunk = choose_thresholds(targets, scores, TagSettings(objective="macro_f1", shrinkage=20))
    one = choose_thresholds(targets, scores, TagSettings(objective="micro_f1"))
    assert macro_f1(targets, scores, own) > macro_f1(targets, scores, common)
    assert macro_f1(targets, scores, common) > macro_f1(targets, scores, one)
    # 50 or so positives against 20: most of the way; 2 positives: a small part of it.
    way = (logit(shrunk) - logit(common)) / (logit(own) - logit(common))
    positives = targets.sum(axis=0)
    np.testing.assert_allclose(way[1:], positives[1:] / (positives[1:] + 20), atol=0.02)
    firmly = choose_thresholds(targets, scores, TagSettings(objective="macro_f1", shrinkage=1e9))
    np.testing.assert_allclose(firmly, common, atol=1e-5)


def test_the_common_distance_is_the_lowest_of_the_best() -> None:
    """Two labels whose scores take two values each, so that the cuts can be worked out.

    The mean scores are 0.5 and 0.1, in logits 0 and -2.197. The negatives lie at 0.2 and 0.05,
    1.386 and 0.747 below those: -0.7 is the first step of 0.05 that is above both.
    """
    targets = np.zeros((100, 2), np.uint8)
    targets[:50, 0] = targets[:10, 1] = 1
    scores = np.where(targets, [0.8, 0.55], [0.2, 0.05]).astype(np.float32)
    np.testing.assert_allclose(
        cuts_above_prevalence(targets, scores), [0.33181, 0.05229], atol=1e-4
    )
    settings = TagSettings(objective="macro_f1", shrinkage=1e9)
    certain = np.stack([np.zeros(100), np.ones(100)], axis=1).astype(np.float32)
    assert np.isfinite(choose_thresholds(targets, certain, settings)).all()


def test_the_lowest_cut_of_a_precision_lies_halfway_to_the_next_score() -> None:
    """Precisions from the top: 1, 1, 2/3, 3/4, 3/5; halfway from 0.6 to 0.3 in logits is 0.445."""
    targets = np.array([[1], [1], [0], [1], [0]], np.uint8)
    scores = np.array([[0.9], [0.8], [0.7], [0.6], [0.3]], np.float32)
    settings = TagSettings(objective="precision", precision=0.75, shrinkage=0)
    assert choose_thresholds(targets, scores, settings)[0] == pytest.approx(0.44499, abs=1e-4)


def test_labels_that_cannot_be_told_are_best_tagged_everywhere() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((2000, 3)) < [0.3, 0.1, 0.03]).astype(np.uint8)
    noise = np.float32([0.3, 0.1, 0.03]) * (1 + 0.01 * rng.standard_normal((2000, 3)))
    tags = noise >= cuts_above_prevalence(targets, noise.astype(np.float32))
    assert tags.mean() > 0.95


def test_a_target_precision_is_reached_by_the_lowest_cut_that_does(
    scored: tuple[np.ndarray, np.ndarray],
) -> None:
    targets, scores = scored
    settings = TagSettings(objective="precision", precision=0.9, shrinkage=0)
    tags = scores >= choose_thresholds(targets, scores, settings)
    precision = (tags & (targets == 1)).sum(axis=0)[:2] / tags.sum(axis=0)[:2]
    assert (precision >= 0.9).all()
    lower = TagSettings(objective="precision", precision=0.6, shrinkage=0)
    assert (choose_thresholds(targets, scores, lower)[:2] < settings.precision).all()
    with pytest.raises(FftagError, match=r"lower tags\.precision"):
        choose_thresholds(1 - targets, scores, TagSettings(objective="precision", precision=1.0))


def test_a_fixed_threshold_is_taken_as_it_is(scored: tuple[np.ndarray, np.ndarray]) -> None:
    settings = TagSettings(objective="fixed", threshold=0.25)
    np.testing.assert_array_equal(choose_thresholds(*scored, settings), np.float32([0.25] * 3))


def test_without_a_label_no_threshold_is_chosen(scored: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(FftagError, match="no photo of the split has a label"):
        choose_thresholds(np.zeros_like(scored[0]), scored[1], TagSettings())
