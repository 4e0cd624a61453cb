import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fftag.base.errors import FftagError
from fftag.evaluation import breakdown, metrics, mistakes
from fftag.evaluation.predictions import About, read_predictions, write_predictions
from fftag.models.labels import LabelSet

# Photos 0 to 2 have a and miss it; 0 and 1 get c instead, 0 gets b too; 3 is right.
TARGETS = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=np.uint8)
TAGS = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 0, 1]], dtype=np.uint8)
SCORES = np.array(
    [[0.4, 0.6, 0.9], [0.1, 0.2, 0.8], [0.3, 0.2, 0.1], [0.9, 0.1, 0.9]], dtype=np.float32
)


def test_what_is_put_in_place_of_a_missed_label_is_counted_by_photo():
    found = mistakes.instead_of_missed(TARGETS, TAGS)
    assert found.rows(["a", "b", "c"]) == [
        {
            "label": "a",
            "misses": 3,
            "share_with_wrong": pytest.approx(2 / 3),
            "instead": [
                {"label": "c", "share": pytest.approx(2 / 3)},
                {"label": "b", "share": pytest.approx(1 / 3)},
            ],
        },
        {"label": "b", "misses": 1, "share_with_wrong": 0.0, "instead": []},
    ]
    assert found.columns.tolist() == [2, 1]
    np.testing.assert_allclose(found.shares, [[2 / 3, 1 / 3], [0, 0]])


def test_without_misses_nothing_is_put_instead():
    found = mistakes.instead_of_missed(TARGETS, TARGETS)
    assert found.rows(["a", "b", "c"]) == [] and found.shares.shape == (0, 0)


def test_the_surest_mistakes_come_first_and_each_photo_once():
    wrong = mistakes.surest_false_positives(TARGETS, TAGS, SCORES)
    assert [(one.photo, one.label) for one in wrong] == [(0, 2), (1, 2)]
    assert wrong[0].score == pytest.approx(0.9)
    missed = mistakes.surest_false_negatives(TARGETS, TAGS, SCORES)
    assert [(one.photo, one.label) for one in missed] == [(1, 0), (2, 1), (0, 0)]
    assert len(mistakes.surest_false_negatives(TARGETS, TAGS, SCORES, most=1)) == 1
    assert mistakes.surest_false_positives(TARGETS, TARGETS, SCORES) == []


def per_label(groups: list[str | None]) -> pd.DataFrame:
    labels = LabelSet.of("abc", groups)
    return metrics.evaluate(TARGETS, SCORES, np.full(3, 0.5), labels).per_label


def test_the_breakdown_by_frequency_follows_the_training_photos():
    table = breakdown.by_frequency(per_label([None] * 3), np.array([0.1, 0.7, 0.3]))
    assert table["part"].tolist() == ["frequent", "middle", "rare"]
    assert table["training_share_from"].tolist() == [0.7, 0.3, 0.1]
    assert table["support"].tolist() == [1, 1, 4]
    # The rare one is a: one of four found, none wrong.
    assert table["micro_f1"].tolist()[2] == pytest.approx(2 / 5)
    one = breakdown.by_frequency(per_label([None] * 3).head(1), np.array([0.1]))
    assert one["part"].tolist() == ["frequent"]


def test_the_breakdown_by_group_averages_within_each():
    table = breakdown.by_group(per_label(["x", None, "x"])).set_index("group")
    assert list(table.index) == ["x", "labels"]
    assert table.loc["x", "labels"] == 2
    # a: tp 1, fn 3; c: tp 1, fp 2.
    assert table.loc["x", "macro_f1"] == pytest.approx((2 / 5 + 2 / 4) / 2)
    assert table.loc["x", "micro_f1"] == pytest.approx(4 / 9)
    assert breakdown.by_group(per_label([None] * 3)).empty
    content = breakdown.to_json(per_label([None] * 3), np.array([0.5, 0.4, 0.3]))
    assert content["by_group"] == [] and "third" in content["rule"]


ABOUT = About(
    split="test",
    model_id="1" * 64,
    architecture="cnn",
    data_fingerprint="2" * 64,
    labels=("a", "b", "ü <c>"),
    groups=("x", None, "x"),
    thresholds=(0.5, 0.5, 0.5),
    prevalence=(0.5, 0.1, 0.2),
)


def test_predictions_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "predictions.parquet"
    images = ["p/0.jpg", "p/1.jpg", "ü.jpg", "x"]
    write_predictions(path, ABOUT, images, TARGETS, SCORES)
    schema = pq.read_schema(path)
    assert schema.field("scores").type == pa.list_(pa.float32(), 3)
    assert schema.field("labels").type == pa.list_(pa.string())
    found = read_predictions(path)
    assert found.images == tuple(images)
    assert found.labels == LabelSet.of(ABOUT.labels, ABOUT.groups)
    assert found.about.model_id == "1" * 64 and found.about.split == "test"
    np.testing.assert_array_equal(found.targets, TARGETS)
    np.testing.assert_array_equal(found.scores, SCORES)
    np.testing.assert_array_equal(found.tags, TAGS)


def test_a_file_that_holds_no_predictions_is_one_clear_line(tmp_path):
    path = tmp_path / "predictions.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(FftagError, match="is no predictions file"):
        read_predictions(path)
    pq.write_table(pa.table({"image": ["a"]}), path)
    with pytest.raises(FftagError, match="is no predictions file"):
        read_predictions(path)
    write_predictions(path, ABOUT, ["same"] * 4, TARGETS, SCORES)
    with pytest.raises(FftagError, match="is damaged"):
        read_predictions(path)
    newer = About(**(vars(ABOUT) | {"format_version": 2}))
    write_predictions(path, newer, list("abcd"), TARGETS, SCORES)
    with pytest.raises(FftagError, match="newer fftag"):
        read_predictions(path)
