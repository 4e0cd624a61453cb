"""A review: labels planted wrong are found, on models that never saw the photos they judge."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from catalogues import COLOURS, save_bands
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from typer.testing import CliRunner

from fftag.base.errors import FftagError
from fftag.catalogue.review_sheet import Suspect, read_sheet
from fftag.cli import app
from fftag.data.manifest import Manifest, make_manifest, read_manifest, write_manifest
from fftag.models.folder import load_bundle
from fftag.models.labels import LabelSet
from fftag.training.label_review import (
    Review,
    find_suspects,
    judgeable,
    review_by_folds,
    review_by_model,
    write_review,
    write_review_page,
)
from fftag.training.loop import TrainOptions
from fftag.training.out_of_fold import fold_numbers, held_out
from fftag.training.recipe import load_recipe

OPTIONS = TrainOptions("cpu", 1)
RECIPE = load_recipe(
    "cnn",
    {
        "model.input_size": "[24, 16]",
        "data.crop_area": "1.0",
        "run.epochs": "4",
        "run.batch_size": "16",
        "tags.platt_support": "4",
    },
)
PLANTED = {(3, "red"), (17, "red"), (30, "green"), (44, "green"), (61, "blue"), (78, "blue")}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """96 photos whose labels are plain to see, but for six that are planted wrong."""
    root = tmp_path_factory.mktemp("planted")
    images, labels = [], []
    for number in range(96):
        shown = {name for bit, name in enumerate(COLOURS) if number >> bit & 1}
        save_bands(root / f"{number:03d}.jpg", list(shown), number)
        wrong = {label for photo, label in PLANTED if photo == number}
        images.append(f"{number:03d}.jpg")
        labels.append(sorted(shown ^ wrong))
    manifest = make_manifest(images, labels, LabelSet.of(COLOURS), root)
    write_manifest(manifest, root / "d.parquet")
    return manifest


@pytest.fixture(scope="module")
def reviewed(planted: Manifest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Review, Path]:
    out = tmp_path_factory.mktemp("review") / "out"
    return review_by_folds(planted, RECIPE, out, 3, 40, OPTIONS), out


def test_labels_planted_wrong_come_first(reviewed: tuple[Review, Path]) -> None:
    review, _ = reviewed
    first = {(int(one.image[:3]), one.label) for one in review.suspects[: len(PLANTED) + 2]}
    assert first >= PLANTED
    assert review.photos == 96 and not review.unjudged
    assert len(review.suspects) <= 40
    flagged = [one.quality for one in review.suspects][: sum(map(sum, review.flagged.values()))]
    assert flagged and flagged == sorted(flagged)
    assert all(0 <= one.score <= 1 for one in review.suspects)


def test_the_sheet_and_the_page_show_the_suspects(reviewed: tuple[Review, Path]) -> None:
    review, out = reviewed
    rows = read_sheet(out / "review.csv")
    assert [(one.image, one.label, one.given) for one in rows] == [
        (one.image, one.label, one.given) for one in review.suspects
    ]
    page = (out / "review.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(review.suspects)
    assert "http" not in page
    assert json.dumps(review.to_json())
    assert review.mean_average_precision > 0.9 and "warning" not in "".join(review.lines())
    assert review.to_json()["flagged"] <= len(review.suspects)


def test_finished_folds_are_used_again_and_others_refused(
    reviewed: tuple[Review, Path], planted: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    review, out = reviewed
    monkeypatch.setattr("fftag.training.out_of_fold.train", None)
    again = review_by_folds(planted, RECIPE, out, 3, 40, OPTIONS)
    assert again.suspects == review.suspects
    other = RECIPE.model_copy(update={"run": RECIPE.run.model_copy(update={"epochs": 5})})
    with pytest.raises(FftagError, match="other recipe: run it as it was, or choose another"):
        review_by_folds(planted, other, out, 3, 40, OPTIONS)
    with pytest.raises(FftagError, match="other folds"):
        review_by_folds(planted, RECIPE, out, 4, 40, OPTIONS)


def test_no_fold_s_model_was_trained_on_the_photos_it_scores(
    reviewed: tuple[Review, Path], planted: Manifest
) -> None:
    _, out = reviewed
    fold_of = np.array(json.loads((out / "folds/folds.json").read_text())["folds"])
    for number in range(3):
        split = np.full(len(planted), "train", dtype=object)
        split[fold_of == (number + 1) % 3] = "val"
        split[fold_of == number] = "test"
        part = replace(planted, frame=planted.frame.assign(split=split))
        bundle = load_bundle(out / "folds" / str(number))
        assert bundle.config.data_fingerprint == part.fingerprint


def test_a_model_judges_only_photos_it_was_not_trained_on(
    reviewed: tuple[Review, Path], planted: Manifest, tmp_path: Path
) -> None:
    _, out = reviewed
    fold_of = np.array(json.loads((out / "folds/folds.json").read_text())["folds"])
    split = np.array(["test", "val", "train"], dtype=object)[fold_of]
    manifest = replace(planted, frame=planted.frame.assign(split=split))
    bundle = load_bundle(out / "folds/0")
    part = held_out(manifest, bundle)
    assert set(part.frame["split"]) == {"val", "test"}
    review = review_by_model(manifest, bundle, tmp_path, 10, OPTIONS)
    assert review.photos == len(part) < len(manifest)
    with pytest.raises(FftagError, match=r"trained on another manifest.*--recipe"):
        review_by_model(planted, bundle, tmp_path, 10, OPTIONS)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_group_straddles_two_folds_and_every_photo_has_one(data: st.DataObject) -> None:
    photos = data.draw(st.integers(3, 30))
    targets = data.draw(hnp.arrays(np.uint8, (photos, 3), elements=st.integers(0, 1)))
    groups = data.draw(hnp.arrays(np.int64, photos, elements=st.integers(0, photos)))
    if len(set(groups.tolist())) < 3:
        with pytest.raises(FftagError, match="do not fill 3 folds"):
            fold_numbers(targets, groups, 3, 0)
        return
    folds = fold_numbers(targets, groups, 3, 0)
    assert set(folds.tolist()) <= {0, 1, 2}
    pairs = set(zip(groups.tolist(), folds.tolist(), strict=True))
    assert len(pairs) == len(set(groups.tolist()))
    assert (fold_numbers(targets, groups, 3, 0) == folds).all()


def test_near_duplicates_share_a_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = [], []
    for number in range(12):
        grid = np.random.default_rng(number).integers(0, 255, (6, 5, 3), dtype=np.uint8)
        soft = Image.fromarray(grid).resize((300, 400), Image.Resampling.BICUBIC)
        soft.save(tmp_path / f"{number:02d}.jpg", quality=95)
        soft.resize((150, 200)).save(tmp_path / f"{number:02d}-small.jpg", quality=60)
        images += [f"{number:02d}.jpg", f"{number:02d}-small.jpg"]
        labels += [["hat"] if number % 2 else ["shoe"]] * 2
    manifest = make_manifest(images, labels, LabelSet.of(["hat", "shoe"]), tmp_path)
    dealt: list[np.ndarray] = []

    def scores(manifest: Manifest, fold_of: np.ndarray, *_: object) -> np.ndarray:
        dealt.append(fold_of)
        return np.full((len(manifest), 2), 0.5, dtype=np.float32)

    monkeypatch.setattr("fftag.training.label_review.scores_by_folds", scores)
    review_by_folds(manifest, RECIPE, tmp_path / "out", 4, 5, OPTIONS)
    assert (dealt[0][::2] == dealt[0][1::2]).all()
    assert np.bincount(dealt[0]).tolist() == [6, 6, 6, 6]


def test_too_few_folds_are_refused() -> None:
    with pytest.raises(FftagError, match="--folds 2: give at least 3"):
        fold_numbers(np.ones((9, 2), dtype=np.uint8), np.arange(9), 2, 0)


def test_a_rare_label_is_not_suspicious_for_its_low_scores() -> None:
    rng = np.random.default_rng(0)
    targets = np.stack([np.arange(400) < 200, np.arange(400) < 12], axis=1).astype(np.uint8)
    scores = np.clip(targets * [0.8, 0.3] + 0.05 + rng.normal(0, 0.02, (400, 2)), 0, 1)
    scores[5, 0] = 0.04  # given, and as surely not there
    flags, quality = find_suspects(targets, scores.astype(np.float32))
    assert flags[5, 0] and not flags[:12, 1].any()
    assert quality[5, 0] < quality[:12, 1].min()


def test_labels_on_too_few_photos_are_named_not_judged(tmp_path: Path) -> None:
    targets = np.zeros((40, 3), dtype=np.uint8)
    targets[:20, 0] = targets[:2, 1] = targets[:, 2] = 1
    assert judgeable(targets).tolist() == [0]
    names = ["half", "rare", "all"]
    labels = [[name for name, has in zip(names, row, strict=True) if has] for row in targets]
    manifest = make_manifest([f"{n}.jpg" for n in range(40)], labels, LabelSet.of(names), tmp_path)
    scores = np.where(targets, 0.9, 0.1).astype(np.float32)
    review = write_review(manifest, scores, tmp_path / "out", 10)
    assert review.unjudged == ("rare", "all") and not review.suspects
    assert "2 labels on too few photos to judge: 'rare', 'all'" in review.lines()
    with pytest.raises(FftagError, match="nothing can be said about errors"):
        judgeable(targets[:, 1:])


def test_models_that_learned_nothing_are_not_trusted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = [["hat"] if number % 4 == 0 else ["shoe"] for number in range(200)]
    names = [f"{number}.jpg" for number in range(200)]
    manifest = make_manifest(names, labels, LabelSet.of(["hat", "shoe"]), tmp_path)
    scores = rng.random((200, 2)).astype(np.float32)
    review = write_review(manifest, scores, tmp_path / "out", 5)
    assert any("warning: these models have hardly learned" in line for line in review.lines())
    assert "warning: these models" in (tmp_path / "out/review.html").read_text()


def test_text_on_the_page_cannot_become_markup(tmp_path: Path) -> None:
    label = "<script>alert('x')</script>"
    suspect = Suspect('"><img src=x onerror=y>.jpg', label, True, 0.1, 0.2)
    write_review_page(tmp_path / "p.html", [suspect], tmp_path, {label: (1, 0)}, [label])
    page = (tmp_path / "p.html").read_text()
    assert "<script" not in page and "<img" not in page
    assert "cannot be read" in page and page.count("&lt;script&gt;") == 3


def test_without_cleanlab_the_extra_is_named(
    planted: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(FftagError, match=r"pip install 'fftag\[review\]'"):
        review_by_folds(planted, RECIPE, tmp_path / "out", 3, 10, OPTIONS)
    assert not (tmp_path / "out").exists()


def test_one_of_recipe_and_model_is_asked_for(planted: Manifest, tmp_path: Path) -> None:
    command = ["data", "review", str(planted.root / "d.parquet"), "--out", str(tmp_path / "out")]
    for more in ([], ["--recipe", "cnn", "--model", "m"], ["--model", "m", "--set", "a.b=1"]):
        assert CliRunner().invoke(app, [*command, *more]).exit_code == 2
    assert not (tmp_path / "out").exists()


def test_from_the_command_line_a_review_ends_in_a_corrected_manifest(
    reviewed: tuple[Review, Path], planted: Manifest, tmp_path: Path
) -> None:
    _, out = reviewed
    dataset, sheet = str(planted.root / "d.parquet"), tmp_path / "review.csv"
    frame = pd.read_csv(out / "review.csv", dtype=str, keep_default_na=False)
    wrong = {(f"{photo:03d}.jpg", label) for photo, label in PLANTED}
    for row, (image, label) in enumerate(zip(frame["image"], frame["label"], strict=True)):
        if (image, label) in wrong:
            frame.loc[row, "correct"] = frame.loc[row, "suggested"]
    frame.to_csv(sheet, index=False)
    fixed = tmp_path / "fixed.parquet"
    command = ["data", "correct", dataset, "--sheet", str(sheet), "--out", str(fixed), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["added"] + report["removed"] == len(PLANTED)
    for number, names in enumerate(read_manifest(fixed).frame["labels"]):
        assert set(names) == {name for bit, name in enumerate(COLOURS) if number >> bit & 1}
