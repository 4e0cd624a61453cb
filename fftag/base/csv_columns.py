"""Some columns of a CSV as text, some rows at a time: what stands in the others does not matter."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

BLOCK_BYTES = 32 * 2**20
"""A block must hold at least one row, and a row may hold a whole mask as run lengths: some MB."""


def csv_header(path: Path) -> list[str]:
    """The names of the columns; none of an empty file.

    Raises:
        OSError, csv.Error: it cannot be read.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        return next(csv.reader(stream), [])


def csv_columns(path: Path, names: Sequence[str]) -> Iterator[list[list[str]]]:
    """The cells of some columns, each name being that of one column; an empty cell is empty text.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read, or a cell of theirs is no UTF-8.
    """
    convert = pacsv.ConvertOptions(
        include_columns=list(names),
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=False,
    )
    with pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=convert,
    ) as reader:
        for batch in reader:
            yield [column.to_pylist() for column in batch.columns]
