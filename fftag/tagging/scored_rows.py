"""Scored photos -> rows of a part: those of a tags file, but for what publication decides."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from fftag.photos.record import PhotoRecord
from fftag.tagging.tags_file import RunInfo, tags_schema

DECIDED = ("tags", "is_apparel", "model_id")  # by thresholds, of which scores know nothing


def part_schema(run: RunInfo) -> pa.Schema:
    """The schema of a part: that of `tags.parquet` without the columns `DECIDED`."""
    schema = tags_schema(run)
    kept = [field for field in schema if field.name not in DECIDED]
    return pa.schema(kept, metadata=schema.metadata)


def rows(
    photos: Sequence[PhotoRecord],
    scores: np.ndarray,
    run: RunInfo,
    read_at: Sequence[datetime],
) -> pa.Table:
    """Photos as a table of `part_schema(run)`.

    Args:
        photos: their records. One that is `known`, as its content
            has scores in another row, has none here; nor has one that failed.
        scores: float32 [photos, labels]; ignored of those.
        run: what made them.
        read_at: a moment before each was opened.
    """
    unscored = np.array([not one.has_pixels for one in photos], bool)
    columns: dict[str, Any] = {
        "scores": pa.FixedSizeListArray.from_arrays(
            pa.array(scores.ravel(), pa.float32()), len(run.labels), mask=pa.array(unscored)
        ),
        "tagged_at": read_at,
    }
    schema = part_schema(run)
    for field in schema:
        if field.name not in columns:
            columns[field.name] = [getattr(photo, field.name) for photo in photos]
    arrays = [_as_array(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _as_array(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


class ScoredRows:
    """Scored photos, batch by batch; one table of them all costs less than one of each batch."""

    def __init__(self) -> None:
        self.batches = 0
        self._photos: list[PhotoRecord] = []
        self._scores: list[np.ndarray] = []
        self._read_at: list[datetime] = []

    def __len__(self) -> int:
        """How many photos there are."""
        return len(self._photos)

    def add(self, photos: Sequence[PhotoRecord], scores: np.ndarray, read_at: datetime) -> None:
        """Takes a batch: records, float32 [photos, labels], and a moment before it was read."""
        self.batches += 1
        self._photos += photos
        self._scores.append(scores)
        self._read_at += [read_at] * len(photos)

    def table(self, run: RunInfo) -> pa.Table:
        """All of them, see `rows`."""
        return rows(self._photos, np.concatenate(self._scores), run, self._read_at)
