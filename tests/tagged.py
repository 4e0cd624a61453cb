"""What several test modules ask of photos and of tags files."""

import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import fftag.photos.pool
import fftag.tagging.dry_run
import fftag.tagging.score
from fftag.photos.decode import InputSpec
from fftag.photos.pool import Batch, ReadOptions
from fftag.photos.record import PhotoRecord, read_photo
from fftag.photos.sources.base import Source

LAST_YEAR = time.time() - 365 * 86_400


def aged(root: Path) -> Path:
    """Gives each file a time of its own, long past, by which it can be trusted."""
    for path in root.rglob("*"):
        if path.is_file():
            moment = LAST_YEAR + zlib.crc32(os.fsencode(path.relative_to(root))) % 86_400
            os.utime(path, (moment, moment))
    return root


def rows_of(path: Path) -> dict[str, dict[str, Any]]:
    """Every row by its image, without the time at which it was made."""
    table = pq.read_table(path).drop_columns(["tagged_at"])
    found = {row["image"]: row for row in table.to_pylist()}
    assert len(found) == table.num_rows
    return found


def assert_same(one: Path, two: Path) -> None:
    """Two tags files say the same. A photo's place in its batch can move a score's last bit."""
    rows, others = rows_of(one), rows_of(two)
    assert list(rows) == list(others)
    for image, row in rows.items():
        other = others[image]
        assert row["scores"] == pytest.approx(other["scores"], abs=1e-6), image
        tags = [[tagged["label"] for tagged in found["tags"] or ()] for found in (row, other)]
        assert tags[0] == tags[1], image
        for column in row.keys() - {"scores", "tags"}:
            assert row[column] == other[column], (image, column)


def spoil(root: Path) -> dict[str, str]:
    """Adds what real folders hold; returns the status that each must get."""
    photo = (root / "season-0/FF-0000_1.jpg").read_bytes()
    files = {
        "a/cut.jpg": (photo[: len(photo) // 2], "truncated"),
        "a/empty.jpg": (b"", "unreadable"),
        "b/notes.txt": (b"not a photo", "unsupported"),
        "b/text.jpg": (b"neither is this", "unsupported"),
        "c/header.jpg": (photo[:3] + bytes(200) + photo[-2:], "unreadable"),
        "c/copy.jpg": (photo, "ok"),
    }
    for name, (content, _) in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    return {name: status for name, (_, status) in files.items()}


@contextmanager
def decoding(each: Callable[[PhotoRecord], PhotoRecord]) -> Iterator[None]:
    """Inside the block, a run has the record of each photo that is read as `each` gives it."""
    scored = fftag.tagging.score.scored

    def noted(batches: Iterator[Batch], *rest: Any) -> Any:
        each_batch = (replace(one, photos=[each(photo) for photo in one.photos]) for one in batches)
        return scored(each_batch, *rest)

    with pytest.MonkeyPatch.context() as patch:
        for module in (fftag.tagging.score, fftag.tagging.dry_run):
            patch.setattr(module, "scored", noted)
        yield


@contextmanager
def reading() -> Iterator[list[str]]:
    """The names of the files that are decoded inside the block."""
    decoded: list[str] = []

    def note(photo: PhotoRecord) -> PhotoRecord:
        if not photo.known:
            decoded.append(photo.image)
        return photo

    with decoding(note):
        yield decoded


class Here:
    """Decodes where it is asked to, as a `Pool` does in processes of its own."""

    def __init__(
        self, source: Source, spec: InputSpec, options: ReadOptions, held: int = 1
    ) -> None:
        self.reader = source.reader()
        self.spec, self.options = spec, options

    def work(self, plan: Iterator[tuple[int, Sequence[dict[str, Any]]]]) -> Iterator[Batch]:
        spec, options = self.spec, self.options
        for number, entries in plan:
            pixels = np.zeros((options.batch_size, spec.height, spec.width, 3), np.uint8)
            photos = []
            for place, entry in enumerate(entries):
                photo, found = read_photo(self.reader, entry, spec, options.limits, options.exact)
                pixels[place] = 0 if found is None else found
                photos.append(photo)
            yield Batch(number, pixels, photos)

    def dismiss(self) -> None:
        self.reader.close()


@contextmanager
def crew_of(kind: Any) -> Iterator[None]:
    """Inside the block photos are decoded by such a crew: `Here`, or one of processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fftag.photos.pool, "Pool", kind)
        yield
