"""`fftag tag --compare`: what it says of a sample is what a run with the model then changes."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from catalogues import photo_folder, untrained_model
from typer.testing import CliRunner

from fftag.base.errors import FftagError
from fftag.cli import app
from fftag.models.folder import Bundle, save_bundle, save_screen
from fftag.models.labels import LabelSet
from fftag.models.screen import Screen
from fftag.photos.sources.local import Folder
from fftag.tagging.compare_models import _spread, compare_models
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import tag

OPTIONS = TagOptions(workers=1, tier="exact", backend="torch")
PHOTOS = 24


@pytest.fixture
def tagged(source: Path, session_bundle: Bundle, tmp_path: Path) -> tuple[Path, Path]:
    """Photos and files that fail, and their tags by a first model."""
    photo_folder(source, PHOTOS)
    for path in source.rglob("*"):
        os.utime(path, (10**9, 10**9))
    out = tmp_path / "tags.parquet"
    tag(Folder(source), out, session_bundle, OPTIONS)
    return source, out


def tags_of(out: Path) -> dict[str, set[str]]:
    table = pq.read_table(out, columns=["image", "tags"]).to_pylist()
    return {
        row["image"]: {one["label"] for one in row["tags"]}
        for row in table
        if row["tags"] is not None
    }


def test_it_says_what_a_run_then_does(
    tagged: tuple[Path, Path], stricter: Bundle, tmp_path: Path
) -> None:
    root, out = tagged
    said = compare_models(Folder(root), out, stricter, OPTIONS, 500)
    other = tmp_path / "other.parquet"
    tag(Folder(root), other, stricter, OPTIONS)
    before, after = tags_of(out), tags_of(other)
    assert said.changed.of == said.changed.catalogue == len(before) and said.left_out == 0
    assert said.changed.photos == sum(before[image] != after[image] for image in before) > 0
    assert said.labels
    for one in said.labels:
        has = [(one.label in before[image], one.label in after[image]) for image in before]
        assert one.gain.photos == has.count((False, True))
        assert one.lose.photos == has.count((True, False))
        assert one.published == sum(had for had, _ in has)
        assert one.now == sum(now for _, now in has)
        assert one.gain.in_catalogue().startswith(f"{one.gain.photos} (")


def test_nothing_is_written(tagged: tuple[Path, Path], stricter: Bundle) -> None:
    root, out = tagged
    before = {path: path.stat() for path in out.parent.rglob("*")}
    content = out.read_bytes()
    command = ["tag", root, "--out", out, "--model", stricter.path, "--compare", "--sample", "9"]
    done = CliRunner().invoke(app, [*map(str, command), "--workers", "1", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["photos"] == 9 and said["model"] == stricter.model_id
    assert said["catalogue"] == len(tags_of(out))
    low, share, high = (said["changed"][name] for name in ("low", "share", "high"))
    assert low <= share <= high and said["changed"]["catalogue"] == share * said["catalogue"]
    assert out.read_bytes() == content
    after = {path: path.stat() for path in out.parent.rglob("*")}
    assert after.keys() == before.keys()
    assert all(before[path].st_mtime_ns == after[path].st_mtime_ns for path in before)


def test_the_model_of_before_changes_nothing(
    tagged: tuple[Path, Path], session_bundle: Bundle
) -> None:
    root, out = tagged
    said = compare_models(Folder(root), out, session_bundle, OPTIONS, 500)
    assert said.changed.photos == 0
    assert any("3 labels change on no photo" in line for line in said.lines())


def test_photos_that_are_gone_or_changed_are_left_out(
    tagged: tuple[Path, Path], stricter: Bundle
) -> None:
    root, out = tagged
    files = sorted(root.glob("season-*/*.jpg"))
    files[0].unlink()
    files[1].write_bytes(files[2].read_bytes())
    said = compare_models(Folder(root), out, stricter, OPTIONS, 500)
    assert said.left_out == 2 and said.changed.of == said.changed.catalogue - 2
    shutil.rmtree(root)
    photo_folder(root / "elsewhere", 2)
    with pytest.raises(FftagError, match="as it was tagged: give the source"):
        compare_models(Folder(root), out, stricter, OPTIONS, 500)


def test_labels_of_one_model_alone_are_told(
    tagged: tuple[Path, Path], session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = tagged
    labels = LabelSet.of(["blue", "cape", "red"], ["cool", "wholebody", "warm"])
    config = replace(session_bundle.config, labels=labels)
    other = save_bundle(tmp_path / "other", config, session_bundle.build().state_dict())
    said = compare_models(Folder(root), out, other, OPTIONS, 500)
    assert said.new_labels == ["cape"] and said.gone_labels == ["green"]
    assert {one.label for one in said.labels} == {"blue", "red"}
    lines = "\n".join(said.lines())
    assert "new labels: cape" in lines and "gone labels: green" in lines


def test_verdicts_of_another_screen_are_told(tagged: tuple[Path, Path], tmp_path: Path) -> None:
    root, out = tagged
    bundle = untrained_model(tmp_path / "screened")
    features = bundle.build().head.in_features
    # Around -1, which no photo is near to: every score lies at the far end of the curve.
    centre = {"centroids": -np.ones((1, features), np.float32), "spreads": np.ones(1, np.float32)}
    knots, shares = np.array([0, 1e-4], np.float32), np.array([0.9, 0.03], np.float32)
    screened = save_screen(bundle.path, Screen("kmeans", centre, knots, shares, 0.05, 0.1, {}))
    said = compare_models(Folder(root), out, screened, OPTIONS, 500)
    assert said.turned_down.photos == said.changed.of and said.let_through.photos == 0
    assert any("turns down" in line for line in said.lines())


def test_the_sample_is_spread_over_the_catalogue_and_the_same_each_time() -> None:
    numbers = np.arange(0, 20_000, 2)
    drawn = _spread(numbers, 500, 0)
    assert len(drawn) == 500 and (np.diff(drawn) > 0).all() and not (drawn % 2).any()
    assert (np.histogram(drawn, bins=50, range=(0, 20_000))[0] == 10).all()
    assert (drawn == _spread(numbers, 500, 0)).all() and (drawn != _spread(numbers, 500, 1)).any()
    assert (_spread(numbers[:7], 500, 0) == numbers[:7]).all()


def test_it_needs_tags_that_are_there(
    folder_of_photos: Callable[[int], Path], session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(2)
    with pytest.raises(FftagError, match="no tags file"):
        compare_models(Folder(root), tmp_path / "no.parquet", session_bundle, OPTIONS, 5)
