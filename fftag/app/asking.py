"""Opening the catalogue for one question."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from fftag.errors import FftagError
from fftag.report import open_read_only


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


def dated_by_feed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the date of a photo is its product's."""
    found = connection.execute("select dates_from = 'feed' from settings").fetchall()
    return bool(found and found[0][0])
