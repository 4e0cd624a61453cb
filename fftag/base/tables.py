"""A table file -> a data frame: CSV, Excel, JSON and Parquet, each cell as it was written."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.errors import FftagError, first_line

METADATA_KEY = b"fftag"
FIRST_ROW = 2
"""The line of a sheet's first record: the header is line 1."""


def read_table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Reads `.csv`, `.xlsx`, `.json`, `.jsonl` or `.parquet`.

    Cells of CSV and Excel stay text: a label named `NA`, `None` or `007` is that label. Only an
    empty cell is missing (NaN).

    Returns:
        The rows, and what fftag wrote into a Parquet's metadata (empty where it wrote nothing).

    Raises:
        FftagError: there is no such file, it is not of the kind that its name says, or a CSV has
            rows with more cells than its header.
    """
    suffix = path.suffix.lower()
    as_written: Any = {"dtype": str, "keep_default_na": False, "na_values": [""]}
    try:
        if suffix == ".csv":
            return _read_csv(path, as_written), {}
        if suffix == ".xlsx":
            return _read_excel(path, as_written), {}
        if suffix in (".json", ".jsonl"):
            return _read_json(path, lines=suffix == ".jsonl"), {}
        if suffix != ".parquet":
            raise FftagError(f"{path} is no table fftag reads: use .parquet, .csv, .xlsx or .json")
        table = pq.read_table(path)
        metadata = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    except FileNotFoundError as error:
        raise FftagError(f"there is no file {path}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = first_line(error)
        raise FftagError(f"{path} cannot be read as {suffix[1:]}: {reason}") from error
    return table.to_pandas(), metadata if isinstance(metadata, dict) else {}


def _read_csv(path: Path, as_written: dict[str, Any]) -> pd.DataFrame:
    frame = pd.read_csv(path, **as_written)
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas takes the surplus for row names, and every other cell moves one column to the left.
        raise FftagError(f"{path} has rows with more cells than its header: name every column")
    return frame


def _read_json(path: Path, lines: bool) -> pd.DataFrame:
    text = path.read_text(encoding="utf-8")
    content = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else None
    rows = json.loads(text) if content is None else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FftagError(f"{path} is no table: it needs a list of objects, one per row")
    return pd.DataFrame(rows, dtype=object)


def _read_excel(path: Path, as_written: dict[str, Any]) -> pd.DataFrame:
    try:
        return pd.read_excel(path, engine="openpyxl", **as_written)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged workbook raises nearly anything in openpyxl
        raise ValueError(str(error) or type(error).__name__) from error


def need_columns(frame: pd.DataFrame, columns: list[str], path: Path, fix: str) -> None:
    """Makes sure that the columns are there.

    Raises:
        FftagError: one is not; says which columns there are, and `fix`.
    """
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        there = ", ".join(map(str, frame.columns[:8])) or "none"
        raise FftagError(f"{path} has no column {absent[0]!r} (it has: {there}): {fix}")


def is_file(path: Path) -> bool:
    """Whether there is such a file; a path that no file system takes is none, and no error."""
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises on a name that is too long)


def examples(items: list[str], most: int = 3) -> str:
    """The first few, quoted, for a message."""
    shown = ", ".join(repr(item) for item in items[:most])
    return shown + (", ..." if len(items) > most else "")
