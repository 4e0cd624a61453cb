"""What the app asks the catalogue of itself."""

from pathlib import Path

import duckdb

from fftag.catalogue.database import asking


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
                (select count(*) from corrections),
                (select max(reviewed_at) from corrections)
            """
        ).fetchall()
    return f"{db} {found}"


def dated_by_feed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the date of a photo is its product's."""
    found = connection.execute("select dates_from = 'feed' from settings").fetchall()
    return bool(found and found[0][0])
