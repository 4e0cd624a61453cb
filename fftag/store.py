"""tags.parquet: the Arrow schema of the one table that tagging writes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

FORMAT_VERSION = 1
METADATA_KEY = b"fftag"

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
        fftag_version: version of the writer.
        source: the folder that was tagged, as given.
        labels: label names in the order of `scores`.
        groups: their groups.
        thresholds: a label becomes a tag at or above this score.
        validation: per label, counts on the validation split at that threshold:
            `{"tp": int, "fp": int, "fn": int, "tn": int}`; None where the model has none.
        settings: what else changes results (precision, input size, ...).
        format_version: of the tags format.
    """

    run_id: str
    model_id: str
    fftag_version: str
    source: str
    labels: Sequence[str]
    groups: Sequence[str | None]
    thresholds: Sequence[float]
    validation: Sequence[dict[str, int]] | None
    settings: dict[str, Any]
    format_version: int = FORMAT_VERSION


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
            pa.field("content_sha256", pa.string()),
            pa.field("model_id", pa.string(), nullable=False),
            pa.field("tagged_at", pa.timestamp("us", tz="UTC"), nullable=False),
        ],
        metadata={METADATA_KEY: json.dumps(asdict(run), ensure_ascii=False).encode()},
    )
