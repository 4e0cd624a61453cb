"""Rows that are there -> the new tags file: one sequential pass, in which tags are decided."""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.base.atomic import replacing
from fftag.base.errors import FftagError
from fftag.tagging.known import Reader, TagsRows, bytes_per_row, header_of, plain
from fftag.tagging.parts import beside
from fftag.tagging.scored_rows import part_schema
from fftag.tagging.tags_file import TAGS, WRITTEN, RunInfo, is_apparel_of, tags_of, tags_schema

ROWS_PER_GROUP = 122_880  # DuckDB scans row groups in parallel, and its own are this large
BYTES_PER_GROUP = 32 * 2**20  # in memory
GROUPS_OF_MOVED = 4  # so many row groups' worth of rows that have their scores elsewhere are held
OF_THE_FILE = ("image", "file_size", "modified_at", "tagged_at")  # not of its content
NONE = -1


def decided_rows(
    files: Sequence[TagsRows],
    numbers: np.ndarray,
    run: RunInfo,
    images: pa.ChunkedArray | None = None,
    scored: np.ndarray | None = None,
) -> Iterator[pa.Table]:
    """The rows of a tags file in the order asked for, as many at a time as make a row group.

    Args:
        files: that have them, numbered through.
        numbers: int64: of each row. Those of a file have to rise.
        run: decides their tags and verdicts.
        images: the path that each row has to have; None asks for none.
        scored: int64, of each row: the number of the one that has its scores, where it is of a
            photo that was recognised by its content; else -1.

    Raises:
        FftagError: a row cannot be read, or is not that of its file.
    """
    row_bytes = bytes_per_row(len(run.labels))
    step = max(1, min(ROWS_PER_GROUP, BYTES_PER_GROUP // row_bytes))
    columns = part_schema(run).names
    moved = _Moved(files, scored, columns, row_bytes, step * GROUPS_OF_MOVED)
    with closing(Reader(files, columns, row_bytes)) as reader:
        for start in range(0, len(numbers), step):
            rows = reader.take(numbers[start : start + step])
            if scored is not None:
                rows = moved.with_scores(rows, start)
            _check(rows, images.slice(start, len(rows)) if images is not None else rows["image"])
            yield decided(rows, run)


def _check(rows: pa.Table, images: pa.ChunkedArray) -> None:
    whole = pc.equal(pc.equal(rows["status"], "ok"), pc.is_valid(rows["scores"]))
    if not pc.all(pc.and_(whole, pc.equal(rows["image"], images))).as_py():
        raise FftagError(
            f"rows from {images[0]} on are not those of the files listed: nothing was published; "
            "add --restart to do the run anew"
        )


class _Moved:
    """Scores of photos that were recognised by their content, from wherever they are.

    They are asked for in no order of theirs: those for some row groups are fetched in one pass.
    """

    def __init__(
        self,
        files: Sequence[TagsRows],
        scored: np.ndarray | None,
        columns: Sequence[str],
        row_bytes: int,
        most: int,
    ) -> None:
        self._files, self._columns, self._row_bytes, self._most = files, columns, row_bytes, most
        self._places = np.flatnonzero(scored != NONE) if scored is not None else np.empty(0, int)
        self._numbers = scored[self._places] if scored is not None else self._places
        self._stop = 0  # of the places that are fetched
        self._held, self._fetched = np.empty(0, np.int64), pa.table({})

    def with_scores(self, rows: pa.Table, start: int) -> pa.Table:
        """Rows, those that were recognised with what is known of their content.

        Args:
            rows: that come next.
            start: the place of the first.
        """
        first, stop = np.searchsorted(self._places, [start, start + len(rows)])
        if first == stop:
            return rows
        others = self._places[first:stop] - start
        tables = []
        while first < stop:
            if first >= self._stop:
                self._fetch(int(first))
            until = min(int(stop), self._stop)
            place = np.searchsorted(self._held, self._numbers[first:until])
            tables.append(self._fetched.take(pa.array(place)))
            first = until
        contents = pa.concat_tables(tables)
        own = rows.take(pa.array(others))
        for name in OF_THE_FILE:
            at = contents.schema.get_field_index(name)
            contents = contents.set_column(at, contents.schema.field(at), own[name])
        order = np.arange(len(rows))
        order[others] = len(rows) + np.arange(len(others))
        return pa.concat_tables([rows, contents]).take(pa.array(order))

    def _fetch(self, first: int) -> None:
        self._stop = min(first + self._most, len(self._numbers))
        self._held = np.unique(self._numbers[first : self._stop])
        with closing(Reader(self._files, self._columns, self._row_bytes)) as reader:
            self._fetched = reader.take(self._held)


def decided(rows: pa.Table, run: RunInfo) -> pa.Table:
    """Rows with the tags and verdicts that the model of `run` gives their scores.

    Args:
        rows: columns of `fftag.tagging.scored_rows.part_schema`, and any others.
        run: gives labels, thresholds and screen.
    """
    schema = tags_schema(run)
    scores = _one(rows["scores"])
    failed = np.asarray(scores.is_null().to_numpy(zero_copy_only=False))
    matrix = np.zeros((len(scores), len(run.labels)), np.float32)
    given = scores.filter(pc.is_valid(scores)).flatten().to_numpy()
    matrix[~failed] = given.reshape(-1, len(run.labels))
    apparel = _one(rows["apparel_score"])
    if run.screen is None:
        apparel = pa.nulls(len(apparel), pa.float32())
    status = _one(plain(rows.select(["status"]))["status"])
    columns = {
        "status": status.dictionary_encode().cast(schema.field("status").type),
        "tags": tags_of(matrix, run, failed),
        "apparel_score": apparel,
        "is_apparel": is_apparel_of(apparel, run),
        "model_id": pa.repeat(run.model_id, len(rows)),
    }
    arrays = [columns[name] if name in columns else rows[name] for name in schema.names]
    return pa.Table.from_arrays(arrays, schema.names).cast(schema)


def _one(values: pa.ChunkedArray) -> pa.Array:
    combined = values.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)


@contextmanager
def publishing(
    out: Path,
    tables: Iterable[pa.Table],
    run: RunInfo,
    before: TagsRows | None,
    keep_previous: bool,
) -> Iterator[Path]:
    """Writes a tags file beside another; on leaving without an error it takes its place.

    Args:
        out: the tags file, which is locked.
        tables: its rows.
        run: what it says of itself.
        before: what stood there when the run began.
        keep_previous: that stays beside it, as `<out>.previous`.

    Yields:
        The file as it is written, for a last look before it is published.

    Raises:
        FftagError: it cannot be written, or something else stands at `out` by now.
    """
    with replacing(out, TAGS) as temporary:
        write_rows(temporary, tables, run)
        yield temporary
        if _header(out) != (before.header if before is not None else None):
            raise FftagError(
                f"{out} was written by another process meanwhile: nothing was published; run the "
                "same command again"
            )
        if keep_previous and before is not None:
            _keep(out)


def write_rows(path: Path, tables: Iterable[pa.Table], run: RunInfo) -> None:
    """Writes a tags file; a row group is bounded by its rows and by its bytes."""
    with pq.ParquetWriter(path, tags_schema(run), **WRITTEN) as writer:
        for table in tables:
            fitting = len(table) * BYTES_PER_GROUP // max(1, table.nbytes)
            rows = max(1, min(ROWS_PER_GROUP, fitting))
            writer.write_table(table, row_group_size=rows)


def _header(path: Path) -> bytes | None:
    """What the tags file at a path says of its run; None where there is none."""
    return header_of(pq.read_schema(path)) if path.exists() else None


def _keep(out: Path) -> None:
    """Gives what stands at a path a second name, beside it; where links are not to be had, copies
    it."""
    name = beside(out, "previous")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.previous.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(out, temporary)
    except OSError:
        shutil.copy2(out, temporary)
    temporary.replace(name)
    temporary.unlink(missing_ok=True)  # where both were links to one file, that does nothing
