"""Rows that stay and rows that were made -> the rows of the new tags file, in listing order."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag.base.errors import FftagError
from fftag.photos.listing import Listing
from fftag.tagging.parts import PartStore
from fftag.tagging.plan import NONE, Plan
from fftag.tagging.previous import KnownRows, plain
from fftag.tagging.tags_file import RunInfo, is_apparel_of, tags_of, tags_schema

ROWS_PER_GROUP = 122_880  # DuckDB scans row groups in parallel, and its own are this large
OF_THE_FILE = ("image", "file_size", "modified_at", "tagged_at")  # not of its content


def merged(
    listing: Listing, plan: Plan, known: KnownRows, store: PartStore, run: RunInfo
) -> Iterator[pa.Table]:
    """The whole result, up to `ROWS_PER_GROUP` rows at a time.

    Raises:
        FftagError: a row is missing, or is not that of its file.
    """
    alike = plan.alike.copy()  # the known row that has the scores of each position
    alike[plan.pending] = _alike(plan, store)
    numbers = np.unique(alike[alike != NONE])
    moved = _decided(known.again().take(numbers), run) if len(numbers) else None
    made = _Queue(store, run)
    for start in range(0, len(listing), ROWS_PER_GROUP):
        block = slice(start, min(start + ROWS_PER_GROUP, len(listing)))
        kept = plan.kept[block]
        stays, fresh = np.flatnonzero(kept != NONE), np.flatnonzero(kept == NONE)
        tables = [made.take(len(fresh))]
        if len(stays):
            tables.append(_decided(known.take(kept[stays]), run))
        rows = _in_place(tables, np.concatenate([fresh, stays]))
        others = np.flatnonzero(alike[block] != NONE)
        if moved is not None and len(others):
            place = pa.array(np.searchsorted(numbers, alike[block][others]))
            recognised = _with_facts(moved.take(place), rows.take(pa.array(others)))
            rest = np.delete(np.arange(len(rows)), others)
            tables = [rows.take(pa.array(rest)), recognised]
            rows = _in_place(tables, np.concatenate([rest, others]))
        images = listing.files["image"].slice(start, len(rows))
        whole = pc.equal(pc.equal(rows["status"], "ok"), pc.is_valid(rows["scores"]))
        if not pc.all(pc.and_(whole, pc.equal(rows["image"], images))).as_py():
            raise FftagError(
                f"rows {start:,} to {block.stop:,} are not those of the files listed: nothing was "
                "published; add --restart to do the run anew"
            )
        yield _with_dictionary(rows, run)


def _alike(plan: Plan, store: PartStore) -> np.ndarray:
    """int64 [pending files]: of photos that were recognised, the known row with their scores."""
    found: list[np.ndarray] = []
    for part in sorted(store.finished):
        rows = store.read(part)
        known = pc.and_(pc.equal(rows["status"].cast(pa.string()), "ok"), rows["width"].is_null())
        like = np.full(len(rows), NONE, np.int64)
        for place in np.flatnonzero(known.to_numpy()):
            size, digest = (rows[name][place].as_py() for name in ("file_size", "content_sha256"))
            like[place] = plan.contents.row(size, digest)
        found.append(like)
    alike = np.concatenate([np.empty(0, np.int64), *found])
    if len(alike) != len(plan.pending):
        raise FftagError(
            f"{len(alike):,} rows for {len(plan.pending):,} files: nothing was published"
        )
    return alike


def _in_place(tables: list[pa.Table], positions: np.ndarray) -> pa.Table:
    """Rows of several tables, each at its position."""
    order = np.empty(len(positions), np.int64)
    order[positions] = np.arange(len(positions))
    return pa.concat_tables(tables).take(pa.array(order))


class _Queue:
    """The rows of all parts of this run, in order, taken some at a time."""

    def __init__(self, store: PartStore, run: RunInfo) -> None:
        self._store = store
        self._parts = iter(sorted(store.finished))
        self._rest = plain(tags_schema(run).empty_table())

    def take(self, count: int) -> pa.Table:
        tables = [self._rest]
        while sum(table.num_rows for table in tables) < count:
            tables.append(plain(self._store.read(next(self._parts))))
        whole = pa.concat_tables(tables)
        self._rest = whole.slice(count)
        return whole.slice(0, count)


def _with_facts(rows: pa.Table, of: pa.Table) -> pa.Table:
    """Rows of photos as those of other files that have the same content."""
    for name in OF_THE_FILE:
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), of[name])
    return rows


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
    return _with_dictionary(_decided(plain(rows), run), run)


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
