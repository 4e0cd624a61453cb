"""What is known of a photo; its record carries its name all the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from fftag.photos.decode import Failure

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
