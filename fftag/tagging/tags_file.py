"""tags.parquet: the Arrow schema of the one table that tagging writes; how it is read, written."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from fftag.base.atomic import PARQUET, Kind
from fftag.base.errors import FftagError, first_line
from fftag.models.labels import Group, LabelSet, wrong_labels

MAGIC = b"PAR1"
UNREADABLE = (OSError, ValueError, pa.ArrowException)  # what damage makes pyarrow raise
BYTES_BUFFERED = 2**16  # of one column of one file
ROWS_AT_ONCE = 16_384
WRITTEN = {"compression": "zstd", "write_page_checksum": True}  # how tags files and parts are

FORMAT_VERSION = 3
METADATA_KEY = b"fftag"
DIGEST_KEY = b"fftag_sha256"  # of what stands there: Parquet has checksums for pages alone
TELLING = {"image", "status", "tags", "scores"}  # a file with these is, or was, a tags file

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

TAG = pa.struct(
    [
        pa.field("group", pa.string()),
        pa.field("label", pa.string()),
        pa.field("score", pa.float32()),
    ]
)

NOTHING_ELSE = ConfigDict(extra="forbid")
Text = Annotated[str, Field(pattern=r"\S")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Counts(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    tp: NonNegativeInt
    fp: NonNegativeInt
    fn: NonNegativeInt
    tn: NonNegativeInt


class _Screen(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    id: Text
    method: Text
    reject: float = Field(ge=0, le=1)
    review: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> "_Screen":
        if self.reject > self.review:
            raise ValueError("reject is above review")
        return self


class _Settings(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    shard: Annotated[str, Field(pattern=r"^[1-9]\d*/[1-9]\d*$")] | None = None


def _fits(model: type[BaseModel]) -> AfterValidator:
    """A dictionary that stays one, and is what a model asks for."""

    def check(value: dict[str, Any]) -> dict[str, Any]:
        model.model_validate(value)
        return value

    return AfterValidator(check)


@dataclass(frozen=True)
class RunGroup(Group):
    """A group of labels, as a run decided them.

    Attributes:
        threshold: of a group of kind `one`: its best label becomes its tag at or above it; None for
            one of kind `many`, where each label has its own.
    """

    threshold: FiniteFloat | None = None
    __pydantic_config__ = NOTHING_ELSE


@dataclass(frozen=True)
class RunLabel:
    """A label, as a run decided it.

    Attributes:
        group: of it.
        name: of it; no other label of the group has it.
        parent: what stands above it in the group; None where nothing does.
        threshold: it becomes a tag at or above this score; None in a group of kind `one`.
        validation: counts on the validation split at that threshold:
            `{"tp": int, "fp": int, "fn": int, "tn": int}`; None where the model has none.
    """

    group: Text
    name: Text
    parent: Text | None
    threshold: FiniteFloat | None
    validation: Annotated[dict[str, int], _fits(_Counts)] | None
    __pydantic_config__ = NOTHING_ELSE


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
        groups: of the labels, each once.
        labels: in the order of `scores`.
        settings: what else changes results (precision, input size, ...).
        screen: of the apparel screen: `id` (SHA-256 of what its scores depend on), `method`, and
            the scores `reject` and `review`, below which a photo is turned down and to be looked
            at; None where the model has none.
        format_version: of the tags format.
    """

    run_id: Text
    model_id: Digest
    scores_id: Text
    fftag_version: Text
    source: Text
    groups: Sequence[RunGroup]
    labels: Annotated[Sequence[RunLabel], Field(min_length=1)]
    settings: Annotated[dict[str, Any], _fits(_Settings)]
    screen: Annotated[dict[str, Any], _fits(_Screen)] | None = None
    format_version: Annotated[int, Field(ge=1, le=FORMAT_VERSION)] = FORMAT_VERSION

    @cached_property
    def header(self) -> bytes:
        """All of it as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """Group and name of each label."""
        return [(label.group, label.name) for label in self.labels]

    @cached_property
    def thresholds(self) -> np.ndarray:
        """float32 [labels]; infinite where a label has none, in groups of kind `one`."""
        given = [np.inf if label.threshold is None else label.threshold for label in self.labels]
        return np.array(given, np.float32)


def described(
    labels: LabelSet,
    thresholds: Sequence[float],
    validation: Sequence[dict[str, int]] | None = None,
    of_groups: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Any]:
    """`groups` and `labels` of a `RunInfo`.

    Args:
        labels: the model's.
        thresholds: of each label; those of groups of kind `one` are not used.
        validation: counts of each label.
        of_groups: the threshold of each group of kind `one`.
    """
    groups = [
        RunGroup(one.name, one.kind, dict(one.above), of_groups.get(one.name))
        for one in labels.group_set
    ]
    many = {group.name for group in groups if group.kind == "many"}
    counted: Sequence[dict[str, int] | None] = validation or [None] * len(labels)
    limits = [
        float(threshold) if group in many else None
        for group, threshold in zip(labels.groups, thresholds, strict=True)
    ]
    columns = (labels.groups, labels.names, labels.parents, limits, counted)
    return {"groups": groups, "labels": list(map(RunLabel, *columns))}


_HEADER = TypeAdapter(RunInfo)


def run_of(schema: pa.Schema) -> tuple[RunInfo | None, list[str]]:
    """What a tags file says of its run; None where that is not as documented, and why, a line each.

    Args:
        schema: as the file has it.
    """
    metadata = schema.metadata or {}
    stored = metadata.get(METADATA_KEY)
    if stored is None:
        return None, [f"the key {METADATA_KEY.decode()} is missing"]
    if metadata.get(DIGEST_KEY, digest := sha256(stored).hexdigest().encode()) != digest:
        return None, [f"{DIGEST_KEY.decode()} is not the digest of {METADATA_KEY.decode()}"]
    try:
        run = _HEADER.validate_json(stored, strict=True)
    except ValidationError as error:
        return None, [_says(one["loc"], one["msg"]) for one in error.errors()]
    wrong = list(_contradictions(run))
    if "format_version" not in _content(schema):
        wrong.append("format_version: Field required")
    return (None if wrong else run), wrong


def _contradictions(run: RunInfo) -> Iterator[str]:
    """What cannot be true of groups and labels together."""
    labels = [(label.group, label.name, label.parent) for label in run.labels]
    yield from wrong_labels(run.groups, labels)
    kinds = {group.name: group.kind for group in run.groups}
    for group in run.groups:
        if (group.threshold is None) == (group.kind == "one"):
            yield (
                f"the group {group.name!r} of kind {group.kind} has the threshold {group.threshold}"
            )
    for label in run.labels:
        kind = kinds.get(label.group, "many")
        if (label.threshold is None) == (kind == "many"):
            yield (
                f"the label {label.name!r} in a group of kind {kind} has the threshold "
                f"{label.threshold}"
            )


def _content(schema: pa.Schema) -> dict[str, Any]:
    """The JSON object under the key; an empty one where there is none."""
    try:
        content = json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _says(place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(map(str, place))
    first = message.splitlines()[0]
    return f"{where}: {first}" if where else first


def format_beside_ours(path: Path, schema: pa.Schema) -> int:
    """Sees that a file is a tags file, whatever is wrong inside of it, and of which format.

    Returns:
        1 where a newer fftag wrote it, -1 for an older one, and 0 for this format, or where it does
        not say.

    Raises:
        FftagError: it is Parquet of something else.
    """
    content = _content(schema)
    # A manifest has metadata under the same key, but of no run.
    if not set(schema.names) >= TELLING and "run_id" not in content:
        raise FftagError(f"{path} is Parquet, but no tags file: give one that `fftag tag` wrote")
    version = content.get("format_version")
    if type(version) is not int or version < 1:
        return 0
    return (version > FORMAT_VERSION) - (version < FORMAT_VERSION)


def check_format(path: Path, schema: pa.Schema) -> None:
    """Sees that a file is a tags file of this format, whatever is wrong inside of it.

    Raises:
        FftagError: it is Parquet of something else, or a newer or an older fftag wrote it.
    """
    beside = format_beside_ours(path, schema)
    if beside > 0:
        raise FftagError(f"{path} was written by a newer fftag: upgrade fftag to use it")
    if beside < 0:
        raise FftagError(f"{path} was written by an older fftag: run `fftag tag` once more")


def read_run(path: Path, schema: pa.Schema) -> RunInfo:
    """What a tags file says of its run; its columns are the documented ones, too.

    Raises:
        FftagError: see `check_format`; or metadata or columns are not as documented.
    """
    check_format(path, schema)
    run, wrong = run_of(schema)
    if run is None:
        raise FftagError(
            f"{path} is damaged in its metadata ({wrong[0]}): copy it again, or write it anew with "
            "`fftag tag --force`"
        )
    if first := next(wrong_columns(schema, tags_schema(run)), None):
        raise FftagError(
            f"{path} is damaged in its columns ({first}): copy it again, or write it anew with "
            "`fftag tag --force`"
        )
    return run


def tags_schema(run: RunInfo) -> pa.Schema:
    """The schema of `tags.parquet`; see docs/tags-format.md for the meaning of each column."""
    digest = sha256(run.header).hexdigest()
    return _columns(len(run.labels)).with_metadata({METADATA_KEY: run.header, DIGEST_KEY: digest})


def _columns(labels: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            pa.field("status", pa.dictionary(pa.int8(), pa.string()), nullable=False),
            pa.field("error", pa.string()),
            pa.field("tags", pa.list_(TAG)),
            pa.field("scores", pa.list_(pa.float32(), labels)),
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
        ]
    )


def documented_columns(schema: pa.Schema, run: RunInfo | None) -> pa.Schema:
    """The columns that a file should have.

    Args:
        schema: as the file has it.
        run: its own; where it does not say, it has as many labels as `scores` has room for.
    """
    if run is not None:
        return _columns(len(run.labels))
    size = 0
    if schema.names.count("scores") == 1:
        kind = schema.field("scores").type
        size = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
    return _columns(size)


def wrong_columns(schema: pa.Schema, documented: pa.Schema) -> Iterator[str]:
    """What is wrong with a file's columns, a line each."""
    for name, count in Counter(schema.names).items():
        if count > 1:
            yield f"{name} stands {count} times"
        if name not in documented.names:
            yield f"{name} is not a column of the format"
    for field in documented:
        if field.name not in schema.names:
            yield f"{field.name} is missing"
        if schema.names.count(field.name) != 1:
            continue
        found = schema.field(field.name)
        if found.type != field.type:
            yield f"{field.name} is {found.type}, not {field.type}"
        elif found.nullable and not field.nullable:
            yield f"{field.name} may be null, and should not"
        elif field.nullable and not found.nullable:
            yield f"{field.name} may not be null, and should"
    known = [name for name in schema.names if name in documented.names]
    present = [name for name in documented.names if name in schema.names]
    if known != present and sorted(known) == sorted(present):
        first = next(name for name, other in zip(known, present, strict=True) if name != other)
        yield f"{first} stands out of order: it should go {', '.join(present)}"


def open_tags_file(path: Path) -> pq.ParquetFile:
    """Opens what should be a tags file: little of it is held at a time, and damage is noticed.

    Raises:
        FftagError: there is no file, or it is empty, damaged, or no Parquet.
    """
    try:
        with path.open("rb") as content:
            start = content.read(len(MAGIC))
    except FileNotFoundError as error:
        raise FftagError(f"no tags file {path}: write one with `fftag tag`") from error
    except OSError as error:
        raise FftagError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise FftagError(f"{path} is empty: write it anew with `fftag tag`")
    if start != MAGIC:
        raise FftagError(f"{path} is no Parquet file: give one that `fftag tag` wrote")
    try:
        # By default pyarrow keeps all that it has read until the file is closed.
        file = pq.ParquetFile(
            path,
            buffer_size=BYTES_BUFFERED,
            pre_buffer=False,
            page_checksum_verification=True,
        )
        if _foot_is_sound(file):
            return file
        file.close()
        raise ValueError("its foot contradicts itself")
    except UNREADABLE as error:
        raise FftagError(
            f"{path} is cut off or damaged: copy it again, or write it anew with `fftag tag`"
        ) from error


def _foot_is_sound(file: pq.ParquetFile) -> bool:
    """Whether what Parquet says twice, and without a checksum, is the same both times."""
    about = file.metadata
    rows = sum(about.row_group(group).num_rows for group in range(about.num_row_groups))
    stored, used = about.metadata or {}, file.schema_arrow.metadata or {}
    return rows == about.num_rows and stored.get(METADATA_KEY) == used.get(METADATA_KEY)


def group_batches(
    file: pq.ParquetFile, group: int, columns: Sequence[str] | None = None, rows: int = ROWS_AT_ONCE
) -> Iterator[pa.RecordBatch]:
    """The rows of one row group, some at a time.

    Args:
        file: see `open_tags_file`.
        group: its number.
        columns: which; None means all.
        rows: how many at a time.

    Raises:
        OSError, ValueError, pa.ArrowException: they cannot be read.
    """
    missing = file.metadata.row_group(group).num_rows
    for batch in file.iter_batches(rows, [group], columns):
        batch.validate(full=True)
        missing -= batch.num_rows
        yield batch
    if missing:  # Arrow passes over a page that it takes for one of an unknown kind
        raise ValueError(f"{missing:,} rows are missing")


def read_batches(
    path: Path,
    file: pq.ParquetFile,
    columns: Sequence[str] | None = None,
    rows: int = ROWS_AT_ONCE,
) -> Iterator[pa.RecordBatch]:
    """The rows of a tags file, some at a time.

    Args:
        path: of the file, for messages.
        file, columns, rows: see `group_batches`.

    Raises:
        FftagError: they cannot be read; it names the row group.
    """
    for group in range(file.num_row_groups):
        try:
            yield from group_batches(file, group, columns, rows)
        except UNREADABLE as error:
            raise FftagError(
                f"{path} is damaged in {where_of(file, group, error)}: copy it again, or let "
                "`fftag tag` read the photos of these rows again"
            ) from error


def where_of(file: pq.ParquetFile, group: int, error: Exception) -> str:
    """A row group, its rows, and why they cannot be read, in words."""
    counts = [file.metadata.row_group(number).num_rows for number in range(group + 1)]
    why = first_line(error)[:200]
    return f"row group {group} (rows {sum(counts[:-1]):,} to {sum(counts) - 1:,}: {why})"


def is_apparel_of(scores: pa.Array, run: RunInfo) -> pa.Array:
    """The screen's verdict of each photo: bool, null where the float32 score is null."""
    if run.screen is None:
        return pa.nulls(len(scores), pa.bool_())
    return pc.greater_equal(scores, pa.scalar(run.screen["reject"], pa.float32()))


def tags_of(scores: np.ndarray, run: RunInfo, failed: np.ndarray) -> pa.ListArray:
    """The tags of each photo, best first: labels whose score is at or above their threshold.

    Of groups of kind `one` no label is given yet: no model has any.

    Args:
        scores: float32 [photos, labels].
        run: gives labels and thresholds.
        failed: bool [photos]; their tags are null, which is not the same as no tags.
    """
    chosen = scores >= run.thresholds
    chosen[failed] = False
    photo, label = np.nonzero(chosen)
    score = scores[photo, label]
    order = np.lexsort((label, -score, photo))
    columns = (*np.array(run.keys, dtype=object)[label[order]].T, score[order])
    tags = pa.StructArray.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, TAG, strict=True)],
        fields=list(TAG),
    )
    offsets = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), tags, mask=pa.array(failed))


def _is_tags(path: Path) -> bool:
    """Whether it is a tags file, or was one that is damaged by now: all else is told by its end."""
    if not PARQUET.knows(path):
        return False
    try:
        format_beside_ours(path, pq.read_schema(path))
    except FftagError:
        return False
    except UNREADABLE:
        return True
    return True


TAGS = Kind("a tags file", _is_tags)
