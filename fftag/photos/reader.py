"""One listed file -> its record and its pixels; each record carries its name."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fftag.base.errors import FftagError
from fftag.photos.decode import Failure, InputSpec, Limits, decode
from fftag.photos.sources.base import Reader

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Reads one listed file once; hashes and decodes the same bytes.

    Args:
        reader: of the source listed.
        entry: a row of the listing; and, under `known`, digests of photos of this size whose
            scores are there already: such a photo is not decoded.
        spec: the input size to decode to.
        limits: what is too large.
        exact: see `fftag.photos.decode.decode`.

    Returns:
        The photo's record: `image`, `status`, `error`, `width`, `height`, `format`, `file_size`,
        `modified_at`, `taken_at`, `content_sha256`, `known` (whether it is one of those),
        `apparel_score` (None until it is scored). And its pixels, or None where it failed or is
        known.
    """
    record = blank_record(entry)
    content = reader.read(entry, limits.file_bytes)
    if isinstance(content, Failure):
        return record | {"status": content.status, "error": content.error}, None
    record["file_size"] = content.size
    record["modified_at"] = _time(content.modified_ns)
    if len(content.data) <= limits.file_bytes:
        record["content_sha256"] = hashlib.sha256(content.data).hexdigest()
    if record["content_sha256"] in entry.get("known", ()):
        return record | {"known": True}, None
    result = decode(content.data, spec, limits, exact)
    if isinstance(result, Failure):
        return record | {"status": result.status, "error": result.error}, None
    found = {name: getattr(result, name) for name in ("width", "height", "format", "taken_at")}
    return record | found | {"error": result.note}, result.pixels


def blank_record(entry: dict[str, Any]) -> dict[str, Any]:
    """The record of a listed file of which nothing is known but its listing."""
    return {
        "image": entry["image"],
        "status": "ok",
        "error": None,
        "width": None,
        "height": None,
        "format": None,
        "file_size": entry["size"] or 0,
        "modified_at": _time(entry["modified_ns"]),
        "taken_at": None,
        "content_sha256": None,
        "known": False,
        "apparel_score": None,
    }


def _time(nanoseconds: int | None) -> datetime | None:
    """A file time as UTC; None where it lies outside of what a calendar holds."""
    try:
        return None if nanoseconds is None else EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None
