import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fftag.base.errors import FftagError
from fftag.evaluation import intervals, metrics
from fftag.evaluation.compare import Comparison, compare
from fftag.evaluation.compare_page import write_comparison
from fftag.evaluation.predictions import (
    About,
    EvaluatedPhotos,
    read_predictions,
    write_predictions,
)
from fftag.evaluation.runs import Run, curve, load_runs, read_log
from fftag.models.folder import Bundle

NAMES = ("red", "green", "blue")
IMAGES = tuple(f"{number}.jpg" for number in range(60))


def truth() -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.random((60, 3)) < (0.6, 0.4, 0.2)).astype(np.uint8)


def run(name: str, skill: float, seed: int, log: bool = True) -> Run:
    targets = truth()
    noise = np.random.default_rng(seed).random(targets.shape)
    scores = (skill * targets + (1 - skill) * noise).astype(np.float32)
    about = About(
        split="test",
        model_id=str(seed) * 64,
        architecture="cnn",
        data_fingerprint="f",
        labels=NAMES,
        groups=(None,) * 3,
        thresholds=(0.5,) * 3,
        prevalence=(0.6, 0.4, 0.2),
    )
    rows = [
        {"epoch": epoch, "mAP": 0.1 * epoch, "micro_f1": 0.2 * epoch, "seconds": 40.0}
        for epoch in (1, 2, 3)
    ]
    return Run(name, EvaluatedPhotos(about, IMAGES, targets, scores), rows if log else [])


@pytest.fixture(scope="module")
def compared() -> Comparison:
    good = run("good", 0.6, 1)
    return compare([good, replace(good, name="the same"), run("poor", 0.1, 2, log=False)], 200)


def test_a_run_against_itself_does_not_differ(compared: Comparison) -> None:
    same = [one for one in compared.differences if one.run == "the same"]
    assert len(same) == 10
    assert all((one.value, one.low, one.high, one.better) == (0, 0, 0, 0) for one in same)


def test_a_poor_run_is_found_to_be_worse(compared: Comparison) -> None:
    poor = {one.metric: one for one in compared.differences if one.run == "poor"}
    assert poor["micro_f1"].high < 0 and poor["mAP"].high < 0
    assert poor["micro_f1"].better == 0
    # The Brier score is better where it is lower.
    assert poor["brier"].low > 0 and poor["brier"].better == 0
    photos = compared.runs[2].photos
    assert compared.overall["poor"]["mAP"] == pytest.approx(
        metrics.overall(photos.targets, photos.tags, photos.scores)["mAP"]
    )


def test_differences_are_paired(compared: Comparison) -> None:
    first, other = run("a", 0.5, 3), run("b", 0.5, 4)
    # The second differs from the first in one photo alone.
    scores = first.photos.scores.copy()
    scores[0] = other.photos.scores[0]
    near = replace(other, photos=replace(other.photos, scores=scores))
    found = compare([first, near], 300)
    around = found.intervals["a"]["brier"]
    difference = next(one for one in found.differences if one.metric == "brier")
    assert difference.high - difference.low < 0.3 * (around[1] - around[0])
    drawn = [
        intervals.resample(one.photos.targets, one.photos.tags, one.photos.scores, 300, 0)
        for one in (first, near)
    ]
    values = drawn[1].overall["brier"] - drawn[0].overall["brier"]
    assert (difference.low, difference.high) == intervals.interval(values)


def test_a_paired_interval_holds_no_difference_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        targets = (random.random((120, 2)) < 0.4).astype(np.uint8)
        f1 = []
        for _ in range(2):
            scores = 0.3 * targets + 0.7 * random.random(targets.shape)
            tags = (scores >= 0.5).astype(np.uint8)
            f1.append(intervals.resample(targets, tags, scores, 200, 0).overall["micro_f1"])
        low, high = intervals.interval(f1[1] - f1[0])
        held += low <= 0 <= high
    # 95 of 100 are expected; chance takes it below 88 or to all hardly ever.
    assert held >= 88


def test_the_table_shows_runs_and_baselines(compared: Comparison) -> None:
    text = "\n".join(compared.lines())
    assert "60 photos of split test" in text
    for word in ("exact match", "macro-F1", "mAP", "epochs", "best constant", "chance"):
        assert word in text
    good = next(line for line in compared.lines() if line.startswith("good "))
    assert f"{compared.overall['good']['micro_f1']:.2%}" in good
    assert re.search(r" 3 +2 min 00 s$", good)
    content = json.loads(json.dumps(compared.to_json(), allow_nan=False))
    assert content["first"] == "good" and content["bootstrap"]["resamples"] == 200
    assert content["runs"][0]["training_seconds"] == 120
    assert content["runs"][2]["training_seconds"] is None
    assert set(content["baselines"]) == {"chance", "best_constant"}


def test_the_page_escapes_and_holds_its_plots(tmp_path: Path) -> None:
    runs = [run("<script>a", 0.6, 1), run("b & c", 0.3, 2, log=False)]
    names = ("<img src=x>", "$x$", "blue")
    runs = [
        replace(one, photos=replace(one.photos, about=replace(one.photos.about, labels=names)))
        for one in runs
    ]
    page, figures = write_comparison(tmp_path / "new/out", compare(runs, 50))
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "<img src=x" not in text
    assert "&lt;script&gt;a" in text and "&lt;img src=x&gt;" in text
    assert text.count("data:image/png;base64,") == 3
    assert "Without a training log: b &amp; c." in text
    assert "nan" not in re.sub(r"base64,[^\"]+", "", text).lower()
    assert json.loads(figures.read_text(encoding="utf-8"))["photos"] == 60


def test_without_any_training_log_the_plot_by_epoch_is_left_out(tmp_path: Path) -> None:
    runs = [run("a", 0.6, 1, log=False), run("b", 0.3, 2, log=False)]
    page, _ = write_comparison(tmp_path, compare(runs, 50))
    assert page.read_text(encoding="utf-8").count("data:image/png;base64,") == 2


def test_figures_of_others_are_not_written_over(tmp_path: Path) -> None:
    other, comparison = tmp_path / "compare.json", compare([run("a", 0.6, 1), run("b", 0.3, 2)], 20)
    for text in ('{"runs": 3}', "[]", "no json"):
        other.write_text(text)
        with pytest.raises(FftagError, match="is not the figures of a comparison"):
            write_comparison(tmp_path, comparison)
        assert other.read_text() == text
    other.unlink()
    for _ in range(2):
        write_comparison(tmp_path, comparison)


def test_a_log_gives_epochs_with_numbers_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    path.write_text('{"epoch": 1, "mAP": 0.5}\n\n{"epoch": 2, "mAP": null}\n{"epoch": 3}\n')
    one = replace(run("a", 0.5, 1), log=read_log(path))
    assert curve(one, "mAP") == ([1.0], [0.5])
    assert one.training_seconds is None
    for content in ("no json\n", "[1]\n"):
        path.write_text(content)
        with pytest.raises(FftagError, match=r"log\.jsonl"):
            read_log(path)


def evaluated(folder: Path, bundle: Bundle, photos: EvaluatedPhotos, **about: object) -> Path:
    """A copy of a model with these predictions as its evaluation of the split test."""
    shutil.copytree(bundle.path, folder)
    (folder / "evaluation-test").mkdir()
    changed = replace(photos.about, **({"model_id": bundle.model_id} | about))  # type: ignore[arg-type]
    path = folder / "evaluation-test/predictions.parquet"
    write_predictions(path, changed, photos.images, photos.targets, photos.scores)
    return folder


def test_photos_and_labels_in_another_order_are_put_in_the_first_ones(
    session_bundle: Bundle, tmp_path: Path
) -> None:
    photos = run("a", 0.6, 1).photos
    rows, columns = np.random.default_rng(0).permutation(60), [2, 0, 1]
    about = replace(
        photos.about,
        labels=tuple(NAMES[column] for column in columns),
        thresholds=(0.7, 0.5, 0.6),
    )
    turned = EvaluatedPhotos(
        about,
        tuple(IMAGES[row] for row in rows),
        photos.targets[np.ix_(rows, columns)],
        photos.scores[np.ix_(rows, columns)],
    )
    first, second = load_runs(
        [
            evaluated(tmp_path / "a", session_bundle, photos),
            evaluated(tmp_path / "b", session_bundle, turned),
        ],
        "test",
    )
    assert second.photos.images == first.photos.images
    assert second.photos.labels == first.photos.labels
    assert second.photos.about.thresholds == (0.5, 0.6, 0.7)
    np.testing.assert_array_equal(second.photos.targets, first.photos.targets)
    np.testing.assert_array_equal(second.photos.scores, first.photos.scores)


def test_runs_that_cannot_be_compared_are_refused_with_the_reason(
    session_bundle: Bundle, tmp_path: Path
) -> None:
    photos = run("a", 0.6, 1).photos
    first = evaluated(tmp_path / "a", session_bundle, photos)

    def refused(words: str, name: str, changed: EvaluatedPhotos, **about: object) -> None:
        other = evaluated(tmp_path / name, session_bundle, changed, **about)
        with pytest.raises(FftagError, match=words):
            load_runs([first, other], "test")

    targets = photos.targets.copy()
    targets[:4, 0] = 1 - targets[:4, 0]
    refused("0 are in the first only, 0 in .*, 4 have other", "b", replace(photos, targets=targets))
    fewer = replace(
        photos,
        images=(*IMAGES[:50], "new.jpg"),
        targets=photos.targets[:51],
        scores=photos.scores[:51],
    )
    refused("10 are in the first only, 1 in the second only, 0 have", "c", fewer)
    refused("2 are in one of the two only", "d", photos, labels=("red", "green", "plaid"))
    refused("is of another model .*run `fftag evaluate", "e", photos, model_id="0")
    refused("is of split 'val', not 'test'", "f", photos, split="val")
    with pytest.raises(FftagError, match="stands twice"):
        load_runs([first, first], "test")
    with pytest.raises(FftagError, match=r"run `fftag evaluate .*a --data DATASET --split val`"):
        load_runs([first], "val")
    with pytest.raises(FftagError, match="is not a model folder"):
        load_runs([tmp_path], "test")


def fftag(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fftag", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_command_evaluates_what_was_not_and_compares(
    bands_manifest: Path, session_bundle: Bundle, tmp_path: Path
) -> None:
    one, two = (shutil.copytree(session_bundle.path, tmp_path / name) for name in ("one", "two"))
    command = ("compare", one, two, "--resamples", "30", "--workers", "1", "--device", "cpu")
    missing = fftag(*command)
    assert missing.returncode == 1
    assert f"run `fftag evaluate {one} --data DATASET --split test`" in missing.stderr
    out = tmp_path / "comparison"
    done = fftag(*command, "--data", bands_manifest, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert [row["run"] for row in content["runs"]] == [str(one), str(two)]
    assert content["photos"] == 16
    assert all(row["value"] == 0 for row in content["differences"])
    assert json.loads((out / "compare.json").read_text()) == content
    found = read_predictions(one / "evaluation-test/predictions.parquet")
    assert found.images[0] == "photos/080.jpg" and found.about.model_id == session_bundle.model_id
    again = fftag(*command)
    assert again.returncode == 0 and "Difference from" in again.stdout
    assert fftag("compare", one).returncode == 2
