import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    coverage_error,
    label_ranking_average_precision_score,
)

from fftag.evaluation import metrics, ranking, reliability


@st.composite
def problems(draw, labels=st.integers(2, 5)):
    shape = draw(st.tuples(st.integers(1, 12), labels))
    targets = draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    # Few distinct scores, so that ties occur.
    levels = st.sampled_from([0, 0.25, 0.5, 1])
    return targets, draw(arrays.arrays(np.float32, shape, elements=levels))


@settings(max_examples=100, deadline=None)
@given(problems())
def test_label_ranking_and_coverage_are_scikit_learns(problem):
    targets, scores = problem
    assert ranking.photo_ranking_precision(targets, scores).mean() == pytest.approx(
        label_ranking_average_precision_score(targets, scores)
    )
    assert ranking.photo_coverage(targets, scores).mean() == pytest.approx(
        coverage_error(targets, scores)
    )


@settings(max_examples=100, deadline=None)
@given(problems(), st.integers(0, 99))
def test_weighted_average_precision_is_that_of_the_resample_written_out(problem, seed):
    targets, scores = problem
    photos, labels = targets.shape
    drawn = np.random.default_rng(seed).integers(photos, size=(photos, 3))
    counts = np.stack([np.bincount(column, minlength=photos) for column in drawn.T], axis=1)
    photo = np.arange(photos)
    one = ranking.WeightedPrecision(targets[:, 0], scores[:, 0], photo, photos)(counts)
    every = ranking.WeightedPrecision(
        targets.ravel(), scores.ravel(), np.repeat(photo, labels), photos
    )(counts)
    for column, chosen in enumerate(drawn.T):
        for found, truth, score in (
            (one, targets[chosen, 0], scores[chosen, 0]),
            (every, targets[chosen].ravel(), scores[chosen].ravel()),
        ):
            if truth.any():
                assert found[column] == pytest.approx(average_precision_score(truth, score))
            else:
                assert math.isnan(found[column])


def test_the_brier_score_is_scikit_learns_over_all_pairs():
    random = np.random.default_rng(0)
    targets, scores = random.integers(0, 2, (50, 4)), random.random((50, 4))
    assert reliability.photo_brier(targets, scores).mean() == pytest.approx(
        brier_score_loss(targets.ravel(), scores.ravel())
    )


def test_the_calibration_error_of_a_label_is_worked_out_by_hand():
    # Two bins of width a half: scores 0.1 and 0.3 with one positive; 0.5 and 1 with two.
    found = reliability.bins(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.5, 1.0]), number=2)
    assert found.count.tolist() == [2, 2]
    np.testing.assert_allclose(found.score, [0.2, 0.75])
    np.testing.assert_allclose(found.share, [0.5, 1.0])
    assert found.error == pytest.approx((0.3 + 0.25) / 2)


def test_probabilities_that_come_true_have_almost_no_calibration_error():
    random = np.random.default_rng(0)
    scores = random.random((100_000, 2))
    targets = random.random(scores.shape) < scores
    assert reliability.classwise_calibration_error(targets, scores) < 0.01
    assert reliability.classwise_calibration_error(targets, scores**2) > 0.1


def test_an_empty_bin_is_not_defined_and_counts_for_nothing():
    found = reliability.bins(np.array([1]), np.array([0.99]))
    assert np.isnan(found.share[:-1]).all() and found.error == pytest.approx(0.01)


def test_cf1_is_the_harmonic_mean_of_mean_precision_and_mean_recall():
    targets = np.array([[1, 1], [1, 0], [1, 0], [0, 0]], dtype=np.uint8)
    tags = np.array([[1, 1], [0, 1], [0, 0], [0, 1]], dtype=np.uint8)
    figures = metrics.tag_figures(targets, tags)
    precision, recall = (1 + 1 / 3) / 2, (1 / 3 + 1) / 2
    assert figures["CF1"] == pytest.approx(2 / (1 / precision + 1 / recall))
    # The mean of the labels' own F1, which is another figure.
    assert figures["macro_f1"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert metrics.tag_figures(targets, 1 - targets)["CF1"] == 0  # nothing is right
