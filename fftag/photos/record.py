"""One listed file -> its record and its pixels; the record carries its name all the way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import numpy as np

from fftag.photos.decode import Failure, InputSpec, Limits, decode
from fftag.photos.sources.base import Reader

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class PhotoRecord:
    """A listed file, from the process that reads it to its row.

    Attributes:
        image: path below the source, as the listing spells it.
        status: one of `fftag.tagging.tags_file.STATUSES`.
        error: why there are no pixels, or what is to be said of those that there are.
        width: of the photo as stored, after EXIF rotation, in pixels.
        height: likewise.
        format: the name of the file format, such as `JPEG`.
        file_size: in bytes.
        modified_at: in UTC.
        taken_at: by the clock of the camera, without a time zone.
        content_sha256: of the file, in hex.
        known: whether scores of the same content are there already: it was not decoded.
        apparel_score: the screen's, once it is scored.
    """

    image: str
    status: str = "ok"
    error: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    file_size: int = 0
    modified_at: datetime | None = None
    taken_at: datetime | None = None
    content_sha256: str | None = None
    known: bool = False
    apparel_score: float | None = None

    @classmethod
    def of_listed(cls, entry: dict[str, Any]) -> PhotoRecord:
        """That of a row of a listing, which says nothing of what is in the file."""
        return cls(
            entry["image"],
            file_size=entry["size"] or 0,
            modified_at=time_of(entry["modified_ns"]),
        )

    @property
    def has_pixels(self) -> bool:
        """Whether it was decoded: it neither failed nor is known."""
        return self.status == "ok" and not self.known

    def fail(self, failure: Failure) -> PhotoRecord:
        """Notes why there are no pixels; returns the same record."""
        self.status, self.error = failure.status, failure.error
        return self

    def __reduce__(self) -> tuple[type[PhotoRecord], tuple[Any, ...]]:
        # Thousands a second go through pipes: values by their places take half the time of a state
        # by names.
        return PhotoRecord, _VALUES(self)


_VALUES = attrgetter(*PhotoRecord.__slots__)


def time_of(nanoseconds: int | None) -> datetime | None:
    """A file time, since the epoch, as UTC; None where it lies outside of what a calendar holds."""
    try:
        return None if nanoseconds is None else EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


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
