"""One listed file -> its record and its pixels; each record carries its name."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fftag.base.errors import FftagError
from fftag.photos.decode import Failure, InputSpec, Limits, decode
from fftag.photos.record import PhotoRecord, time_of
from fftag.photos.sources.base import Reader


@dataclass(frozen=True)
class ReadOptions:
    """How files are read.

    Attributes:
        batch_size: photos per batch. Small ones stay in a core's cache.
        workers: decoding processes, at least one.
        limits: what is refused as too large.
        timeout: seconds that one photo may take, to read and to decode.
        worker_memory: bytes of address space that a decoding process may use (Linux).
        exact: decode JPEGs at their full size (see `fftag.photos.decode.decode`).
    """

    batch_size: int = 16
    workers: int = 2
    limits: Limits = field(default_factory=Limits)
    timeout: float = 60.0
    worker_memory: int = 4 * 2**30
    exact: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise FftagError(f"{self.workers} workers decode nothing: take at least 1 of --workers")


def read_photo(
    reader: Reader,
    entry: dict[str, Any],
    spec: InputSpec,
    limits: Limits,
    exact: bool = False,
) -> tuple[PhotoRecord, np.ndarray | None]:
    """Reads one listed file once; hashes and decodes the same bytes.

    Args:
        reader: of the source listed.
        entry: a row of the listing; and, under `known`, digests of photos of this size whose
            scores are there already: such a photo is not decoded.
        spec: the input size to decode to.
        limits: what is too large.
        exact: see `fftag.photos.decode.decode`.

    Returns:
        The photo's record, and its pixels; None where it failed or is known.
    """
    record = PhotoRecord.of_listed(entry)
    content = reader.read(entry, limits.file_bytes)
    if isinstance(content, Failure):
        return record.fail(content), None
    record.file_size = content.size
    record.modified_at = time_of(content.modified_ns)
    if len(content.data) <= limits.file_bytes:
        record.content_sha256 = hashlib.sha256(content.data).hexdigest()
    if record.content_sha256 in entry.get("known", ()):
        record.known = True
        return record, None
    photo = decode(content.data, spec, limits, exact)
    if isinstance(photo, Failure):
        return record.fail(photo), None
    record.width, record.height, record.format = photo.width, photo.height, photo.format
    record.taken_at, record.error = photo.taken_at, photo.note
    return record, photo.pixels
