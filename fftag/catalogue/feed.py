"""The product feed: a table of products, its known columns typed, the others kept as they are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fftag.base.errors import FftagError
from fftag.base.tables import FIRST_ROW, examples, read_table

TEXT = ("sku", "brand", "category", "currency")
SKU_PATTERN = r"([^/]+?)(?:_[0-9]{1,2})?(?:\.[^./]*)?$"
"""The file's name, without its ending and a view number of one or two digits."""
NO_PHOTOS = pa.table({"image": pa.array([], pa.string()), "sku": pa.array([], pa.string())})


@dataclass(frozen=True)
class Feed:
    """A feed, and how photos find their product in it.

    Attributes:
        products: one row per product.
        photos: `image` and `sku`, by the feed's own column `image`; else empty.
        pattern: how a sku is taken from an image's path; None where it is not.
        path: of the feed.
    """

    products: pa.Table
    photos: pa.Table
    pattern: str | None
    path: Path


def open_feed(path: Path, pattern: str | None, columns: Mapping[str, str] | None = None) -> Feed:
    """A feed, checked.

    Args:
        path: the feed.
        pattern: for the sku in a path; beats the feed's column `image`.
        columns: what the feed calls its columns: our name -> theirs.

    Raises:
        FftagError: the pattern or the feed is not what it should be.
    """
    if pattern is not None:
        check_pattern(pattern, "--sku-pattern", "sku", "'(FF-[0-9]+)'")
    table = read_feed(path, columns or {})
    if "image" in table.column_names and pattern is None:
        photos = photos_of(table, path)
        return Feed(products_of(table.drop_columns(["image"]), path), photos, None, path)
    return Feed(products_of(table, path), NO_PHOTOS, pattern or SKU_PATTERN, path)


def by_pattern(feed: Feed, pattern: str) -> Feed:
    """The feed, with photos that find their product by a sku in their path.

    Raises:
        FftagError: the pattern is none.
    """
    check_pattern(pattern, "--sku-pattern", "sku", "'(FF-[0-9]+)'")
    return replace(feed, photos=NO_PHOTOS, pattern=pattern)


def read_feed(path: Path, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Reads a feed from CSV, Excel, JSON (a list of objects, or one per line) or Parquet.

    Columns that are mapped take our name; names are matched without regard to case. `sku` (or
    `image`) is needed; `price` becomes
    float64, `listed_at` a date (of a moment with a zone: the date in UTC), all else text.

    Raises:
        FftagError: the file is missing or unreadable, has neither `sku` nor `image`, a column
            without a name, or rows with too many cells, without a sku, or with a price or date
            that is none; names rows.
    """
    frame, _ = read_table(path)
    if frame.empty:
        raise FftagError(f"{path} has no rows: give a feed with products, or none")
    frame = _renamed(frame, columns or {}, path)
    names = [str(name).strip() for name in frame.columns]
    if "" in names:
        raise FftagError(f"{path} has a column without a name: name it")
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
            f"{int(unnamed.sum())} rows of {path} have no sku, the first in row "
            f"{_line(unnamed)}: give each product its sku"
        )
    schema = pa.schema([(str(column), _type(str(column))) for column in frame.columns])
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)


def photos_of(feed: pa.Table, path: Path) -> pa.Table:
    """Which product each photo belongs to, by the feed's column `image`: `image`, `sku`.

    Raises:
        FftagError: an image stands in several rows; counts and names some.
    """
    photos = feed.select(["image", "sku"]).drop_null()
    _refuse_twice(photos["image"], path, "images", "give each photo to one product")
    return photos


def products_of(feed: pa.Table, path: Path) -> pa.Table:
    """The products, one row each.

    Raises:
        FftagError: a sku stands in several rows that differ; counts and names some.
    """
    # Several photos of one product are several rows of a feed that are otherwise the same.
    products = feed.group_by(feed.column_names).aggregate([])
    _refuse_twice(products["sku"], path, "skus", "keep one row per product")
    return products


def _refuse_twice(values: pa.ChunkedArray, path: Path, what: str, fix: str) -> None:
    series = values.to_pandas()
    twice = series[series.duplicated()].unique().tolist()
    if twice:
        raise FftagError(
            f"{len(twice)} {what} stand in several rows of {path}, such as {examples(twice)}: {fix}"
        )


def check_pattern(pattern: str, flag: str, what: str, example: str) -> None:
    """Makes sure that a pattern is a regular expression with one group.

    Raises:
        FftagError: it is not.
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise FftagError(f"{flag} {pattern!r} is no regular expression: {error}") from error
    if groups != 1:
        raise FftagError(
            f"{flag} {pattern!r} has {groups} groups: put brackets round the {what}, "
            f"and round nothing else, such as {example}"
        )


def _renamed(frame: pd.DataFrame, columns: Mapping[str, str], path: Path) -> pd.DataFrame:
    """Gives mapped columns our names; a column that had such a name before makes way."""
    known = (*TEXT, "price", "listed_at", "image")
    there = {str(name).strip(): name for name in frame.columns}
    for ours, theirs in columns.items():
        if ours not in known:
            raise FftagError(f"--column {ours}={theirs}: name one of {', '.join(known)} first")
        if theirs not in there:
            raise FftagError(
                f"{path} has no column {theirs!r} (it has {examples(list(there), 8)}), which "
                f"--column {ours}={theirs} asks for, now or in an earlier load: say what it is "
                "called now, or leave all of that load's rules out with `fftag load --fresh`"
            )
    way = {
        name: f"{name} (feed)"
        for text, name in there.items()
        if text.casefold() in columns and text not in columns.values()
    }
    return frame.rename(columns=way | {there[theirs]: ours for ours, theirs in columns.items()})


def _known_name(name: str) -> str:
    known = (*TEXT, "price", "listed_at", "image")
    return name.casefold() if name.casefold() in known else name


def _type(column: str) -> pa.DataType:
    return {"price": pa.float64(), "listed_at": pa.date32()}.get(column, pa.string())


def _texts(values: pd.Series) -> pd.Series:
    return values.map(
        lambda value: None if pd.api.types.is_scalar(value) and pd.isna(value) else str(value),
        na_action=None,
    )


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
            f"{int(wrong.sum())} rows of {path} have a {what}, the first in row {_line(wrong)}: "
            f"{str(first)!r}"
        )


def _line(mask: pd.Series) -> int:
    return int(mask.to_numpy().argmax()) + FIRST_ROW
