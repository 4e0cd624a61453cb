"""Does a tags file keep to its format? Every rule, over every row; see docs/tags-format.md."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.base.errors import FftagError, first_line
from fftag.base.progress import progress
from fftag.photos.listing import SHARD_SETTING, Selection, Shard, keys_of
from fftag.photos.sources.base import Source
from fftag.photos.sources.choose import list_source
from fftag.tagging.known import TagsRows, with_unseen
from fftag.tagging.parts import own_files
from fftag.tagging.publish import ROWS_PER_GROUP
from fftag.tagging.tags_file import (
    ROWS_AT_ONCE,
    UNREADABLE,
    RunInfo,
    check_format,
    documented_columns,
    group_batches,
    open_tags_file,
    run_of,
    wrong_columns,
)
from fftag.tagging.tags_findings import EXAMPLES, RULES, Findings, Problem
from fftag.tagging.tags_rules import ROW_RULES, Rows, is_true

MEMORY = "2GB"  # what looking up paths may take before it goes on in a temporary file

SOURCE_RULES = {"source_missing", "source_extra", "source_size"}
IN_SOURCE = ("image", "status", "file_size")


@dataclass
class Validation:
    """What is wrong with a tags file.

    Attributes:
        tags: the file.
        rows: how many it has.
        source: the folder it was compared with; None if with none.
        problems: the broken rules, in the order of `RULES`; none where the file is valid.
        unchecked: rules that could not be checked, or not wholly, because of those problems.
        seconds: how long it took.
    """

    tags: str
    rows: int
    source: str | None
    problems: list[Problem]
    unchecked: list[str]
    seconds: float

    @property
    def valid(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return {"valid": self.valid, **asdict(self), "seconds": round(self.seconds, 3)}

    def lines(self) -> list[str]:
        """For a person: the verdict, then each broken rule with its examples."""
        took = f"{self.rows:,} rows in {self.seconds:,.1f} s"
        if self.valid:
            beside = f", and is what {self.source} holds" if self.source else ""
            return [f"{self.tags} is valid{beside} ({took})"]
        lines = [f"{self.tags} is not valid: {self.broken()} ({took})"]
        for problem in self.problems:
            lines.append(f"  {problem.rule}: {problem.count:,} break the rule: {problem.meaning}")
            lines += [f"    {example}" for example in problem.examples]
        if self.unchecked:
            lines.append(f"  not checked for that: {', '.join(self.unchecked)}")
        return lines

    def broken(self) -> str:
        """The broken rules by name."""
        return ", ".join(problem.rule for problem in self.problems)


def validate(
    tags: Path,
    source: Source | None = None,
    include: tuple[str, ...] = (),
    ignore: tuple[Path, ...] = (),
) -> Validation:
    """Checks a tags file against the format, and on request against the folder it tells of.

    It reads a few rows at a time. What grows with the file is the listing of the source, and, up to
    `MEMORY`, what is looked up in tables: duplicates in a file out of order, and the source.

    Args:
        tags: the file.
        source: a source whose files must be its images; not looked at where rows cannot be read.
        include: as it was for the run: glob patterns on file names.
        ignore: files to pass over, should they lie inside the source.

    Raises:
        FftagError: it cannot be opened, is Parquet of something else or of another format, or the
            source cannot be listed.
    """
    started = time.monotonic()
    findings = Findings()
    with open_tags_file(tags) as file:
        check_format(tags, file.schema_arrow)
        header = _check_header(file.schema_arrow, findings)
        _check_rows(file, header, findings)
        if "order" in findings.problems:
            _look_for_duplicates(file, findings)
        if source is not None and "readable" not in findings.problems:
            own = (*own_files(tags), *ignore)
            listed = list_source(source, Selection(include, own, _shard_of(header)))
            listed = with_unseen(listed, TagsRows(tags, header.run, file.metadata.num_rows))
            _compare_with(listed.files, file, header, findings)
        total = file.metadata.num_rows
    if "readable" in findings.problems:
        findings.unchecked |= {rule.name for rule in ROW_RULES} | {"order", "duplicate_image"}
        findings.unchecked |= SOURCE_RULES if source is not None else set()
    return Validation(
        str(tags),
        total,
        source.name if source is not None else None,
        [findings.problems[rule] for rule in RULES if rule in findings.problems],
        [rule for rule in RULES if rule in findings.unchecked],
        time.monotonic() - started,
    )


@dataclass(frozen=True)
class Header:
    """What the head of a tags file allows to be checked further on.

    Attributes:
        run: what the metadata says; None where they break a rule.
        sound: the columns whose type is the documented one.
    """

    run: RunInfo | None
    sound: frozenset[str]


def _check_header(schema: pa.Schema, findings: Findings) -> Header:
    """Checks columns and metadata."""
    run, metadata = run_of(schema)
    documented = documented_columns(schema, run)
    columns = list(wrong_columns(schema, documented))
    findings.add("columns", len(columns), columns)
    findings.add("metadata", len(metadata), metadata)
    sound = (
        field.name
        for field in documented
        if schema.names.count(field.name) == 1 and schema.field(field.name).type == field.type
    )
    return Header(run, frozenset(sound))


def _shard_of(header: Header) -> Shard | None:
    given = header.run.settings.get(SHARD_SETTING) if header.run is not None else None
    return Shard.parse(given) if given is not None else None


def _batches(
    file: pq.ParquetFile, columns: Sequence[str], findings: Findings | None = None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Number of the first row, and rows; what cannot be read is left out, and told to findings."""
    start = 0
    for group in range(file.num_row_groups):
        rows, read = file.metadata.row_group(group).num_rows, 0
        try:
            for batch in group_batches(file, group, columns, ROWS_AT_ONCE):
                yield start + read, batch
                read += batch.num_rows
        except UNREADABLE as error:
            if findings is not None:
                reason = first_line(error)[:200]
                where = f"rows {start + read} to {start + rows - 1}"
                findings.add("readable", rows - read, [f"{where}: {reason}"])
        start += rows


def _check_rows(file: pq.ParquetFile, header: Header, findings: Findings) -> None:
    rules = [
        rule
        for rule in ROW_RULES
        if header.sound.issuperset(rule.columns) and (header.run or not rule.needs_run)
    ]
    findings.unchecked |= {rule.name for rule in ROW_RULES if rule not in rules}
    ordered = "image" in header.sound
    if not ordered:
        findings.unchecked |= {"order", "duplicate_image"}
    columns = [name for name in file.schema_arrow.names if name in header.sound]
    before: bytes | None = None
    total = file.metadata.num_rows
    with progress(total, "validating", "row", show=total > ROWS_PER_GROUP) as bar:
        for start, batch in _batches(file, columns, findings):
            rows = Rows(batch, header.run)
            for rule in rules:
                for broken, says in rule.check(rows):
                    findings.add_rows(rule.name, broken, start, rows, says)
            if ordered:
                before = _check_order(before, start, rows, findings)
            bar.update(batch.num_rows)


def _check_order(before: bytes | None, start: int, rows: Rows, findings: Findings) -> bytes | None:
    """Compares each path with the one before it, over the edges of batches too.

    While the order is kept, an image with two rows has them side by side.
    """
    paths = keys_of(rows["image"])
    left = pa.concat_arrays([pa.array([before], pa.binary()), paths.slice(0, len(paths) - 1)])
    findings.add_rows(
        "order",
        is_true(pc.greater(left, paths)),
        start,
        rows,
        lambda row: f"comes after {left[row].as_py().decode('utf-8', 'backslashreplace')!r}",
    )
    same = is_true(pc.equal(left, paths))
    findings.add_rows("duplicate_image", same, start, rows, lambda row: "has a row before it")
    last: bytes | None = paths[-1].as_py()
    return last


def _look_for_duplicates(file: pq.ParquetFile, findings: Findings) -> None:
    """Counts images with two rows wherever they stand."""
    findings.problems.pop("duplicate_image", None)
    with _database() as connection:
        connection.register("incoming", _reader(file, ("image",)))
        connection.execute(
            """
            create table twice as
            select image, count(*) as n
            from incoming
            where image is not null
            group by image
            having n > 1
            """
        )
        (count,) = connection.execute("select sum(n - 1)::bigint from twice").fetchall()[0]
        query = "select image, n from twice order by image limit ?"
        found = connection.execute(query, [EXAMPLES]).fetchall()
    findings.add("duplicate_image", count or 0, [f"{image!r} has {n} rows" for image, n in found])


def _compare_with(
    listed: pa.Table, file: pq.ParquetFile, header: Header, findings: Findings
) -> None:
    """Compares the rows with the files of the source.

    Args:
        listed: columns `image` and `size`.
        file: the tags file.
        header: which of its columns are sound.
        findings: takes the differences.
    """
    if not header.sound.issuperset(IN_SOURCE):
        findings.unchecked |= SOURCE_RULES
        return
    with _database() as connection:
        connection.register("incoming", _reader(file, IN_SOURCE))
        connection.register("listed", listed)
        connection.execute(
            """
            create table differing as
            select
                coalesce(incoming.image, listed.image) as image,
                case
                    when listed.image is null then 'source_missing'
                    when incoming.image is null then 'source_extra'
                    else 'source_size'
                end as rule,
                case rule
                    when 'source_missing' then 'is not in the source'
                    when 'source_extra' then 'has no row'
                    else format('has {} bytes, its row says {}', size, file_size)
                end as says
            from incoming
            full join listed on incoming.image = listed.image
            where listed.image is null and incoming.status <> 'vanished'
                or incoming.image is null
                or size <> file_size and incoming.status <> 'vanished'
            """
        )
        counts = "select rule, count(*) from differing group by rule"
        for rule, count in connection.execute(counts).fetchall():
            some = "select image, says from differing where rule = ? order by image limit ?"
            found = connection.execute(some, [rule, EXAMPLES]).fetchall()
            findings.add(rule, count, [f"{image!r} {says}" for image, says in found])


@contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    """In memory, and in a temporary folder what does not fit."""
    with tempfile.TemporaryDirectory() as folder:
        config: dict[str, Any] = {"memory_limit": MEMORY, "temp_directory": folder}
        try:
            with duckdb.connect(config=config) as connection:
                yield connection
        except duckdb.Error as error:
            reason = first_line(error)
            raise FftagError(
                f"cannot look up paths ({reason}): give TMPDIR a folder with more room"
            ) from error


def _reader(file: pq.ParquetFile, columns: Sequence[str]) -> pa.RecordBatchReader:
    """Some columns as strings and numbers, a few rows at a time."""
    types = {"image": pa.string(), "status": pa.string(), "file_size": pa.int64()}
    schema = pa.schema([(column, types[column]) for column in columns])
    batches = (batch.select(columns).cast(schema) for _, batch in _batches(file, columns))
    return pa.RecordBatchReader.from_batches(schema, batches)
