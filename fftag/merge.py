"""Rows that stay and rows that were made -> the rows of the new tags file, in listing order."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag.errors import FftagError
from fftag.listing import Listing
from fftag.parts import PartStore
from fftag.plan import NONE, Plan
from fftag.previous import Previous, Rows
from fftag.store import SAME_AS, RunInfo, is_apparel_of, part_schema, tags_of, tags_schema

ROWS_PER_GROUP = 122_880  # DuckDB scans row groups in parallel, and its own are this large


def merged(
    listing: Listing, plan: Plan, previous: Previous | None, store: PartStore, run: RunInfo
) -> Iterator[pa.Table]:
    """The whole result, up to `ROWS_PER_GROUP` rows at a time.

    Raises:
        FftagError: a row is missing, or is not that of its file.
    """
    source = np.where(plan.kept, plan.before, NONE)  # the row before that each position takes
    source[plan.pending] = _same_as(store, len(plan.pending))
    elsewhere = (source != NONE) & (source != plan.before)
    moved = _gather(previous, np.unique(source[elsewhere])) if previous else None
    stays = Rows(previous) if previous else None
    made = _Queue(store, run)
    for start in range(0, len(listing), ROWS_PER_GROUP):
        block = slice(start, min(start + ROWS_PER_GROUP, len(listing)))
        order = [np.flatnonzero(~plan.kept[block])]
        fresh = made.take(len(order[0])).drop_columns([SAME_AS])
        tables = [fresh]
        origin = source[block]
        for chosen, rows in (
            (~elsewhere[block], stays.take if stays else None),
            (elsewhere[block], moved.take if moved else None),
        ):
            positions = np.flatnonzero(chosen & (origin != NONE))
            if len(positions) and rows is not None:
                old = rows(origin[positions])
                assert old is not None
                old = _decided(_undictionary(old), run)
                tables.append(_taken_over(old, positions, fresh, order[0]))
                order.append(positions)
        # Of a photo that was read and recognised, the row before counts, not the one made.
        everything = pa.concat_tables(tables)
        last = np.full(block.stop - block.start, NONE, np.int64)
        last[np.concatenate(order)] = np.arange(everything.num_rows)
        result = everything.take(pa.array(last))
        images = listing.files["image"].slice(start, result.num_rows)
        if not pc.all(pc.equal(result["image"], images)).as_py():
            raise FftagError(
                f"rows {start:,} to {block.stop:,} are not those of the files listed: nothing was "
                "published; add --restart to do the run anew"
            )
        yield _with_dictionary(result, run)


def _same_as(store: PartStore, count: int) -> np.ndarray:
    found = [
        pc.fill_null(store.read(part)[SAME_AS], NONE).to_numpy() for part in sorted(store.finished)
    ]
    rows = np.concatenate([np.empty(0, np.int64), *found])
    if len(rows) != count:
        raise FftagError(f"{len(rows):,} rows for {count:,} files: nothing was published")
    return rows


class _Queue:
    """The rows of all parts, in order, taken some at a time."""

    def __init__(self, store: PartStore, run: RunInfo) -> None:
        self._store = store
        self._none = _undictionary(part_schema(run).empty_table())
        self._parts = iter(sorted(store.finished))
        self._rest: pa.Table | None = None

    def take(self, count: int) -> pa.Table:
        tables = [self._none if self._rest is None else self._rest]
        while sum(table.num_rows for table in tables) < count:
            tables.append(_undictionary(self._store.read(next(self._parts))))
        whole = pa.concat_tables(tables)
        self._rest = whole.slice(count)
        return whole.slice(0, count)


class _Moved:
    """Rows of photos that turned up under another path."""

    def __init__(self, numbers: np.ndarray, rows: pa.Table | None) -> None:
        self._numbers = numbers
        self._rows = rows

    def take(self, rows: np.ndarray) -> pa.Table | None:
        if self._rows is None:
            return None
        return self._rows.take(pa.array(np.searchsorted(self._numbers, rows)))


def _gather(previous: Previous, numbers: np.ndarray) -> _Moved:
    return _Moved(numbers, Rows(previous).take(numbers))


def _taken_over(
    old: pa.Table, positions: np.ndarray, fresh: pa.Table, fresh_at: np.ndarray
) -> pa.Table:
    """Rows before, as they are now: with what was read of the files that were read."""
    read = np.isin(positions, fresh_at)
    rows = pa.array(np.searchsorted(fresh_at, positions[read]))
    mask = pa.array(read)
    for name in ("image", "file_size", "modified_at", "tagged_at"):
        values = fresh[name].take(rows).combine_chunks()
        column = pc.replace_with_mask(_one(old[name]), mask, _one(values))
        old = old.set_column(old.schema.get_field_index(name), old.schema.field(name), column)
    return old


def _decided(rows: pa.Table, run: RunInfo) -> pa.Table:
    """Rows with tags and verdicts decided anew from their scores, as of the model of `run`."""
    scores = _one(rows["scores"])
    failed = np.asarray(scores.is_null().to_numpy(zero_copy_only=False))
    matrix = np.zeros((len(scores), len(run.labels)), np.float32)
    flat = scores.filter(pc.is_valid(scores)).flatten().to_numpy()
    matrix[~failed] = flat.reshape(-1, len(run.labels))
    names = rows.schema.names
    tags = tags_of(matrix, run, failed)
    rows = rows.set_column(names.index("tags"), rows.schema.field("tags"), tags)
    apparel = _one(rows["apparel_score"])
    if run.screen is None:
        apparel = pa.nulls(len(apparel), pa.float32())
    for name, column in (
        ("apparel_score", apparel), ("is_apparel", is_apparel_of(apparel, run))
    ):  # fmt: skip
        rows = rows.set_column(names.index(name), rows.schema.field(name), column)
    model = pa.array([run.model_id] * rows.num_rows, pa.string())
    return rows.set_column(names.index("model_id"), rows.schema.field("model_id"), model)


def retagged(rows: pa.Table, run: RunInfo) -> pa.Table:
    """Rows of a tags file -> the same rows as the model of `run` tags them."""
    return _with_dictionary(_decided(_undictionary(rows), run), run)


def _undictionary(rows: pa.Table) -> pa.Table:
    """Rows with the status as a string, so that tables of several files can be joined."""
    index = rows.schema.get_field_index("status")
    field = pa.field("status", pa.string(), nullable=False)
    rows = rows.set_column(index, field, rows["status"].cast(pa.string()))
    return rows.replace_schema_metadata(None)


def _with_dictionary(rows: pa.Table, run: RunInfo) -> pa.Table:
    index = rows.schema.get_field_index("status")
    schema = tags_schema(run)
    status = _one(rows["status"]).dictionary_encode().cast(schema.field(index).type)
    return rows.set_column(index, schema.field(index), status).cast(schema)


def _one(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    combined = values.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
