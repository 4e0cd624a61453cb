"""What the filters of a catalogue have to choose from."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from fftag.app.catalogue import dated_by_feed
from fftag.catalogue.database import asking, quoted

MOST_CHOICES = 500


@dataclass(frozen=True)
class Choices:
    """What there is to choose from.

    Attributes:
        labels: label -> its group, in their order.
        thresholds: label -> threshold; None where a model has several for it.
        columns: column of the products -> its values, those of columns that have not too many.
        sources: that are counted, and where their photos were when they were tagged.
        prices: lowest and highest; None without any.
        days: first and last; None without any.
        photos: how many are counted.
    """

    labels: dict[str, str | None]
    thresholds: dict[str, float | None]
    columns: dict[str, list[str]]
    sources: dict[str, str]
    prices: tuple[float, float] | None
    days: tuple[date, date] | None
    photos: int


def choices(db: Path) -> Choices:
    """What there is to choose from.

    Raises:
        FftagError: see `fftag.catalogue.database.asking`.
    """
    with asking(db) as connection:
        labels = connection.execute(
            'select label, "group", threshold from labels order by position'
        ).fetchall()
        sources = connection.execute(
            "select source, location from runs where counted order by source"
        ).fetchall()
        ((photos,),) = connection.execute(
            "select coalesce(sum(files), 0)::bigint from runs where counted"
        ).fetchall()
        ((low, high, first, last),) = connection.execute(
            """
            select min(price), max(price), min(listed_at), max(listed_at) from products
            """
        ).fetchall()
        if not dated_by_feed(connection):
            ((first, last),) = connection.execute(
                "select min(dated), max(dated) from images"
            ).fetchall()
        columns = _columns(connection)
    return Choices(
        labels={label: group for label, group, _ in labels},
        thresholds={label: threshold for label, _, threshold in labels},
        columns=columns,
        sources=dict(sources),
        prices=None if low is None else (low, high),
        days=None if first is None else (first, last),
        photos=int(photos),
    )


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Columns of the products to filter by, and the values they have."""
    described = connection.execute("describe products").fetchall()
    texts = [
        name for name, kind, *_ in described if kind == "VARCHAR" and name not in ("source", "sku")
    ]
    columns = {}
    for name in texts:
        found = connection.execute(
            f"""
            select distinct {quoted(name)} as value from products
            where {quoted(name)} is not null
            order by value limit $most
            """,  # noqa: S608 (quoted)
            {"most": MOST_CHOICES + 1},
        ).fetchall()
        if 0 < len(found) <= MOST_CHOICES:
            columns[name] = [value for (value,) in found]
    return columns
