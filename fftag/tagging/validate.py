"""Does a tags file keep to its format? Every rule, over every row; see docs/tags-format.md."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.base.progress import progress
from fftag.photos.listing import SHARD_SETTING, Listing, Selection, Shard
from fftag.photos.sources.base import Source
from fftag.photos.sources.choose import list_source
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
    where_of,
    wrong_columns,
)
from fftag.tagging.tags_rules import (
    ABSENT,
    OF_THE_SOURCE,
    RULES,
    UNKNOWN,
    Rows,
    UnsoundError,
    is_true,
)

EXAMPLES = 3
ASKS = {rule.name: rule.asks for rule in RULES}


@dataclass
class Problem:
    """A broken rule.

    Attributes:
        rule: its name.
        meaning: what the rule asks for.
        count: how often it is broken.
        examples: up to three times, in words.
    """

    rule: str
    meaning: str
    count: int = 0
    examples: list[str] = field(default_factory=list)


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

    It reads the file once, a few rows at a time. What grows with the file is a number per row, by
    which two of the same image are told, and the listing of the source.

    Args:
        tags: the file.
        source: a source whose files must be its images.
        include: as it was for the run: glob patterns on file names.
        ignore: files to pass over, should they lie inside the source.

    Raises:
        FftagError: it cannot be opened, is Parquet of something else or of another format, or the
            source cannot be listed.
    """
    started = time.monotonic()
    found = _Findings()
    with open_tags_file(tags) as file:
        check_format(tags, file.schema_arrow)
        run, sound = _check_header(file.schema_arrow, found)
        listed = None
        if source is not None:
            shard = run.settings.get(SHARD_SETTING) if run is not None else None
            own = (*own_files(tags), *ignore)
            selection = Selection(include, own, Shard.parse(shard) if shard else None)
            listed = _Listed(list_source(source, selection))
        _check_rows(file, run, sound, listed, found)
        total = file.metadata.num_rows
    return Validation(
        str(tags),
        total,
        source.name if source is not None else None,
        [found.problems[rule] for rule in ASKS if rule in found.problems],
        [rule for rule in ASKS if rule in found.unchecked],
        time.monotonic() - started,
    )


class _Findings:
    """Broken rules, and those that cannot be checked, or not wholly."""

    def __init__(self) -> None:
        self.problems: dict[str, Problem] = {}
        self.unchecked: set[str] = set()

    def add(self, rule: str, count: int, examples: Sequence[str]) -> None:
        if count:
            problem = self.problems.setdefault(rule, Problem(rule, ASKS[rule]))
            problem.count += count
            problem.examples += list(examples)[: EXAMPLES - len(problem.examples)]

    def add_rows(
        self, rule: str, broken: np.ndarray, start: int, rows: Rows, says: Callable[[int], str]
    ) -> None:
        """Adds rows of a batch that begins at row `start` of the file."""
        examples = []
        for row in map(int, np.flatnonzero(broken)[:EXAMPLES]):
            named = f" {rows['image'][row].as_py()!r}" if "image" in rows.names else ""
            examples.append(f"row {start + row}{named}: {says(row)}")
        self.add(rule, int(broken.sum()), examples)


def _check_header(schema: pa.Schema, found: _Findings) -> tuple[RunInfo | None, list[str]]:
    """Checks metadata and columns; returns what is said of the run, and the sound columns."""
    run, metadata = run_of(schema)
    documented = documented_columns(schema, run)
    columns = list(wrong_columns(schema, documented))
    found.add("columns", len(columns), columns)
    found.add("metadata", len(metadata), metadata)
    sound = [
        column.name
        for column in documented
        if schema.names.count(column.name) == 1 and schema.field(column.name).type == column.type
    ]
    return run, sound


def _check_rows(
    file: pq.ParquetFile,
    run: RunInfo | None,
    sound: list[str],
    listed: "_Listed | None",
    found: _Findings,
) -> None:
    """Reads the file once, past every rule that can be checked.

    Args:
        file: the tags file.
        run: what it says of the run; None where that breaks a rule.
        sound: the columns that are as documented.
        listed: what the source holds; None where it is not asked for.
        found: takes what is wrong.
    """
    schema = pa.schema([file.schema_arrow.field(name) for name in sound])
    none = pa.RecordBatch.from_arrays([pa.array([], one.type) for one in schema], schema=schema)
    named = "image" in sound
    nothing = Rows(none, run, in_source=np.empty(0, np.int64) if named and listed else None)
    checks = []
    for rule in RULES:
        for check in rule.checks:
            try:
                list(check(nothing))
            except UnsoundError:
                found.unchecked.add(rule.name)
            else:
                checks.append((rule.name, check))
    total = file.metadata.num_rows
    hashes = np.zeros(total, np.uint64)  # of the images; 0 where there is none
    before: bytes | None = None
    with progress(total, "validating", "row", show=total > ROWS_PER_GROUP) as bar:
        for start, batch in _batches(file, sound, found):
            sizes = None
            if named:
                own = hashes[start : start + len(batch)] = _hashes(batch["image"])
                sizes = listed.sizes(batch["image"], own) if listed else None
            rows = Rows(batch, run, before, sizes)
            for name, check in checks:
                for broken, says in check(rows):
                    found.add_rows(name, broken, start, rows, says)
            before = rows.paths[-1].as_py() if named else None
            bar.update(len(batch))
    _add_duplicates(hashes, found)
    whole = "readable" not in found.problems
    if not whole:
        found.unchecked |= {rule.name for rule in RULES if rule.checks}
    if not (whole and named):
        found.unchecked |= {"duplicate_image", "source_extra"}
    elif listed:
        missed = listed.missed()
        examples = [f"{image!r} has no row" for image in missed.slice(0, EXAMPLES).to_pylist()]
        found.add("source_extra", len(missed), examples)
    if not listed:
        found.unchecked -= OF_THE_SOURCE


def _batches(
    file: pq.ParquetFile, columns: Sequence[str], found: _Findings
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Number of the first row, and rows; what cannot be read is left out, and told."""
    start = 0
    for group in range(file.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        try:
            for batch in group_batches(file, group, columns, ROWS_AT_ONCE):
                yield start, batch
                start += len(batch)
        except UNREADABLE as error:
            found.add("readable", stop - start, [where_of(file, group, error)])
        start = stop


def _hashes(images: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """uint64 [rows]: the same of the same image, and hardly ever of two; 0 where it is null."""
    hashed = "case when image is null then 0::ubigint else hash(image) end as hash"
    rows = duckdb.from_arrow(pa.table({"image": images})).project(hashed)
    return np.asarray(rows.fetchnumpy()["hash"])


def _add_duplicates(hashes: np.ndarray, found: _Findings) -> None:
    """Adds the rows whose image has a row before them, wherever that stands."""
    order = np.argsort(hashes, kind="stable")
    rising = hashes[order]
    same = (rising[1:] == rising[:-1]) & (rising[1:] != 0)
    later, earlier = order[1:][same], order[:-1][same]
    first = np.argsort(later)[:EXAMPLES]
    examples = [f"row {later[one]} has the image of row {earlier[one]}" for one in first]
    found.add("duplicate_image", len(later), examples)


class _Listed:
    """What a source holds, looked up by the hash of the path."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        hashes = _hashes(listing.files["image"])
        self._order = np.argsort(hashes)
        self._hashes = hashes[self._order]
        self._sizes = pc.fill_null(listing.files["size"], UNKNOWN).to_numpy()
        self._seen = np.zeros(len(listing), dtype=bool)

    def sizes(self, images: pa.Array, hashes: np.ndarray) -> np.ndarray:
        """int64 [rows], see `Rows`; the files of these rows are not missed any more.

        What lies below a folder or an archive that cannot be listed now may still be there.
        """
        sizes = np.full(len(images), ABSENT)
        for folder in self._listing.unread:
            sizes[is_true(pc.starts_with(images, f"{folder}/"))] = UNKNOWN
        if len(self._hashes):
            place = np.searchsorted(self._hashes, hashes).clip(max=len(self._hashes) - 1)
            there = self._hashes[place] == hashes
            files = self._order[place[there]]
            sizes[there] = self._sizes[files]
            self._seen[files] = True
        return sizes

    def missed(self) -> pa.ChunkedArray:
        """The images that no row was seen of."""
        return self._listing.files["image"].filter(pa.array(~self._seen))
