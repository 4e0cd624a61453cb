"""Listed files -> batches of pixels, decoded in worker processes; each record carries its name."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fftag.decode import Failure, InputSpec, Limits, Photo, decode
from fftag.errors import FftagError
from fftag.listing import Listing, unescape

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Batch:
    """Photos that travel together.

    Attributes:
        pixels: uint8 [batch, height, width, 3]; all zero where the photo failed, so that no other
            photo's arithmetic changes because of it.
        photos: one record per photo, in the same order: `image`, `status`, `error`, `width`,
            `height`, `format`, `file_size`, `modified_at`, `content_sha256`.
        shard: the shard that all of them belong to.
    """

    pixels: Tensor
    photos: list[dict[str, Any]]
    shard: int


@dataclass(frozen=True)
class ReadOptions:
    """How files are read.

    Attributes:
        batch_size: photos per batch.
        workers: decoding processes; 0 decodes in this one.
        limits: what is refused as too large.
    """

    batch_size: int = 64
    workers: int = 2
    limits: Limits = field(default_factory=Limits)


class _Files(Dataset[Batch]):
    """Batch number -> decoded batch; runs in the worker processes."""

    def __init__(
        self,
        listing: Listing,
        batches: Sequence[tuple[int, range]],
        spec: InputSpec,
        limits: Limits,
    ) -> None:
        self.root = listing.root
        self.files = listing.files
        self.batches = batches
        self.spec = spec
        self.limits = limits

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        shard, rows = self.batches[number]
        pixels = np.zeros((len(rows), self.spec.height, self.spec.width, 3), dtype=np.uint8)
        photos = []
        for position, entry in enumerate(self.files.slice(rows.start, len(rows)).to_pylist()):
            record, decoded = read_photo(self.root, entry, self.spec, self.limits)
            if decoded is not None:
                pixels[position] = decoded
            photos.append(record)
        return Batch(torch.from_numpy(pixels), photos, shard)


def read_photo(
    root: Path, entry: dict[str, Any], spec: InputSpec, limits: Limits
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Reads one listed file once; hashes and decodes the same bytes.

    Args:
        root: the folder listed.
        entry: its row of the listing: `image`, `size`, `modified_ns`.
        spec: the input size to decode to.
        limits: what is too large.

    Returns:
        The photo's record (see `Batch.photos`), and its pixels, or None where it failed.
    """
    record: dict[str, Any] = {
        "image": entry["image"],
        "status": "ok",
        "error": None,
        "width": None,
        "height": None,
        "format": None,
        "file_size": entry["size"],
        "modified_at": _time(entry["modified_ns"]),
        "content_sha256": None,
    }
    path = root / unescape(entry["image"])
    try:
        # Whatever the name stands for by now, opening it neither blocks nor leaves the folder.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "no longer a regular file")
            # One byte more than allowed tells a file that is too large without reading it all.
            data = file.read(min(status.st_size, limits.file_bytes) + 1)
    except FileNotFoundError:
        return record | {"status": "vanished", "error": "gone since the folder was listed"}, None
    except OSError as error:
        return record | {"status": "unreadable", "error": error.strerror or str(error)}, None
    record["file_size"], record["modified_at"] = status.st_size, _time(status.st_mtime_ns)
    if len(data) <= limits.file_bytes:
        record["content_sha256"] = hashlib.sha256(data).hexdigest()
    result = decode(data, spec, limits)
    if isinstance(result, Failure):
        return record | {"status": result.status, "error": result.error}, None
    assert isinstance(result, Photo)
    size = {"width": result.width, "height": result.height, "format": result.format}
    return record | size, result.pixels


def batches(
    listing: Listing, shards: Sequence[tuple[int, range]], spec: InputSpec, options: ReadOptions
) -> Iterator[Batch]:
    """Decoded batches in order; no batch straddles two shards.

    Args:
        listing: the files.
        shards: number and rows of each shard to read.
        spec: the model's input.
        options: how to read them.

    Raises:
        FftagError: a worker process died.
    """
    plan = [
        (shard, range(start, min(start + options.batch_size, rows.stop)))
        for shard, rows in shards
        for start in range(rows.start, rows.stop, options.batch_size)
    ]
    loader = DataLoader(
        _Files(listing, plan, spec, options.limits),
        batch_size=None,
        num_workers=options.workers,
        prefetch_factor=2 if options.workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    iterator = iter(loader)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise FftagError(
                f"a decoding process died ({str(error).splitlines()[0]}): "
                "the same command goes on from the last finished part"
            ) from error
        yield batch


def _time(nanoseconds: int) -> datetime | None:
    """A file time as UTC; None where it lies outside of what a calendar holds."""
    try:
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None
