import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fftag.base.errors import FftagError
from fftag.evaluation import metrics, mistakes, mistakes_page, reliability
from fftag.evaluation import page as evaluation_page
from fftag.evaluation import plots as evaluation_plots
from fftag.evaluation.results import Results, judge
from fftag.models.folder import ModelConfig
from fftag.models.labels import LabelSet
from fftag.photos.decode import InputSpec


def results(
    targets: np.ndarray, scores: np.ndarray, names: list[str], files: tuple[Path, ...] = ()
) -> Results:
    number = len(names)
    config = ModelConfig(
        architecture="cnn",
        labels=LabelSet.of(names),
        thresholds=(0.5,) * number,
        input=InputSpec(8, 8),
        prevalence=tuple(targets.mean(axis=0).tolist()),
        validation=({"tp": 0, "fp": 0, "fn": 0, "tn": 0},) * number,
        recipe={},
        data_fingerprint="",
        versions={},
    )
    return judge(config, targets, scores, files, resamples=20)


def write(out: Path, targets: np.ndarray, scores: np.ndarray, names: list[str]) -> list[Path]:
    return evaluation_page.write(out, "A model", results(targets, scores, names))


def problem(photos: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    targets = (random.random((photos, labels)) < 0.3).astype(np.uint8)
    scores = (0.4 * targets + 0.6 * random.random((photos, labels))).astype(np.float32)
    return targets, scores


@pytest.mark.usefixtures("undrawn")
def test_the_page_is_self_contained_and_escapes_label_names(tmp_path):
    names = ["<script>alert(1)</script>", "$x_1$ & co", "shirt, blouse"]
    files = write(tmp_path / "new" / "folder", *problem(40, 3), names)
    assert sorted(path.name for path in files) == [
        "baselines.png",
        "evaluation.html",
        "labels.png",
        "missed.png",
        "precision_recall.png",
        "reliability.png",
        "thresholds.png",
    ]
    assert {path.name for path in files} == {path.name for path in files[0].parent.iterdir()}
    page = files[0].read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("data:image/png;base64,") == 6
    assert not re.search(r"(src|href)=\"(?!data:image/png|#)", page)
    assert "nan" not in re.sub(r"base64,[^\"]+", "", page).lower()


@pytest.mark.usefixtures("undrawn")
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
    content = results(targets, scores, ["a", "b", "c"]).to_json()
    read = json.loads(json.dumps(content, allow_nan=False))
    assert [row["label"] for row in read["per_label"]] == ["a", "b", "c"]
    assert read["per_label"][1]["ap"] is None
    assert read["per_label"][1]["ap_low"] is None
    ap = read["per_label"][0]
    assert ap["ap_low"] <= ap["ap"] <= ap["ap_high"]
    assert read["bootstrap"]["resamples"] == 20
    low, high = read["intervals"]["micro_f1"]
    assert low < read["overall"]["micro_f1"] < high
    assert set(read["intervals"]) <= set(read["overall"])
    assert [row["part"] for row in read["breakdown"]["by_frequency"]] == [
        "frequent",
        "middle",
        "rare",
    ]
    assert read["missed"][0]["misses"] >= read["missed"][1]["misses"]
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


def with_photos(tmp_path: Path, names: list[str]) -> Results:
    targets, scores = problem(20, 3)
    files = tuple(tmp_path / f"<b>{number}.jpg" for number in range(20))
    for file in files:
        Image.new("RGB", (30, 40), "red").save(file)
    found = results(targets, scores, names, files)
    assert mistakes.surest_false_positives(found.targets, found.tags, found.scores)
    return found


@pytest.mark.usefixtures("undrawn")
def test_the_surest_mistakes_are_shown_with_label_score_and_file(tmp_path):
    names = ["<i>a", "b", "c"]
    found = with_photos(tmp_path, names)
    evaluation_page.write(tmp_path / "out", "A model", found)
    page = (tmp_path / "out/evaluation.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 8
    surest = mistakes.surest_false_negatives(found.targets, found.tags, found.scores)[0]
    assert f"&lt;b&gt;{surest.photo}.jpg" in page and "<b>" not in page and "<i>" not in page
    assert f"{surest.score:.4g}" in page
    assert "cannot be read" not in page


@pytest.mark.usefixtures("undrawn")
def test_a_photo_that_cannot_be_read_is_said_to_be_so(tmp_path):
    found = with_photos(tmp_path, ["a", "b", "c"])
    first, second = mistakes.surest_false_positives(found.targets, found.tags, found.scores)[:2]
    found.files[first.photo].write_bytes(b"no photo")
    found.files[second.photo].unlink()
    section = mistakes_page.surest_sections(found)[0]
    assert "2 of these photos cannot be read to be shown." in section.text
    assert section.table is not None
    problems = section.table["problem"].tolist()
    assert problems[0].startswith("unsupported: ") and problems[1].startswith("vanished: ")
    assert set(problems[2:]) <= {""}


def test_the_reliability_diagram_draws_share_against_score():
    targets, scores = problem(300, 3)
    drawing = mistakes_page.reliability(targets, scores, ["a", "b", "c"])
    curve = drawing.axes[0].lines[1]
    expected = reliability.bins(targets, scores)
    filled = expected.count > 0
    np.testing.assert_allclose(curve.get_xdata(), expected.score[filled])
    np.testing.assert_allclose(curve.get_ydata(), expected.share[filled])
    by_support = ["abc"[label] for label in np.argsort(-targets.sum(axis=0).astype(int))]
    assert [axes.get_title(loc="left") for axes in drawing.axes[1:4]] == by_support


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FftagError, match="cannot make the folder"):
        write(tmp_path / "file" / "out", *problem(5, 2), ["a", "b"])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["evaluation.html", "labels.png"])
def test_what_others_made_is_not_written_over(tmp_path, name):
    other = tmp_path / name
    if name.endswith("png"):
        Image.new("RGB", (8, 8)).save(other)
    else:
        other.write_text("<!doctype html><title>Mine</title>")
    before = other.read_bytes()
    with pytest.raises(FftagError, match=rf"{name} is there and is not"):
        write(tmp_path, *problem(5, 2), ["a", "b"])
    assert other.read_bytes() == before
    other.unlink()
    for _ in range(2):  # what it wrote itself it writes again
        write(tmp_path, *problem(5, 2), ["a", "b"])
