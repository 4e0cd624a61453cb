import numpy as np
import pytest

from fftag.evaluation import intervals, metrics
from fftag.models.labels import LabelSet

NOT_RESAMPLED = {
    "photos",
    "labels",
    "labels_without_positives",
    "labels_per_photo",
    "tags_per_photo",
    "mAP_labels",
    "classwise_ece",
}


def problem(photos: int, labels: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    targets = (random.random((photos, labels)) < np.linspace(0.5, 0.03, labels)).astype(np.uint8)
    scores = np.round(0.3 * targets + 0.7 * random.random((photos, labels)), 2)
    return targets, (scores >= 0.5).astype(np.uint8), scores.astype(np.float32)


def test_the_figures_of_a_resample_are_those_of_the_photos_written_out(monkeypatch):
    monkeypatch.setattr(intervals, "BLOCK_ENTRIES", 100)  # several blocks
    targets, tags, scores = problem(40, 5)
    found = intervals.resample(targets, tags, scores, 7, seed=3)
    counts = np.concatenate(list(intervals.draws(40, 7, seed=3)), axis=1)
    assert counts.shape == (40, 7) and (counts.sum(axis=0) == 40).all()
    for number in range(7):
        drawn = np.repeat(np.arange(40), counts[:, number].astype(int))
        labels = LabelSet.of("abcde")
        expected = metrics.evaluate(targets[drawn], scores[drawn], np.full(5, 0.5), labels)
        of_one = {name: values[number] for name, values in found.overall.items()}
        assert of_one == pytest.approx({name: expected.overall[name] for name in of_one})
        assert set(expected.overall) - set(of_one) == NOT_RESAMPLED
        np.testing.assert_allclose(found.ap[number], expected.per_label["ap"])


def test_a_figure_that_no_resample_defines_has_no_interval():
    targets, tags, scores = problem(20, 3)
    targets[:, 1] = 0
    found = intervals.bootstrap(targets, tags, scores, 50)
    assert np.isnan(found.ap[1]).all() and not np.isnan(found.ap[0]).any()
    nothing = intervals.bootstrap(np.zeros_like(targets), tags, scores, 50)
    assert nothing.to_json()["intervals"]["mAP"] is None
    assert np.isnan(intervals.resample(targets * 0, tags, scores, 5, 0).mean_ap)
    assert nothing.to_json()["intervals"]["micro_f1"] == [0, 0]


def test_intervals_repeat_with_their_seed_and_say_how_they_were_made():
    arrays = problem(60, 4)
    first = intervals.bootstrap(*arrays, resamples=100, seed=5)
    assert first.to_json() == intervals.bootstrap(*arrays, resamples=100, seed=5).to_json()
    other = intervals.bootstrap(*arrays, resamples=100, seed=6)
    assert first.overall["micro_f1"] != other.overall["micro_f1"]
    assert first.to_json()["bootstrap"] == {
        "method": "percentile bootstrap over photos",
        "method_of_mAP": "reverse percentile bootstrap over photos",
        "level": 0.95,
        "resamples": 100,
        "seed": 5,
    }


def test_an_interval_leaves_out_a_fortieth_at_either_end():
    assert intervals.interval(np.arange(1001.0)) == pytest.approx((25, 975))


def test_large_sets_are_resampled_less_often():
    assert intervals.default_resamples(20_000) == 1000
    assert intervals.default_resamples(20_001) == 200


@pytest.mark.parametrize("metric", ["micro_f1", "samples_f1", "mAP", "brier"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(metric):
    labels = LabelSet.of("abc")
    truth_on = problem_of_equal_labels(200_000, seed=10**6)
    truth = metrics.evaluate(truth_on[0], truth_on[2], np.full(3, 0.5), labels).overall[metric]
    held = 0
    for seed in range(200):
        low, high = intervals.bootstrap(*problem_of_equal_labels(150, seed), resamples=200).overall[
            metric
        ]
        held += low <= truth <= high
    # Of 200 intervals 190 are expected; 178 and 199 are further off than chance takes them.
    assert 178 < held <= 199


def test_the_interval_of_map_is_not_lifted_by_labels_on_few_photos():
    def rare(photos: int, seed: int) -> tuple[np.ndarray, ...]:
        random = np.random.default_rng(seed)
        targets = (random.random((photos, 10)) < 0.08).astype(np.uint8)
        scores = random.normal(0.3 + 0.25 * targets, 0.15)
        return targets, (scores >= 0.5).astype(np.uint8), scores

    truth = metrics.overall(*rare(100_000, 10**6))["mAP"]
    reverse = plain = 0
    for seed in range(100):
        found = intervals.resample(*rare(150, seed), 200, seed=0)
        low, high = found.intervals()["mAP"]
        reverse += low <= truth <= high
        low, high = intervals.interval(found.overall["mAP"])
        plain += low <= truth <= high
    assert reverse >= 85 and plain < 80


def problem_of_equal_labels(photos: int, seed: int) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    targets = (random.random((photos, 3)) < 0.4).astype(np.uint8)
    scores = (0.3 * targets + 0.7 * random.random((photos, 3))).astype(np.float32)
    return targets, (scores >= 0.5).astype(np.uint8), scores
