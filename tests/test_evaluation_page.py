import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fftag.errors import FftagError
from fftag.labels import LabelSet
from fftag.training import baselines, evaluation_page, evaluation_plots, metrics


def write(out: Path, targets: np.ndarray, scores: np.ndarray, names: list[str]) -> list[Path]:
    labels = LabelSet.of(names)
    thresholds = np.full(len(names), 0.5, dtype=np.float32)
    evaluation = metrics.evaluate(targets, scores, thresholds, labels)
    return evaluation_page.write(
        out, "A model", evaluation, baselines.compute(targets, labels), targets, scores
    )


def problem(photos: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    targets = (random.random((photos, labels)) < 0.3).astype(np.uint8)
    scores = (0.4 * targets + 0.6 * random.random((photos, labels))).astype(np.float32)
    return targets, scores


def test_the_page_is_self_contained_and_escapes_label_names(tmp_path):
    names = ["<script>alert(1)</script>", "$x_1$ & co", "shirt, blouse"]
    files = write(tmp_path / "new" / "folder", *problem(40, 3), names)
    assert sorted(path.name for path in files) == [
        "baselines.png",
        "evaluation.html",
        "labels.png",
        "precision_recall.png",
        "thresholds.png",
    ]
    assert {path.name for path in files} == {path.name for path in files[0].parent.iterdir()}
    page = files[0].read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("data:image/png;base64,") == 4
    assert not re.search(r"(src|href)=\"(?!data:image/png|#)", page)
    assert "nan" not in re.sub(r"base64,[^\"]+", "", page).lower()


def test_the_page_says_what_the_figures_rest_on(tmp_path):
    targets, scores = problem(40, 3)
    targets[:, 2] = 0
    page = write(tmp_path, targets, scores, ["a", "b", "c"])[0].read_text(encoding="utf-8")
    assert "On 40 photos" in page
    assert "1 of 3 labels are on none of these photos" in page
    assert "mean of 10 draws" in page
    assert "Labels of the best constant: " in page


@pytest.mark.parametrize(
    ("photos", "labels", "value"), [(1, 1, 0), (1, 1, 1), (1, 4, 0), (5, 1, None), (20, 12, None)]
)
def test_pictures_are_drawn_whatever_the_size(tmp_path, monkeypatch, photos, labels, value):
    monkeypatch.setattr(evaluation_plots, "MOST_LABELS_DRAWN", 10)
    targets, scores = problem(photos, labels)
    if value is not None:
        targets[:] = value
    names = [f"{position} {'a long name ' * 6}" for position in range(labels)]
    page, *pictures = write(tmp_path, targets, scores, names)
    assert ("The 10 labels with the most photos." in page.read_text()) == (labels > 10)
    for path in pictures:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 500 < image.width < 1300
            assert image.height < 700


def test_metrics_json_is_strictly_valid_and_holds_all_parts():
    targets, scores = problem(30, 3)
    targets[:, 1] = 0
    labels = LabelSet.of(["a", "b", "c"])
    evaluation = metrics.evaluate(targets, scores, np.full(3, 0.5), labels)
    content = evaluation_page.to_json(evaluation, baselines.compute(targets, labels))
    read = json.loads(json.dumps(content, allow_nan=False))
    assert [row["label"] for row in read["per_label"]] == ["a", "b", "c"]
    assert read["per_label"][1]["ap"] is None
    assert set(read["baselines"]) == {"chance", "best_constant", "predict_all", "most_common_set"}
    assert set(read["baselines"]["chance"]["overall"]) == set(read["overall"])
    assert read["baselines"]["predict_all"]["k"] == 3


def test_the_step_curve_drawn_has_the_average_precision_as_its_area():
    targets, scores = problem(30, 3)
    table = metrics.evaluate(
        targets, scores, np.full(3, 0.5), LabelSet.of(["a", "b", "c"])
    ).per_label
    drawing = evaluation_plots.precision_recall(targets, scores, table)
    recall, precision = drawing.axes[0].lines[0].get_data()
    area = float(np.sum(np.diff(recall) * precision[1:]))
    assert area == pytest.approx(metrics.micro_average_precision(targets, scores))


def test_the_threshold_plot_draws_the_metrics_at_each_threshold():
    targets, scores = problem(50, 3)
    drawing = evaluation_plots.thresholds(targets, scores, np.full(3, 0.5))
    f1, precision, recall = drawing.axes[0].lines[:3]
    for place in (0, 123, 250, 400):
        threshold = f1.get_xdata()[place]
        tags = scores >= threshold
        right = (tags & (targets == 1)).sum()
        assert f1.get_ydata()[place] == pytest.approx(2 * right / (tags.sum() + targets.sum()))
        assert recall.get_ydata()[place] == pytest.approx(right / targets.sum())
        assert precision.get_ydata()[place] == pytest.approx(right / tags.sum())
    assert np.isnan(precision.get_ydata()[-1])


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FftagError, match="cannot make the folder"):
        write(tmp_path / "file" / "out", *problem(5, 2), ["a", "b"])
