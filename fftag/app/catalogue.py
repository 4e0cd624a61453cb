"""The catalogue as the app asks for it: pages of photos, one photo, its neighbours."""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from fftag.app.photos import Photo, photos_of
from fftag.app.search import OF_A_LABEL, Places, Search, matching
from fftag.base.errors import FftagError
from fftag.catalogue.database import asking

NEIGHBOURS = 12


@dataclass(frozen=True)
class Page:
    """Some of the photos that match.

    Attributes:
        total: how many match.
        photos: those of the page, in order.
    """

    total: int
    photos: list[Photo]


def find(db: Path, search: Search, page: int = 0, size: int = 24) -> Page:
    """A page of the photos that match.

    Args:
        db: the catalogue.
        search: what to look for.
        page: which, from 0.
        size: photos on a page.

    Raises:
        FftagError: see `fftag.catalogue.database.asking`; or a sort of a label, and no label.
    """
    with asking(db) as connection:
        if search.sort in OF_A_LABEL and search.scored is None:
            raise FftagError("to sort by score, choose the label whose score it is")
        places = None if search.scored is None else _places(connection, search.scored)
        query = matching(search, places, dated_by_feed(connection))
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
        return Page(total, photos_of(connection, ids or []))


def photo(db: Path, source: str, image: str) -> Photo | None:
    """A photo by its name; None where there is none, or not in what is counted.

    Raises:
        FftagError: see `fftag.catalogue.database.asking`.
    """
    with asking(db) as connection:
        found = connection.execute(
            """
            select images.rowid from images join runs using (run_id)
            where image = $image and images.source = $source and counted
            """,
            {"image": image, "source": source},
        ).fetchall()
        photos = photos_of(connection, [rowid for (rowid,) in found[:1]])
        if not photos:
            return None
        offered = connection.execute(
            "select label, shown from offered_corrections where image = $image and run_id = $run",
            {"image": image, "run": photos[0].facts["run_id"]},
        ).fetchall()
    return replace(photos[0], offered=dict(offered))


def neighbours(db: Path, of: Photo, count: int = NEIGHBOURS) -> list[Photo]:
    """The photos whose scores are nearest to a photo's, of the same model, the nearest first.

    Every vector of scores is compared (Euclidean distance): a scan of one column.

    Raises:
        FftagError: see `fftag.catalogue.database.asking`.
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
        return photos_of(connection, [rowid for rowid, _ in near], dict(near))


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


def stamp(db: Path) -> str:
    """What tells the content of a database from what a load or a correction makes of it.

    Raises:
        FftagError: see `fftag.catalogue.database.asking`.
    """
    with asking(db) as connection:
        found = connection.execute(
            """
            select
                (select string_agg(run_id || loaded_at::varchar, ' ' order by run_id) from runs),
                (select bit_xor(hash(corrections)) from corrections)
            """
        ).fetchall()
    return f"{db} {found}"


def dated_by_feed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the date of a photo is its product's."""
    found = connection.execute("select dates_from = 'feed' from settings").fetchall()
    return bool(found and found[0][0])
