"""Rows that are there before a run: those published, and those in parts of an interrupted run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.base.errors import TOO_MANY_FAILED, FftagError
from fftag.photos.listing import SHARD_SETTING, Listing
from fftag.tagging.tags_file import (
    ROWS_AT_ONCE,
    UNREADABLE,
    RunInfo,
    format_beside_ours,
    group_batches,
    open_tags_file,
    read_run,
    run_of,
    where_of,
)

SAME_SETTINGS = ("precision", "limits", "decoder")


@dataclass(frozen=True)
class TagsRows:
    """A tags file or a part, and which of its rows can be read.

    Attributes:
        path: of the file.
        run: its metadata; None where it is of another format.
        rows: how many it has.
        damaged: row groups in which something cannot be read: their numbers, and where and why.
    """

    path: Path
    run: RunInfo | None
    rows: int
    damaged: Mapping[int, str] = field(default_factory=dict)

    def read(self, *columns: str) -> pa.Table:
        """Some columns, whole; of damaged row groups only the paths, null where they are lost."""
        with open_tags_file(self.path) as file:
            schema = pa.schema([file.schema_arrow.field(name) for name in columns])
            tables = [schema.empty_table()]
            for group in range(file.num_row_groups):
                if group in self.damaged:
                    tables.append(_paths_alone(file, group, schema))
                else:
                    batches = group_batches(file, group, columns)
                    tables.append(pa.Table.from_batches(batches, schema))
        return pa.concat_tables([plain(table) for table in tables])

    def images(self) -> pa.ChunkedArray:
        """The paths; null where they are lost, or where a newer format has no such column."""
        with open_tags_file(self.path) as file:
            if "image" not in file.schema_arrow.names:
                return pa.chunked_array([pa.nulls(self.rows, pa.string())])
        return self.read("image")["image"]

    def blocks(self, rows: int = ROWS_AT_ONCE) -> Iterator[tuple[int, pa.Table]]:
        """All columns but of damaged row groups, so many rows at a time, each after the number of
        its first row."""
        stop = 0
        with open_tags_file(self.path) as file:
            for group in range(file.num_row_groups):
                start, stop = stop, stop + file.metadata.row_group(group).num_rows
                if group not in self.damaged:
                    for batch in group_batches(file, group, rows=rows):
                        yield start, pa.Table.from_batches([batch])
                        start += batch.num_rows


def _paths_alone(file: pq.ParquetFile, group: int, schema: pa.Schema) -> pa.Table:
    count = file.metadata.row_group(group).num_rows
    columns = {field.name: pa.nulls(count, field.type) for field in schema}
    if "image" in columns:
        try:
            images = [batch["image"] for batch in group_batches(file, group, ["image"])]
            columns["image"] = pa.chunked_array(images)
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


def differences(there: RunInfo | None, run: RunInfo) -> list[str]:
    """Why rows cannot stand beside those of another run; nothing where they can.

    Args:
        there: the run of the rows; None where they are of another format.
        run: the other one.
    """
    if there is None:
        return ["format version"]
    found = []
    if there.scores_id != run.scores_id:
        found.append("model")
    # Embeddings are not stored: what another screen says, only a second pass can tell.
    if run.screen and (there.screen or {}).get("id") != run.screen["id"]:
        found.append("apparel screen")
    found += [name for name in SAME_SETTINGS if there.settings.get(name) != run.settings.get(name)]
    if share_of(there) != share_of(run):
        found.append("share of the source")
    return found


def share_of(run: RunInfo) -> str:
    """Of how much of the source a run is, in words."""
    shard = run.settings.get(SHARD_SETTING)
    return f"shard {shard}" if shard else "the whole source"


def open_published(path: Path, force: bool = False) -> TagsRows | None:
    """The tags file at a path, every row group looked at, or None where there is nothing.

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
            damaged = dict(_damaged(file))
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
    return TagsRows(path, run, rows, damaged)


def _damaged(file: pq.ParquetFile) -> Iterator[tuple[int, str]]:
    """The row groups that cannot be read whole: their numbers, and where and why."""
    for group in range(file.num_row_groups):
        try:
            for _ in group_batches(file, group):
                pass
        except UNREADABLE as error:
            yield group, where_of(file, group, error)


def with_unseen(listing: Listing, published: TagsRows) -> Listing:
    """Lists also what was published before of folders and archives that cannot be listed now.

    Its rows stay, or say that it cannot be read; they do not go as those of deleted files do.
    """
    if not listing.unread:
        return listing
    return listing.with_unseen(published.read("image", "file_size", "modified_at"))


def check_removals(
    images: pa.ChunkedArray, given: str, out: Path, there: Sequence[TagsRows], allowed: float
) -> None:
    """Sees that no more than a share of the files that have rows are gone.

    Args:
        images: the files that will have rows, each once.
        given: where these are from, in words.
        out: where the rows go.
        there: what is published, and parts.
        allowed: the largest share that may be gone.

    Raises:
        FftagError: more are gone.
    """
    if not there:
        return
    before = pa.concat_tables([pa.table({"image": one.images()}) for one in there])["image"]
    known = pc.unique(before.drop_null())
    listed = pc.sum(pc.is_in(known, value_set=images)).as_py() or 0
    # Of rows whose path is lost only so much is known: files without any other row may have them.
    lost = max(0, before.null_count - (len(images) - listed))
    gone, total = len(known) - listed + lost, len(known) + before.null_count
    if gone > allowed * total:
        raise FftagError(
            f"{gone:,} of the {total:,} files in {out} are gone from {given}, more than "
            f"the {allowed:.0%} that --max-removal-rate allows: is all of it there? "
            "Accept it with --max-removal-rate 1",
            TOO_MANY_FAILED,
        )


class KnownRows:
    """The rows of several files, numbered through: those published first, then those of parts.

    Attributes:
        published: how many rows are published.
        rows: how many there are.
    """

    def __init__(self, published: TagsRows | None, parts: Sequence[TagsRows] = ()) -> None:
        """Opens nothing yet.

        Args:
            published: whose scores can stay; in listing order.
            parts: likewise, in any order.
        """
        self._published = published
        self._parts = parts
        self._starts = np.cumsum([published.rows if published else 0, *(p.rows for p in parts)])
        self.published = int(self._starts[0])
        self.rows = int(self._starts[-1])
        self._blocks = published.blocks() if published else iter(())
        self._first, self._held = 0, pa.table({})

    def read(self, *columns: str) -> pa.Table:
        """Some columns of all rows; see `TagsRows.read`."""
        files = [self._published] if self._published else []
        return pa.concat_tables([file.read(*columns) for file in [*files, *self._parts]])

    def again(self) -> KnownRows:
        """The same rows, from the first one on."""
        return KnownRows(self._published, self._parts)

    def take(self, numbers: np.ndarray) -> pa.Table:
        """Rows by number, in the order asked for.

        Args:
            numbers: int64, at least one. Those published have to rise from call to call: some
                thousand rows of them are held at a time, as is one part.
        """
        order = np.argsort(numbers, kind="stable")
        rising = numbers[order]
        own = int(np.searchsorted(rising, self.published))
        tables = list(self._take_published(rising[:own]))
        part = np.searchsorted(self._starts, rising[own:], side="right") - 1
        for number in np.unique(part):
            chosen = rising[own:][part == number] - self._starts[number]
            tables.append(_whole(self._parts[number]).take(pa.array(chosen)))
        place = np.empty(len(numbers), np.int64)
        place[order] = np.arange(len(numbers))
        return pa.concat_tables([plain(table) for table in tables]).take(pa.array(place))

    def _take_published(self, rows: np.ndarray) -> Iterator[pa.Table]:
        position = 0
        while position < len(rows):
            if rows[position] >= self._first + self._held.num_rows:
                self._first, self._held = next(self._blocks)
                continue
            stop = int(np.searchsorted(rows, self._first + self._held.num_rows))
            yield self._held.take(pa.array(rows[position:stop] - self._first))
            position = stop


def _whole(part: TagsRows) -> pa.Table:
    return pa.concat_tables([table for _, table in part.blocks()])
