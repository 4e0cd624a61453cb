"""tags.parquet: the Arrow schema of the one table that tagging writes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.atomic import PARQUET, Kind

FORMAT_VERSION = 2
METADATA_KEY = b"fftag"
SAME_AS = "same_as"  # a column of part files only: the row before of a photo that was recognised

STATUSES = (
    "ok",
    "unreadable",
    "truncated",
    "too_large",
    "unsupported",
    "vanished",
    "crashed",
    "timeout",
)

TAG = pa.struct([pa.field("label", pa.string()), pa.field("score", pa.float32())])


@dataclass(frozen=True)
class RunInfo:
    """What a tags file says of the run that made it, as JSON in the Parquet metadata.

    Attributes:
        run_id: unique to the run that published the file.
        model_id: SHA-256 of the model folder's weights and config.
        scores_id: SHA-256 of what the scores depend on: weights, network and input, without the
            thresholds.
        fftag_version: version of the writer.
        source: the folder that was tagged, as given.
        labels: label names in the order of `scores`.
        groups: their groups.
        thresholds: a label becomes a tag at or above this score.
        validation: per label, counts on the validation split at that threshold:
            `{"tp": int, "fp": int, "fn": int, "tn": int}`; None where the model has none.
        settings: what else changes results (precision, input size, ...).
        screen: of the apparel screen: `id` (SHA-256 of what its scores depend on), `method`, and
            the scores `reject` and `review`, below which a photo is turned down and to be looked
            at; None where the model has none.
        format_version: of the tags format.
    """

    run_id: str
    model_id: str
    scores_id: str
    fftag_version: str
    source: str
    labels: Sequence[str]
    groups: Sequence[str | None]
    thresholds: Sequence[float]
    validation: Sequence[dict[str, int]] | None
    settings: dict[str, Any]
    screen: dict[str, Any] | None = None
    format_version: int = FORMAT_VERSION

    @cached_property
    def header(self) -> bytes:
        """All of it as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()


def tags_schema(run: RunInfo) -> pa.Schema:
    """The schema of `tags.parquet`; see docs/tags-format.md for the meaning of each column."""
    return pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            pa.field("status", pa.dictionary(pa.int8(), pa.string()), nullable=False),
            pa.field("error", pa.string()),
            pa.field("tags", pa.list_(TAG)),
            pa.field("scores", pa.list_(pa.float32(), len(run.labels))),
            pa.field("is_apparel", pa.bool_()),
            pa.field("apparel_score", pa.float32()),
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            pa.field("format", pa.string()),
            pa.field("file_size", pa.int64()),
            pa.field("modified_at", pa.timestamp("us", tz="UTC")),
            pa.field("taken_at", pa.timestamp("us")),
            pa.field("content_sha256", pa.string()),
            pa.field("model_id", pa.string(), nullable=False),
            pa.field("tagged_at", pa.timestamp("us", tz="UTC"), nullable=False),
        ],
        metadata={METADATA_KEY: run.header},
    )


def part_schema(run: RunInfo) -> pa.Schema:
    """The schema of a part file: that of the tags file, and which row before a photo is like."""
    return tags_schema(run).append(pa.field(SAME_AS, pa.int64()))


def rows(
    photos: Sequence[dict[str, Any]],
    scores: np.ndarray,
    run: RunInfo,
    tagged_at: Sequence[datetime],
) -> pa.Table:
    """Photos as a table of `part_schema(run)`.

    Args:
        photos: per photo the columns `image`, `status`, `error`, `width`, `height`, `format`,
            `file_size`, `modified_at`, `taken_at`, `content_sha256` and `same_as`; and, of a
            model with a screen, `apparel_score`.
        scores: float32 [photos, labels]; ignored where the status is not `ok`, and where
            `same_as` is there.
        run: what made them.
        tagged_at: when, of each.
    """
    schema = part_schema(run)
    failed = np.array(
        [photo["status"] != "ok" or photo.get(SAME_AS) is not None for photo in photos]
    )
    columns: dict[str, Any] = {
        name: [photo[name] for photo in photos]
        for name in schema.names
        if photos and name in photos[0]
    }
    columns["tags"] = tags_of(scores, run, failed)
    columns["scores"] = pa.FixedSizeListArray.from_arrays(
        pa.array(scores.ravel(), pa.float32()), len(run.labels), mask=pa.array(failed)
    )
    if run.screen is not None:
        given = [photo.get("apparel_score") for photo in photos]
        columns["is_apparel"] = is_apparel_of(pa.array(given, pa.float32()), run)
    columns["model_id"] = [run.model_id] * len(photos)
    columns["tagged_at"] = tagged_at
    arrays = [
        _as_array(columns.get(field.name, [None] * len(photos)), field.type) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _as_array(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


def is_apparel_of(scores: pa.Array, run: RunInfo) -> pa.Array:
    """The screen's verdict of each photo: bool, null where the float32 score is null."""
    if run.screen is None:
        return pa.nulls(len(scores), pa.bool_())
    return pc.greater_equal(scores, pa.scalar(run.screen["reject"], pa.float32()))


def tags_of(scores: np.ndarray, run: RunInfo, failed: np.ndarray) -> pa.ListArray:
    """The tags of each photo, best first: labels whose score is at or above their threshold.

    Args:
        scores: float32 [photos, labels].
        run: gives labels and thresholds.
        failed: bool [photos]; their tags are null, which is not the same as no tags.
    """
    chosen = scores >= np.asarray(run.thresholds, dtype=np.float32)
    chosen[failed] = False
    photo, label = np.nonzero(chosen)
    score = scores[photo, label]
    order = np.lexsort((label, -score, photo))
    tags = pa.StructArray.from_arrays(
        [
            pa.array(np.asarray(run.labels, dtype=object)[label[order]], pa.string()),
            pa.array(score[order], pa.float32()),
        ],
        fields=list(TAG),
    )
    offsets = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), tags, mask=pa.array(failed))


def _is_tags(path: Path) -> bool:
    """Whether it is a tags file, or was one that is damaged by now: all else is told by its end."""
    if not PARQUET.knows(path):
        return False
    try:
        metadata = pq.read_schema(path).metadata or {}
        return "run_id" in json.loads(metadata.get(METADATA_KEY, b"{}"))
    except (pa.ArrowException, OSError, ValueError, TypeError):
        return True


TAGS = Kind("a tags file", _is_tags)
