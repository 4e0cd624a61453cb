"""Rows of several tags files, each in listing order -> all of them in listing order."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.errors import FftagError
from fftag.listing import keys_of
from fftag.merge import ROWS_PER_GROUP
from fftag.store import RunInfo, open_tags_file, read_batches, tags_schema

ROWS_HELD = 131_072  # of all files together
FEWEST_HELD = 512  # of one file
KEY = "key"  # the path's bytes, by which rows are sorted


class _Ahead:
    """The rows of one file that come next."""

    def __init__(self, path: Path, file: pq.ParquetFile, schema: pa.Schema, rows_held: int) -> None:
        self._blocks = read_batches(path, file, rows=rows_held)
        self._schema = schema
        self.rows = schema.append(pa.field(KEY, pa.binary())).empty_table()
        self._refill()

    def _refill(self) -> None:
        """Holds the next rows, where there are any."""
        while not len(self.rows) and (block := next(self._blocks, None)) is not None:
            rows = pa.Table.from_batches([block]).cast(self._schema)
            self.rows = rows.append_column(KEY, keys_of(block.column("image")))

    @property
    def last(self) -> bytes:
        """The key of the last row held."""
        key: bytes = self.rows[KEY][-1].as_py()
        return key

    def take(self, limit: bytes) -> pa.Table:
        """The rows held that are not after a key."""
        count = pc.sum(pc.less_equal(self.rows[KEY], limit)).as_py()
        taken, self.rows = self.rows.slice(0, count), self.rows.slice(count)
        self._refill()
        return taken


def in_order(paths: Sequence[Path], run: RunInfo) -> Iterator[pa.Table]:
    """All rows, sorted by the bytes of the path, some at a time.

    Args:
        paths: valid tags files.
        run: gives the schema; its metadata take the place of theirs.

    Raises:
        FftagError: a path stands in two files.
    """
    schema = tags_schema(run)
    status = schema.get_field_index("status")
    # Files have dictionaries of their own: their rows are joined as strings.
    plain = schema.set(status, pa.field("status", pa.string(), nullable=False))
    rows_held = max(FEWEST_HELD, ROWS_HELD // max(1, len(paths)))
    with ExitStack() as stack:
        files = [stack.enter_context(open_tags_file(path)) for path in paths]
        ahead = [
            _Ahead(path, file, plain, rows_held) for path, file in zip(paths, files, strict=True)
        ]
        while ahead := [one for one in ahead if len(one.rows)]:
            limit = min(one.last for one in ahead)  # all rows up to it are held
            rows = pa.concat_tables([one.take(limit) for one in ahead]).sort_by(KEY)
            _check_once(rows, paths)
            yield rows.drop_columns([KEY]).cast(schema)


def in_row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, `ROWS_PER_GROUP` at a time."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(map(len, held)) >= ROWS_PER_GROUP:
            whole = pa.concat_tables(held)
            yield whole.slice(0, ROWS_PER_GROUP)
            held = [whole.slice(ROWS_PER_GROUP)]
    if sum(map(len, held)):
        yield pa.concat_tables(held)


def _check_once(rows: pa.Table, paths: Sequence[Path]) -> None:
    keys = rows[KEY]
    same = pc.equal(keys.slice(0, len(keys) - 1), keys.slice(1))
    if not pc.any(same).as_py():
        return
    image = rows["image"][pc.index(same, True).as_py()].as_py()
    holders = [str(path) for path in paths if _holds(path, image)]
    raise FftagError(
        f"{image!r} has a row in {' and in '.join(holders)}: files that overlap are not merged; "
        "leave one out, or tag shards with --shard"
    )


def _holds(path: Path, image: str) -> bool:
    with open_tags_file(path) as file:
        batches = read_batches(path, file, ["image"])
        return any(pc.any(pc.equal(batch["image"], image)).as_py() for batch in batches)
