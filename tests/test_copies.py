"""Copies of a photo within a run: one row each, one forward pass for all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from decoding_here import decoding_here

import fftag.copies
from fftag.bundle import Bundle
from fftag.copies import Copies
from fftag.predict import Predictor
from fftag.sources import Folder
from fftag.sources.local import LocalReader
from fftag.tag import tag
from fftag.tag_options import TagOptions
from fftag.tag_summary import TagSummary
from fftag.validate import validate

Make = Callable[[int], Path]
OPTIONS = TagOptions(backend="torch", workers=1, batch_size=4, shard_size=4)


def with_copies(root: Path) -> list[Path]:
    """Copies of the first photo: in its batch, in the next, and at the end."""
    first = min(root.rglob("*.jpg"))
    names = [first.with_name(f"{first.stem}{mark}.jpg") for mark in ("-a", "-b", "-c")]
    names += [root / "zz" / f"{number}.jpg" for number in range(9)]
    (root / "zz").mkdir()
    for name in names:
        name.write_bytes(first.read_bytes())
    return [first, *names]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many photos each forward pass had."""
    counts: list[int] = []
    predict = Predictor.__call__

    def counted(self: Predictor, photos: Any) -> Any:
        counts.append(len(photos))
        return predict(self, photos)

    monkeypatch.setattr(Predictor, "__call__", counted)
    return counts


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    return {row["image"]: row for row in pq.read_table(out).to_pylist()}


@pytest.mark.parametrize("workers", [1, 2])
def test_each_copy_has_a_whole_row_and_costs_no_forward_pass(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    scored: list[int],
    workers: int,
) -> None:
    root, out = folder_of_photos(10), tmp_path / "tags.parquet"
    copies = with_copies(root)
    summary = tag(Folder(root), out, session_bundle, replace(OPTIONS, workers=workers))
    assert (summary.files, summary.statuses["ok"]) == (22, 22)
    assert sum(scored) == 10
    rows = rows_of(out)
    own = {"image", "tagged_at", "modified_at"}
    for copy in copies[1:]:
        one, other = (rows[path.relative_to(root).as_posix()] for path in (copies[0], copy))
        assert {key: one[key] for key in one.keys() - own} == {
            key: other[key] for key in other.keys() - own
        }
    assert validate(out, Folder(root)).valid


def test_copies_that_come_late_are_not_even_decoded(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(10)
    with_copies(root)
    summary: TagSummary = tag(Folder(root), tmp_path / "t.parquet", session_bundle, OPTIONS)
    assert 1 <= summary.recognised <= 12


def test_a_broken_photo_is_broken_in_each_copy(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, scored: list[int]
) -> None:
    root, out = folder_of_photos(6), tmp_path / "tags.parquet"
    first = min(root.rglob("*.jpg"))
    first.write_bytes(first.read_bytes()[:300])
    copies = with_copies(root)
    tag(Folder(root), out, session_bundle, replace(OPTIONS, max_failure_rate=1))
    rows = rows_of(out)
    found = {rows[path.relative_to(root).as_posix()]["status"] for path in copies}
    assert found == {"truncated"} and sum(scored) == 5


def test_an_interrupted_run_knows_its_copies_again(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    scored: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, out, clean = folder_of_photos(10), tmp_path / "tags.parquet", tmp_path / "clean.parquet"
    with_copies(root)
    tag(Folder(root), clean, session_bundle, OPTIONS)
    scored.clear()
    read, calls = LocalReader.read, 0

    def dies(self: LocalReader, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 14:
            raise KeyboardInterrupt
        return read(self, *args)

    with decoding_here(), monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LocalReader, "read", dies)
        tag(Folder(root), out, session_bundle, OPTIONS)
    before = sum(scored)
    summary = tag(Folder(root), out, session_bundle, OPTIONS)
    assert 0 < before < 10 and summary.resumed >= 4
    assert [row["scores"] for row in rows_of(out).values()] == [
        row["scores"] for row in rows_of(clean).values()
    ]


def test_beyond_its_room_photos_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = Copies(labels=3, bytes_held=2 * 700)
    scores = np.arange(3, dtype=np.float32)
    for digest, first in (("a", True), ("b", True), ("a", False), ("c", True), ("c", True)):
        photo = {
            "content_sha256": digest,
            "file_size": 7,
            "width": 4,
            "height": 5,
            "taken_at": None,
        }
        photo |= {"format": "jpeg", "error": None, "apparel_score": None}
        assert copies.is_first(photo) is first
        if first:
            copies.keep(photo, scores)
    taken = copies.take({"content_sha256": "b"})
    assert taken is not None and taken.tolist() == [0, 1, 2]
    assert copies.take({"content_sha256": "c"}) is None
    assert copies.of_size(7) == ("a", "b") and copies.of_size(8) == copies.of_size(None) == ()
    monkeypatch.setattr(fftag.copies, "CONTENTS_OF_A_SIZE", 1)
    assert copies.of_size(7) == ()
    assert copies.take({"content_sha256": "b"}) is not None  # it is decoded, and not scored
