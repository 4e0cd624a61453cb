"""What is known before a run: the rows that are published, and those in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.errors import FftagError
from fftag.base.progress import say
from fftag.photos.listing import Listing
from fftag.tagging.agreement import Agreement
from fftag.tagging.tags_file import (
    METADATA_KEY,
    UNREADABLE,
    RunInfo,
    format_beside_ours,
    group_batches,
    open_tags_file,
    read_run,
    run_of,
    where_of,
)

BYTES_HELD = 4 * 2**20  # of the rows of one file that are held while they are asked for
BYTES_PER_ROW = 400  # without its scores, about
MOST_OPEN = 64  # files that are read side by side


@dataclass(frozen=True)
class TagsRows:
    """A tags file or a part.

    Attributes:
        path: of the file.
        run: what it says of itself; None where it is of another format, or that does not matter.
        rows: how many it has.
        header: its metadata as they stand, by which it is told from one that takes its place.
    """

    path: Path
    run: RunInfo | None
    rows: int
    header: bytes = b""

    def columns(self, *names: str, look_at_all: bool = False) -> Iterator[pa.Table]:
        """Some columns, a row group at a time.

        Of row groups in which something cannot be read there are the paths alone, null where they
        are lost.

        Args:
            names: of the columns.
            look_at_all: all others are read, too, and what is damaged is said.
        """
        with open_tags_file(self.path) as file:
            schema = pa.schema([file.schema_arrow.field(name) for name in names])
            for group in range(file.num_row_groups):
                try:
                    batches = group_batches(file, group, None if look_at_all else names)
                    table = pa.Table.from_batches([one.select(names) for one in batches], schema)
                except UNREADABLE as error:
                    if look_at_all:
                        where = where_of(file, group, error)
                        say(f"{self.path} is damaged in {where}: its photos are read again")
                    table = _paths_alone(file, group, schema)
                yield plain(table)

    def images(self) -> Iterator[pa.Table]:
        """The column `image`; null where it is lost, or where a newer format has none."""
        with open_tags_file(self.path) as file:
            schema = pa.schema([("image", pa.string())])
            there = "image" in file.schema_arrow.names
            for group in range(file.num_row_groups):
                if there:
                    yield plain(_paths_alone(file, group, schema))
                else:
                    count = file.metadata.row_group(group).num_rows
                    yield pa.table([pa.nulls(count, pa.string())], schema)


def _paths_alone(file: pq.ParquetFile, group: int, schema: pa.Schema) -> pa.Table:
    count = file.metadata.row_group(group).num_rows
    columns = {field.name: pa.nulls(count, field.type) for field in schema}
    if "image" not in columns:
        return pa.table(columns)
    try:
        images = [batch["image"] for batch in group_batches(file, group, ["image"])]
        columns["image"] = pa.chunked_array(images, pa.string())
    except UNREADABLE:
        columns["image"] = pa.nulls(count, pa.string())
    return pa.table(columns)


def plain(rows: pa.Table) -> pa.Table:
    """Rows with strings for a dictionary and without metadata, so that tables of several files
    can be joined."""
    fields = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema([field.with_nullable(True) for field in fields]))


def open_published(path: Path, force: bool = False) -> TagsRows | None:
    """The tags file at a path, or None where there is nothing.

    Args:
        path: where it is.
        force: none of its scores will be used, so that it may be of a newer format or have
            metadata that are damaged. What is no tags file is refused all the same.

    Raises:
        FftagError: what is there is no tags file, is of a newer format, or cannot be told from
            one.
    """
    if not path.exists():
        return None
    try:
        with open_tags_file(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            beside = format_beside_ours(path, schema)
    except FftagError as error:
        raise FftagError(
            f"{path} is no tags file that can be read, and is not written over: move it away, or "
            "choose another --out"
        ) from error
    if beside > 0 and not force:
        raise FftagError(
            f"{path} was written by a newer fftag: upgrade fftag, choose another --out, or write "
            "it anew with `fftag tag --force`"
        )
    if force:
        run = run_of(schema)[0] if beside == 0 else None
    else:
        run = read_run(path, schema) if beside == 0 else None
    return TagsRows(path, run, rows, header_of(schema))


def header_of(schema: pa.Schema) -> bytes:
    """What a tags file says of its run, as it stands."""
    return bytes((schema.metadata or {}).get(METADATA_KEY, b""))


def with_unseen(listing: Listing, published: TagsRows) -> Listing:
    """Lists also what was published before of folders and archives that cannot be listed now.

    Its rows stay, or say that it cannot be read; they do not go as those of deleted files do.
    """
    if not listing.unread:
        return listing
    columns = published.columns("image", "file_size", "modified_at")
    return listing.with_unseen(pa.concat_tables(columns))


@dataclass(frozen=True)
class KnownRows:
    """The rows of several files, numbered through: those published first, then those of parts.

    Attributes:
        published: what stands at the output; None where nothing does.
        parts: of this run's agreement, in the order of their names.
        agreeing: whether the scores that are published may stand beside those of the run.
        discarded: parts that the run throws away.
    """

    published: TagsRows | None
    parts: Sequence[TagsRows] = ()
    agreeing: bool = True
    discarded: Sequence[TagsRows] = ()

    @property
    def files(self) -> list[TagsRows]:
        """In the order of their numbers."""
        return [*filter(None, [self.published]), *self.parts]

    def with_parts(self, parts: Sequence[TagsRows]) -> KnownRows:
        """The same, and parts that were written since; numbers stay."""
        return replace(self, parts=[*self.parts, *parts])


class Reader:
    """Rows of several files by their numbers; of each file some are held at a time."""

    def __init__(self, files: Sequence[TagsRows], columns: Sequence[str], row_bytes: int) -> None:
        """Opens nothing yet.

        Args:
            files: as they are numbered through.
            columns: of the rows.
            row_bytes: of a row, about.
        """
        self._files, self._columns = files, list(columns)
        self._starts = np.cumsum([0, *(file.rows for file in files)])
        self._held = max(64, BYTES_HELD // row_bytes)
        self._open: dict[int, _Stream] = {}

    def take(self, numbers: np.ndarray) -> pa.Table:
        """Rows by number, in the order asked for.

        Args:
            numbers: int64, at least one. Those of each file have to rise, from call to call too.

        Raises:
            FftagError: they do not rise, or a row cannot be read.
        """
        owner = np.searchsorted(self._starts, numbers, side="right") - 1
        place = np.empty(len(numbers), np.int64)
        place[np.argsort(owner, kind="stable")] = np.arange(len(numbers))
        tables: list[pa.Table] = []
        for number in np.unique(owner).tolist():
            stream = self._open.pop(number, None)
            if stream is None:
                if len(self._open) == MOST_OPEN:
                    self._open.pop(next(iter(self._open))).close()  # the one used least recently
                stream = _Stream(self._files[number], self._columns, self._held)
            self._open[number] = stream
            asked = numbers[owner == number] - self._starts[number]
            if asked[0] < stream.next or (np.diff(asked) < 1).any():
                raise FftagError(
                    f"the rows of {self._files[number].path} are not those of the files listed, in "
                    "their order: nothing was published; add --restart, or --force where that is "
                    "the output, to do the run anew"
                )
            tables += stream.take(asked)
            if stream.done:
                self._open.pop(number).close()
        return pa.concat_tables(tables).take(pa.array(place))

    def close(self) -> None:
        """Closes the files."""
        for stream in self._open.values():
            stream.close()


class _Stream:
    """The rows of one file from its first to its last."""

    def __init__(self, rows: TagsRows, columns: list[str], held: int) -> None:
        self._path, self._columns, self._rows_held = rows.path, columns, held
        self._file = open_tags_file(rows.path)
        about = self._file.metadata
        counts = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
        self._stops = np.cumsum(counts)
        self._group = -1
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._first, self._held = 0, pa.table({})
        self.next = 0  # the least row that can be asked for
        self.done = False

    def take(self, rows: np.ndarray) -> Iterator[pa.Table]:
        """Rows by their place in the file, int64, rising, and above those asked for before."""
        position = 0
        while position < len(rows):
            stop = int(np.searchsorted(rows, self._first + len(self._held)))
            if stop > position:
                yield self._held.take(pa.array(rows[position:stop] - self._first))
                position = stop
            else:
                self._read_on(int(rows[position]))
        self.next = int(rows[-1]) + 1
        self.done = self.next == self._stops[-1]

    def _read_on(self, row: int) -> None:
        """Holds the rows that come next; passes over row groups before the one asked for."""
        group = int(np.searchsorted(self._stops, row, side="right"))
        self._first += len(self._held)
        try:
            if group != self._group:
                self._group = group
                self._first = int(self._stops[group - 1]) if group else 0
                self._batches = group_batches(self._file, group, self._columns, self._rows_held)
            self._held = plain(pa.Table.from_batches([next(self._batches)]))
        except UNREADABLE as error:
            raise FftagError(
                f"{self._path} is damaged in {where_of(self._file, group, error)}: copy it again, "
                "or let `fftag tag` read the photos of these rows again"
            ) from error

    def close(self) -> None:
        self._file.close()


def bytes_per_row(labels: int) -> int:
    """Of a row in memory, about."""
    return BYTES_PER_ROW + 4 * labels


def usable(there: TagsRows | None, out: Path, agreement: Agreement, force: bool) -> bool:
    """Whether the scores that are published may stand beside those of a run; says why not.

    Raises:
        FftagError: they are of another share of the source, which is not to be written over.
    """
    if there is None:
        return True
    if there.run is None:
        differing = ["format version"]
    else:
        found = Agreement.of(there.run)
        if found.shard != agreement.shard and not force:
            raise FftagError(
                f"{out} has the rows of {found.share}, not of {agreement.share}: give each shard "
                "an --out of its own, or write this one anew with --force"
            )
        differing = agreement.differences(found)
    if differing and not force:
        say(f"{out} is of another {' and '.join(differing)}: every file is tagged anew")
    return not differing and not force
