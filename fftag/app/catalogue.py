"""The catalogue as the app asks for it: pages of photos, one photo, its neighbours."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from fftag.app.search import OF_A_LABEL, Places, Search, matching, quoted
from fftag.errors import FftagError
from fftag.report import open_read_only

MOST_CHOICES = 500
NEIGHBOURS = 12


@dataclass(frozen=True)
class Photo:
    """A photo of the catalogue.

    Attributes:
        image: its path.
        source: the source that it is of.
        facts: its row of `images` without the scores, and `product`: that of `products`, or None.
        scores: label -> score, in the order of the labels; empty where it failed.
        tagged: labels that the model gave it.
        said: label -> whether it shows it, as a reviewer said.
        distance: from the photo whose neighbour it is; None where it is nobody's.
    """

    image: str
    source: str
    facts: dict[str, Any]
    scores: dict[str, float]
    tagged: frozenset[str]
    said: dict[str, bool]
    distance: float | None = None

    @property
    def labels(self) -> list[str]:
        """The model's tags and above them what reviewers said; the best first."""
        there = (self.tagged | {one for one, shown in self.said.items() if shown}) - {
            one for one, shown in self.said.items() if not shown
        }
        return sorted(there, key=lambda one: (-self.scores.get(one, 0), one))


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


@dataclass(frozen=True)
class Page:
    """Some of the photos that match.

    Attributes:
        total: how many match.
        photos: those of the page, in order.
    """

    total: int
    photos: list[Photo]


@contextmanager
def asking(db: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for one question.

    Raises:
        FftagError: there is no such database, or it is no catalogue.
    """
    connection = open_read_only(db)
    try:
        yield connection
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise FftagError(
            f"{db} is no catalogue of this fftag: make one with `fftag load`"
        ) from error
    except duckdb.Error as error:
        raise FftagError(f"{db} cannot be asked: {str(error).splitlines()[0]}") from error
    finally:
        connection.close()


def stamp(db: Path) -> str:
    """What tells the content of a database from what a load or a correction makes of it.

    Raises:
        FftagError: see `asking`.
    """
    with asking(db) as connection:
        found = connection.execute(
            """
            select
                (select string_agg(run_id || loaded_at::varchar, ' ' order by run_id) from runs),
                (select count(*) from corrections),
                (select max(reviewed_at) from corrections)
            """
        ).fetchall()
    return f"{db} {found}"


def choices(db: Path) -> Choices:
    """What there is to choose from.

    Raises:
        FftagError: see `asking`.
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
        if not _dated_by_feed(connection):
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


def find(db: Path, search: Search, page: int = 0, size: int = 24) -> Page:
    """A page of the photos that match.

    Args:
        db: the catalogue.
        search: what to look for.
        page: which, from 0.
        size: photos on a page.

    Raises:
        FftagError: see `asking`; or a sort of a label, and no label.
    """
    with asking(db) as connection:
        if search.sort in OF_A_LABEL and search.scored is None:
            raise FftagError("to sort by score, choose the label whose score it is")
        places = None if search.scored is None else _places(connection, search.scored)
        query = matching(search, places, _dated_by_feed(connection))
        ((total, ids),) = connection.execute(
            f"""
            with found as materialized ({query.sql})
            select
                (select count(*) from found),
                (select list(id order by rank nulls last, id) from (
                    from found order by rank nulls last, id limit $size offset $skip))
            """,  # noqa: S608 (see `matching`)
            query.values | {"size": size, "skip": page * size},
        ).fetchall()
        return Page(total, _photos(connection, ids or []))


def photo(db: Path, source: str, image: str) -> Photo | None:
    """A photo by its name; None where there is none, or not in what is counted.

    Raises:
        FftagError: see `asking`.
    """
    with asking(db) as connection:
        found = connection.execute(
            """
            select images.rowid from images join runs using (run_id)
            where image = $image and images.source = $source and counted
            """,
            {"image": image, "source": source},
        ).fetchall()
        photos = _photos(connection, [rowid for (rowid,) in found[:1]])
    return photos[0] if photos else None


def neighbours(db: Path, of: Photo, count: int = NEIGHBOURS) -> list[Photo]:
    """The photos whose scores are nearest to a photo's, of the same model, the nearest first.

    Every vector of scores is compared (Euclidean distance): a scan of one column.

    Raises:
        FftagError: see `asking`.
    """
    with asking(db) as connection:
        own = connection.execute(
            "select scores from images where image = $image and run_id = $run_id",
            {"image": of.image, "run_id": of.facts["run_id"]},
        ).fetchall()
        if not own or own[0][0] is None:
            return []
        near = connection.execute(
            """
            select rowid, list_distance(scores, $scores::float[]) as distance
            from images
            where model_id = $model_id
                and scores is not null
                and run_id in (select run_id from runs where counted)
                and not (image = $image and run_id = $run_id)
            order by distance, rowid
            limit $count
            """,
            {
                "image": of.image,
                "run_id": of.facts["run_id"],
                "model_id": of.facts["model_id"],
                "scores": own[0][0],
                "count": count,
            },
        ).fetchall()
        return _photos(connection, [rowid for rowid, _ in near], dict(near))


def _photos(
    connection: duckdb.DuckDBPyConnection,
    ids: list[int],
    distances: dict[int, float] | None = None,
) -> list[Photo]:
    """Rows of `images` by their rowid, in the order asked for."""
    if not ids:
        return []
    found = connection.execute(
        "select rowid, * from images where rowid in (select unnest($ids::bigint[]))", {"ids": ids}
    )
    names = [column[0] for column in found.description or []]
    rows = {row[0]: dict(zip(names, row, strict=True)) for row in found.fetchall()}
    keys = {
        "images": [row["image"] for row in rows.values()],
        "skus": [row["sku"] for row in rows.values()],
    }
    found = connection.execute(
        "from products where list_contains($skus::varchar[], sku)", {"skus": keys["skus"]}
    )
    names = [column[0] for column in found.description or []]
    products = {}
    for row in found.fetchall():
        product = dict(zip(names, row, strict=True))
        products[product["source"], product["sku"]] = product
    said: dict[tuple[str, str], dict[str, bool]] = {}
    for source, image, label, shown in connection.execute(
        """
        select source, image, label, shown from corrections
        where list_contains($images::varchar[], image)
        """,
        {"images": keys["images"]},
    ).fetchall():
        said.setdefault((source, image), {})[label] = shown
    of_model: dict[str, list[tuple[str, float]]] = {}
    for model, label, threshold in connection.execute(
        "select model_id, label, threshold from model_labels order by model_id, position"
    ).fetchall():
        of_model.setdefault(model, []).append((label, threshold))
    return [
        _photo(
            rows[rowid],
            products.get((rows[rowid]["source"], rows[rowid]["sku"])),
            said.get((rows[rowid]["source"], rows[rowid]["image"]), {}),
            of_model.get(rows[rowid]["model_id"], []),
            (distances or {}).get(rowid),
        )
        for rowid in ids
    ]


def _photo(
    row: dict[str, Any],
    product: dict[str, Any] | None,
    said: dict[str, bool],
    labels: list[tuple[str, float]],
    distance: float | None,
) -> Photo:
    scores: dict[str, float] = {}
    tagged = set()
    for (label, threshold), score in zip(labels, row["scores"] or [], strict=False):
        scores[label] = max(score, scores.get(label, 0.0))
        if np.float32(score) >= np.float32(threshold):
            tagged.add(label)
    facts = {key: value for key, value in row.items() if key not in ("scores", "rowid")}
    return Photo(
        image=row["image"],
        source=row["source"],
        facts=facts | {"product": product},
        scores=scores,
        tagged=frozenset(tagged),
        said=said,
        distance=distance,
    )


def _dated_by_feed(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute("select dates_from = 'feed' from settings").fetchall()
    return bool(found and found[0][0])


def _places(connection: duckdb.DuckDBPyConnection, label: str) -> Places:
    found = connection.execute(
        """
        select model_id, list(position + 1 order by position), list(distinct threshold)
        from model_labels
        where label = $label and model_id in (select model_id from runs where counted)
        group by model_id
        order by model_id
        """,
        {"label": label},
    ).fetchall()
    if not found:
        raise FftagError(f"there is no label {label!r} in the catalogue any more: choose another")
    thresholds = {threshold for _, _, several in found for threshold in several}
    return Places(
        {model: positions for model, positions, _ in found},
        thresholds.pop() if len(thresholds) == 1 else None,
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
