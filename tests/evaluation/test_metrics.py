import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import f1_score, precision_recall_curve

from fftag.base.errors import FftagError
from fftag.evaluation import baselines, metrics
from fftag.evaluation.ranking import counts_by_threshold
from fftag.models.labels import LabelSet

NAN = math.nan


def label_set(number: int) -> LabelSet:
    return LabelSet.of(f"label {position}" for position in range(number))


def random_problem(photos: int, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets of decreasing frequency, and scores that know something of them."""
    random = np.random.default_rng(seed)
    targets = (random.random((photos, labels)) < np.linspace(0.6, 0.05, labels)).astype(np.uint8)
    scores = np.clip(0.4 * targets + 0.6 * random.random((photos, labels)), 0, 1)
    return targets, scores.astype(np.float32)


# Four photos, three labels; the third is on no photo but is once given.
TARGETS = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=np.uint8)
SCORES = np.array(
    [[0.9, 0.2, 0.1], [0.8, 0.6, 0.1], [0.7, 0.9, 0.9], [0.4, 0.1, 0.2]], dtype=np.float32
)
HALF = np.full(3, 0.5, dtype=np.float32)


@pytest.fixture
def small() -> metrics.Evaluation:
    return metrics.evaluate(TARGETS, SCORES, HALF, LabelSet.of("abc", ["x", None, "x"]))


def test_overall_figures_are_those_worked_out_by_hand(small):
    # Tags: a | ab | abc | none. Right 3, wrong 3, missed 2, by label (2, 1, 0 | 1, 1, 1 | 1, 1, 0).
    expected = {
        "photos": 4,
        "labels": 3,
        "labels_without_positives": 1,
        "labels_per_photo": 5 / 4,
        "tags_per_photo": 6 / 4,
        "subset_accuracy": 0,
        "hamming_loss": 5 / 12,
        "micro_precision": 3 / 6,
        "micro_recall": 3 / 5,
        "micro_f1": 6 / 11,
        "macro_precision": (2 / 3 + 1 / 2 + 0) / 3,
        "macro_recall": (2 / 3 + 1 / 2 + 0) / 3,
        "macro_f1": (2 / 3 + 1 / 2 + 0) / 3,
        "weighted_precision": (3 * 2 / 3 + 2 * 1 / 2) / 5,
        "weighted_recall": (3 * 2 / 3 + 2 * 1 / 2) / 5,
        "weighted_f1": (3 * 2 / 3 + 2 * 1 / 2) / 5,
        "samples_precision": (1 + 1 / 2 + 1 / 3 + 0) / 4,
        "samples_recall": (1 / 2 + 1 + 1 + 0) / 4,
        "samples_f1": (2 / 3 + 2 / 3 + 1 / 2 + 0) / 4,
        "CF1": (2 / 3 + 1 / 2 + 0) / 3,
        # a ranks right, right, wrong, right; b ranks right, wrong, right.
        "mAP": ((1 + 1 + 3 / 4) / 3 + (1 + 2 / 3) / 2) / 2,
        "mAP_labels": 2,
        # 0.9 right twice and wrong once, 0.8 right, 0.7, 0.6 wrong, 0.4 right, 0.2 right and wrong.
        "micro_ap": (2 / 3 * 2 + 3 / 4 + 4 / 7 + 5 / 9) / 5,
        # a, b first and second; a first; b one of two firsts; a first.
        "lrap": (1 + 1 + 1 / 2 + 1) / 4,
        "coverage_error": (2 + 1 + 2 + 1) / 4,
        # No two scores of a label share a bin, but for 0.1 and 0.1 of c.
        "classwise_ece": (0.1 + 0.2 + 0.7 + 0.6 + 0.8 + 0.6 + 0.1 + 0.1 + 0.2 + 0.9 + 0.2) / 12,
        "brier": (0.01 + 0.04 + 0.49 + 0.36 + 0.64 + 0.36 + 0.01 + 0.01 + 0.02 + 0.81 + 0.04) / 12,
    }
    assert small.overall == pytest.approx(expected)
    assert list(small.overall) == list(expected)


def test_per_label_table_leaves_undefined_what_is_undefined(small):
    table = small.per_label
    assert list(table["label"]) == ["a", "b", "c"]
    assert list(table["group"]) == ["x", "labels", "x"]
    assert table[["support", "predicted", "tp", "fp", "fn", "tn"]].to_numpy().tolist() == [
        [3, 3, 2, 1, 1, 0],
        [2, 2, 1, 1, 1, 1],
        [0, 1, 0, 1, 0, 3],
    ]
    np.testing.assert_allclose(table["prevalence"], [0.75, 0.5, 0])
    np.testing.assert_allclose(table["threshold"], [0.5, 0.5, 0.5])
    np.testing.assert_allclose(table["precision"], [2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(table["recall"], [2 / 3, 1 / 2, NAN])
    np.testing.assert_allclose(table["f1"], [2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(table["ap"], [11 / 12, 5 / 6, NAN])


def test_json_has_null_for_nan_and_is_strictly_valid(small):
    read = json.loads(json.dumps(small.to_json(), allow_nan=False))
    assert read["per_label"][2]["recall"] is None
    assert read["per_label"][2]["ap"] is None
    assert read["per_label"][1]["group"] == "labels"
    assert read["per_label"][0]["tp"] == 2
    assert read["overall"]["photos"] == 4


def test_a_score_equal_to_its_threshold_is_a_tag():
    targets = np.array([[1, 0]], dtype=np.uint8)
    scores = np.array([[0.3, 0.3]], dtype=np.float32)
    evaluation = metrics.evaluate(
        targets, scores, np.array([0.3, 0.30001], dtype=np.float32), label_set(2)
    )
    assert evaluation.overall["subset_accuracy"] == 1


@pytest.mark.parametrize("photos", [1, 6])
def test_a_single_label_is_not_averaged_with_its_absence(photos):
    targets = np.zeros((photos, 1), dtype=np.uint8)
    targets[0] = 1
    scores = np.full((photos, 1), 0.9, dtype=np.float32)
    evaluation = metrics.evaluate(targets, scores, np.array([0.5]), label_set(1))
    for average in metrics.AVERAGES[:3]:
        assert evaluation.overall[f"{average}_precision"] == pytest.approx(1 / photos)
        assert evaluation.overall[f"{average}_recall"] == 1
    assert evaluation.overall["hamming_loss"] == pytest.approx(1 - 1 / photos)
    assert evaluation.per_label["tp"].tolist() == [1]
    assert evaluation.per_label["fp"].tolist() == [photos - 1]


def test_photos_without_any_label_give_null_not_nan():
    targets = np.zeros((3, 2), dtype=np.uint8)
    evaluation = metrics.evaluate(
        targets, np.full((3, 2), 0.1, dtype=np.float32), HALF[:2], label_set(2)
    )
    assert evaluation.overall["subset_accuracy"] == 1
    assert evaluation.overall["mAP_labels"] == 0
    read = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert read["overall"]["mAP"] is None
    assert read["overall"]["micro_ap"] is None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_threshold_is_the_best_of_all_and_the_highest_of_equals(data):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 4)))
    targets = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    targets[0, 0] = 1
    # Few distinct scores, so that ties occur.
    scores = data.draw(arrays.arrays(np.float32, shape, elements=st.sampled_from([0, 0.25, 0.5])))
    found = metrics.best_global_threshold(targets, scores)
    candidates = sorted(set(scores.ravel().tolist()), reverse=True)
    micro_f1 = [
        f1_score(targets.ravel(), (scores >= candidate).ravel(), zero_division=0)
        for candidate in candidates
    ]
    best = max(micro_f1)
    expected = next(c for c, f1 in zip(candidates, micro_f1, strict=True) if f1 > best - 1e-12)
    assert found == expected


def test_the_threshold_survives_storage_as_float32():
    targets, scores = random_problem(200, 5)
    threshold = np.float32(metrics.best_global_threshold(targets, scores))
    assert threshold in scores
    evaluation = metrics.evaluate(targets, scores, np.full(5, threshold), label_set(5))
    assert evaluation.overall["micro_f1"] == pytest.approx(
        counts_by_threshold(targets, scores).f1.max()
    )


def test_counts_by_threshold_agree_with_scikit_learn():
    targets, scores = random_problem(300, 4, seed=3)
    scores = np.round(scores, 2)
    counts = counts_by_threshold(targets, scores)
    precision, recall, thresholds = precision_recall_curve(targets.ravel(), scores.ravel())
    np.testing.assert_allclose(counts.thresholds[::-1], thresholds)
    np.testing.assert_allclose(counts.precision[::-1], precision[:-1])
    np.testing.assert_allclose(counts.recall[::-1], recall[:-1])


def test_a_threshold_needs_a_positive():
    with pytest.raises(FftagError, match="no photo of the split has a label"):
        metrics.best_global_threshold(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32))


def test_validation_counts_are_plain_integers_that_add_up():
    counts = metrics.validation_counts(TARGETS, SCORES, HALF)
    assert counts[2] == {"tp": 0, "fp": 1, "fn": 0, "tn": 3}
    assert all(sum(label.values()) == len(TARGETS) for label in counts)
    assert all(type(count) is int for label in counts for count in label.values())


def test_the_summary_is_the_evaluation_at_the_best_threshold():
    targets, scores = random_problem(100, 6)
    summary = metrics.summary(targets.astype(np.float32), scores)
    thresholds = np.full(6, summary["threshold"], dtype=np.float32)
    evaluation = metrics.evaluate(targets, scores, thresholds, label_set(6))
    assert {name: evaluation.overall[name] for name in metrics.EPOCH_FIGURES} == {
        name: summary[name] for name in metrics.EPOCH_FIGURES
    }


def test_scores_that_are_no_numbers_are_refused_with_their_count():
    broken = SCORES.copy()
    broken[1, 0], broken[3, 2] = np.nan, np.inf
    with pytest.raises(FftagError, match="2 of 4 photos"):
        metrics.evaluate(TARGETS, broken, HALF, label_set(3))


@pytest.mark.parametrize(
    ("targets", "scores", "thresholds"),
    [
        (TARGETS[:3], SCORES, HALF),
        (TARGETS, SCORES, HALF[:2]),
        (TARGETS * 2, SCORES, HALF),
        (TARGETS[0], SCORES[0], HALF),
    ],
)
def test_arrays_that_do_not_fit_are_refused(targets, scores, thresholds):
    with pytest.raises(ValueError):
        metrics.evaluate(targets, scores, thresholds, label_set(3))


def test_no_photos_are_refused():
    with pytest.raises(FftagError, match="no photos"):
        metrics.evaluate(TARGETS[:0], SCORES[:0], HALF, label_set(3))


def test_chance_has_a_map_and_an_f1_close_to_the_prevalence():
    targets, _ = random_problem(4000, 5)
    prevalence = targets.mean(axis=0)
    chance = baselines.chance(targets, seed=1).overall
    assert chance["mAP"] == pytest.approx(prevalence.mean(), abs=0.01)
    # Precision and recall of random tags both expect the prevalence, so F1 does too.
    assert chance["macro_f1"] == pytest.approx(prevalence.mean(), abs=0.01)
    assert chance["tags_per_photo"] == pytest.approx(prevalence.sum(), abs=0.02)
    assert chance["photos"] == 4000


def test_chance_draws_at_the_prevalence_given_and_repeats_with_its_seed():
    targets, _ = random_problem(500, 3)
    rare = baselines.chance(targets, np.array([0.0, 0.0, 1.0]), seed=1)
    assert rare.overall["tags_per_photo"] == 1
    assert rare.overall == baselines.chance(targets, np.array([0.0, 0.0, 1.0]), seed=1).overall
    assert rare.overall["mAP"] != baselines.chance(targets, seed=2).overall["mAP"]
    with pytest.raises(ValueError, match="2 prevalences for 3 labels"):
        baselines.chance(targets, np.array([0.5, 0.5]))


def test_chance_on_one_positive_is_what_theory_expects():
    targets = np.zeros((10, 1), dtype=np.uint8)
    targets[4] = 1
    chance = baselines.chance(targets, draws=40).overall
    assert chance["mAP"] == pytest.approx(np.mean(1 / np.arange(1, 11)), abs=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_the_constants_are_the_best_of_all_sets(seed):
    random = np.random.default_rng(seed)
    targets = (random.random((7, 5)) < random.random(5)).astype(np.uint8)
    targets[0, 0] = 1
    found = baselines.compute(targets, label_set(5))
    micro_f1, macro_f1, accuracy = [], [], []
    for chosen in product((0, 1), repeat=5):
        tags = np.tile(np.array(chosen, dtype=np.uint8), (7, 1))
        micro_f1.append(f1_score(targets, tags, average="micro", zero_division=0))
        macro_f1.append(f1_score(targets, tags, average="macro", zero_division=0))
        accuracy.append((tags == targets).all(axis=1).mean())
    assert found["best_constant"].overall["micro_f1"] == pytest.approx(max(micro_f1))
    assert found["predict_all"].overall["macro_f1"] == pytest.approx(max(macro_f1))
    assert found["most_common_set"].overall["subset_accuracy"] == pytest.approx(max(accuracy))


def test_no_constant_ranking_has_a_higher_micro_ap():
    targets, _ = random_problem(30, 4)
    best = baselines.best_constant(targets, label_set(4)).overall["micro_ap"]
    random = np.random.default_rng(0)
    for _ in range(200):
        scores = np.broadcast_to(random.integers(0, 4, 4), targets.shape)
        assert metrics.micro_average_precision(targets, scores) <= best + 1e-12


def test_best_constant_names_its_labels_and_takes_the_fewest_of_equals():
    targets = np.array([[0, 1, 0], [0, 1, 0], [1, 1, 0], [0, 1, 0]], dtype=np.uint8)
    content = baselines.best_constant(targets, label_set(3)).to_json()
    assert (content["k"], content["labels"]) == (1, ["label 1"])
    assert content["overall"]["micro_f1"] == pytest.approx(8 / 9)
    assert "chosen on these very photos" in content["note"]


def test_predict_all_tags_everything():
    everything = baselines.predict_all(TARGETS, label_set(3))
    assert everything.labels == label_set(3).names
    assert everything.overall["micro_recall"] == 1
    assert everything.overall["micro_precision"] == pytest.approx(5 / 12)
    assert everything.overall["mAP"] == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_most_common_set_may_be_no_label_at_all():
    targets = np.array([[0, 0], [0, 0], [1, 0]], dtype=np.uint8)
    found = baselines.most_common_set(targets, label_set(2))
    assert found.labels == ()
    assert found.overall["subset_accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 1)])
def test_baselines_hold_at_the_smallest_sizes(shape):
    for value in (0, 1):
        found = baselines.compute(np.full(shape, value, dtype=np.uint8), label_set(shape[1]))
        for baseline in found.values():
            json.dumps(baseline.to_json(), allow_nan=False)
