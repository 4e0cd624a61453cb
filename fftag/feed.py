"""The product feed: a table of products, its known columns typed, the others kept as they are."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fftag.datasets.tables import FIRST_ROW, examples, read_table
from fftag.errors import FftagError

TEXT = ("sku", "brand", "category", "currency")


def read_feed(path: Path) -> pa.Table:
    """Reads a feed from CSV, Excel or Parquet.

    Column names are matched without regard to case. `sku` (or `image`) is needed; `price` becomes
    float64, `listed_at` a date, all else text.

    Raises:
        FftagError: the file is missing or unreadable, has neither `sku` nor `image`, or has rows
            without a sku, or with a price or date that is none; names rows.
    """
    frame, _ = read_table(path)
    names = [str(name).strip() for name in frame.columns]
    frame.columns = pd.Index([_known_name(name) for name in names])
    folded = [name.casefold() for name in frame.columns]
    twice = sorted({name for name in folded if folded.count(name) > 1})
    if twice:
        raise FftagError(f"{path} has several columns called {twice[0]!r}: rename all but one")
    if "sku" not in frame.columns and "image" not in frame.columns:
        raise FftagError(
            f"{path} has neither a column sku nor image (it has {examples(names, 8)}): "
            "name the product's key sku"
        )
    if "sku" not in frame.columns:
        frame["sku"] = frame["image"]
    for column in frame.columns:
        if column == "price":
            frame[column] = _numbers(frame[column], path)
        elif column == "listed_at":
            frame[column] = _dates(frame[column], path)
        else:
            frame[column] = _texts(frame[column])
    unnamed = frame["sku"].isna()
    if unnamed.any():
        raise FftagError(
            f"{int(unnamed.sum())} rows of {path} have no sku, the first in line "
            f"{_line(unnamed)}: give each product its sku"
        )
    schema = pa.schema([(str(column), _type(str(column))) for column in frame.columns])
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)


def check_skus(products: pa.Table, path: Path) -> None:
    """Makes sure that each product stands once.

    Raises:
        FftagError: a sku stands in several rows; counts and names some.
    """
    skus = products["sku"].to_pandas()
    twice = skus[skus.duplicated()].unique().tolist()
    if twice:
        raise FftagError(
            f"{len(twice)} skus stand in several rows of {path}, such as {examples(twice)}: "
            "keep one row per product"
        )


def check_pattern(pattern: str) -> None:
    """Makes sure that a sku pattern is a regular expression with one group.

    Raises:
        FftagError: it is not.
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise FftagError(f"--sku-pattern {pattern!r} is no regular expression: {error}") from error
    if groups != 1:
        raise FftagError(
            f"--sku-pattern {pattern!r} has {groups} groups: put brackets round the sku, "
            "and round nothing else, such as '(FF-[0-9]+)'"
        )


def _known_name(name: str) -> str:
    known = (*TEXT, "price", "listed_at", "image")
    return name.casefold() if name.casefold() in known else name


def _type(column: str) -> pa.DataType:
    return {"price": pa.float64(), "listed_at": pa.date32()}.get(column, pa.string())


def _texts(values: pd.Series) -> pd.Series:
    return values.map(lambda value: None if pd.isna(value) else str(value), na_action=None)


def _numbers(values: pd.Series, path: Path) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    _refuse(values, values.notna() & ~np.isfinite(numbers), path, "price that is no number")
    return numbers


def _dates(values: pd.Series, path: Path) -> pd.Series:
    dates = pd.to_datetime(values, errors="coerce", format="ISO8601", utc=True)
    _refuse(values, values.notna() & dates.isna(), path, "listed_at that is no date (YYYY-MM-DD)")
    return dates.dt.date


def _refuse(values: pd.Series, wrong: pd.Series, path: Path, what: str) -> None:
    if wrong.any():
        first = values[wrong].iloc[0]
        raise FftagError(
            f"{int(wrong.sum())} rows of {path} have a {what}, the first in line {_line(wrong)}: "
            f"{str(first)!r}"
        )


def _line(mask: pd.Series) -> int:
    return int(mask.to_numpy().argmax()) + FIRST_ROW
