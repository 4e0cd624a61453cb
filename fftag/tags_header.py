"""The head of a tags file: whether it opens, its columns, and what it says of its run."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fftag.errors import FftagError
from fftag.store import FORMAT_VERSION, METADATA_KEY, RunInfo, tags_schema

MAGIC = b"PAR1"
TELLING = {"image", "status", "tags", "scores"}  # a file with these is, or was, a tags file
DIGEST = re.compile(r"[0-9a-f]{64}")
COUNTED = {"tp", "fp", "fn", "tn"}
OF_EACH_LABEL = ("groups", "thresholds", "validation")


@dataclass(frozen=True)
class Header:
    """What the head of a tags file allows to be checked further on.

    Attributes:
        run: what the metadata says; None where they break a rule.
        sound: the columns whose type is the documented one.
        columns: what is wrong with the columns, a line each.
        metadata: what is wrong with the metadata, a line each.
    """

    run: RunInfo | None
    sound: frozenset[str]
    columns: list[str]
    metadata: list[str]


def open_tags(path: Path) -> pq.ParquetFile:
    """Opens what should be a tags file.

    Raises:
        FftagError: there is no file, or it is empty, damaged, or no Parquet.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except FileNotFoundError as error:
        raise FftagError(f"no tags file {path}: write one with `fftag tag`") from error
    except OSError as error:
        raise FftagError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise FftagError(f"{path} is empty: write it anew with `fftag tag`")
    if start != MAGIC:
        raise FftagError(f"{path} is no Parquet file: give one that `fftag tag` wrote")
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FftagError(
            f"{path} is cut off or damaged: copy it again, or write it anew with `fftag tag`"
        ) from error


def read_header(path: Path, schema: pa.Schema) -> Header:
    """Checks columns and metadata.

    Args:
        path: of the file, for messages.
        schema: as the file has it.

    Raises:
        FftagError: it is Parquet of something else, or of a newer format.
    """
    content, wrong = _metadata(schema)
    if not set(schema.names) >= TELLING and "run_id" not in content:
        raise FftagError(f"{path} is Parquet, but no tags file: give one that `fftag tag` wrote")
    version = content.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise FftagError(
            f"{path} has format version {version}, of a newer fftag: upgrade fftag to validate it"
        )
    wrong = wrong or list(_wrong_metadata(content))
    given = {one.name: content[one.name] for one in fields(RunInfo) if one.name in content}
    run = None if wrong else RunInfo(**given)
    documented = tags_schema(run or _like(schema))
    sound = {one.name for one in documented if one.name in schema.names}
    sound = {one for one in sound if schema.names.count(one) == 1}
    sound = {one for one in sound if schema.field(one).type == documented.field(one).type}
    return Header(run, frozenset(sound), list(_wrong_columns(schema, documented)), wrong)


def _metadata(schema: pa.Schema) -> tuple[dict[str, Any], list[str]]:
    """The JSON object under the key `fftag`, or none and why."""
    stored = (schema.metadata or {}).get(METADATA_KEY)
    if stored is None:
        return {}, ["the key fftag is missing from the Parquet metadata"]
    try:
        content = json.loads(stored)
    except ValueError as error:
        return {}, [f"the key fftag holds no JSON ({error})"]
    if not isinstance(content, dict):
        return {}, ["the key fftag holds JSON, but no object"]
    return content, []


def _like(schema: pa.Schema) -> RunInfo:
    """A run with as many labels as the column `scores` has room for."""
    size = 0
    if schema.names.count("scores") == 1:
        kind = schema.field("scores").type
        size = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
    return RunInfo("", "", "", "", "", [""] * size, [], [], None, {})


def _wrong_columns(schema: pa.Schema, documented: pa.Schema) -> Iterator[str]:
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


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _number(value: Any) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and math.isfinite(value)


def _counts(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == COUNTED
        and all(isinstance(one, int) and one >= 0 for one in value.values())
    )


def _screen(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and set(value) == {"id", "method", "reject", "review"}
        and all(_text(value[key]) for key in ("id", "method"))
        and all(_number(value[key]) for key in ("reject", "review"))
        and 0 <= value["reject"] <= value["review"] <= 1
    )


def _list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(check(one) for one in value)


EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "format_version": (
        f"a whole number from 1 to {FORMAT_VERSION}",
        lambda value: type(value) is int and value >= 1,
    ),
    "fftag_version": ("a version", _text),
    "run_id": ("an id", _text),
    "model_id": ("64 hex digits", lambda value: _text(value) and bool(DIGEST.fullmatch(value))),
    "scores_id": ("an id", _text),
    "source": ("a source", _text),
    "labels": ("a list of label names", lambda value: bool(value) and _list_of(_text)(value)),
    "groups": ("a list of names and nulls", _list_of(lambda one: one is None or _text(one))),
    "thresholds": ("a list of finite numbers", _list_of(_number)),
    "validation": (
        "null, or a list of counts tp, fp, fn, tn",
        lambda value: value is None or _list_of(_counts)(value),
    ),
    "settings": ("an object", lambda value: isinstance(value, dict)),
    "screen": ("null, or an object of id, method, reject and review", _screen),
}
LATER = {"screen"}  # keys that the first files of this format version do not have


def _wrong_metadata(content: dict[str, Any]) -> Iterator[str]:
    sound = set()
    for key, (what, holds) in EXPECTED.items():
        if key not in content:
            if key in LATER:
                continue
            yield f"{key} is missing"
        elif not holds(content[key]):
            yield f"{key} is not {what}: {json.dumps(content[key], ensure_ascii=False)[:80]}"
        else:
            sound.add(key)
    if "labels" not in sound:
        return
    labels = content["labels"]
    for name, count in Counter(labels).items():
        if count > 1:
            yield f"the label {name!r} stands {count} times in labels"
    for key in OF_EACH_LABEL:
        if key in sound and content[key] is not None and len(content[key]) != len(labels):
            yield f"{len(content[key])} {key} for {len(labels)} labels"
