"""The file of a catalogue: told from all else, asked, and held while another takes its place."""

import fcntl
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import duckdb

from fftag.base.atomic import DATABASE, changing, refuse_other, replacing, target_of
from fftag.base.errors import FftagError, first_line

SCHEMA_VERSION = 3
"""Of the tables in sql/schema.sql; a catalogue of version 1 does not say so."""
ALWAYS_THERE = {"settings", "runs", "images", "tags"}  # tables of a catalogue, whichever version
NO_OTHER_FILE: dict[str, Any] = {"enable_external_access": "false"}
COPIED_AT_ONCE = 2**24  # bytes


@contextmanager
def asking(db: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a catalogue, for reading only, and with no way to any other file.

    Within a process DuckDB shares an open file by its path: leave this after each question, so that
    the next one sees a file that a load has put in its place.

    Raises:
        FftagError: there is none, it is not one of this fftag, it cannot be opened, or a question
            fails in it.
    """
    with replaceable(db) as connection:
        yield _of_this_fftag(connection, db)


@contextmanager
def replaceable(db: Path) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """The catalogue that a load may replace, for reading only; None where there is nothing.

    Raises:
        FftagError: what is there is no catalogue, is one of a newer fftag, or cannot be opened.
    """
    if not _is_there(db):
        if _log_of(db).exists():
            raise FftagError(
                f"{_log_of(db)} is the log of a database that is not there: put {db} back beside "
                "it, or move it away"
            )
        yield None
        return
    with _opened(db, read_only=True) as connection:
        version_of(connection, db)
        yield connection


@contextmanager
def held(db: Path) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """`replaceable`, and until this is left no other program can open it to write.

    What a program that ended without closing it left in the log beside it is taken into the file
    first: beside the new file, DuckDB would play that log into it.

    Raises:
        FftagError: see `replaceable`; or another program writes to it.
    """
    with replaceable(db):
        pass
    if _log_of(db).exists():
        with _opened(db, read_only=False) as connection:
            connection.execute("checkpoint")
    with replaceable(db) as connection:
        if _log_of(db).exists():
            raise FftagError(f"{db} is written by another program just now: close it there first")
        yield connection


@contextmanager
def altering(db: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a copy of a catalogue, which takes its place on leaving without an error.

    Raises:
        FftagError: see `asking` and `held`; or the folder cannot be written.
    """
    with asking(db):
        pass  # what cannot be changed is refused before anybody waits for it
    # The bytes are opened first and closed last: whoever closes a file gives up every lock that
    # the process has on it. For the same reason `replacing` is not to look into it again.
    with (
        changing(db),
        _bytes_of(db) as content,
        held(db) as old,
        replacing(db) as copy,
    ):
        _of_this_fftag(old, db)
        with copy.open("wb") as to:
            shutil.copyfileobj(content, to, COPIED_AT_ONCE)
        with writable(copy) as connection:
            yield connection


@contextmanager
def writable(
    path: Path, config: Mapping[str, str] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a database that nobody else knows of; on leaving, all of it is in the file.

    Args:
        path: of the database.
        config: how DuckDB is to open it; whatever it says, no other file is opened.
    """
    connection = duckdb.connect(str(path), config=dict(config or {}) | NO_OTHER_FILE)
    try:
        yield connection
        connection.execute("checkpoint")
    finally:
        connection.close()
        path.with_name(path.name + ".wal").unlink(missing_ok=True)


def _of_this_fftag(
    connection: duckdb.DuckDBPyConnection | None, db: Path
) -> duckdb.DuckDBPyConnection:
    if connection is None:
        raise FftagError(f"no database {db}: make one with `fftag tag --db` or `fftag load`")
    if version_of(connection, db) < SCHEMA_VERSION:
        raise FftagError(
            f"{db} was loaded by an older fftag: load it again with `fftag load`, which keeps its "
            "corrections"
        )
    return connection


@contextmanager
def _bytes_of(db: Path) -> Iterator[IO[bytes]]:
    try:
        file = target_of(db).open("rb") if _is_there(db) else BytesIO()
    except OSError as error:
        raise FftagError(f"cannot read {db}: {error.strerror}") from error
    with file:
        yield file


def version_of(connection: duckdb.DuckDBPyConnection, db: Path) -> int:
    """The version of a catalogue's tables.

    Raises:
        FftagError: it is no catalogue, or one of a newer fftag.
    """
    columns = connection.execute(
        "select table_name, column_name from duckdb_columns() where not internal"
    ).fetchall()
    if not {table for table, _ in columns} >= ALWAYS_THERE:
        raise FftagError(
            f"{db} is a DuckDB file, but no catalogue of fftag: move it away, or give another --db"
        )
    if ("settings", "schema_version") not in columns:
        return 1
    ((version,),) = connection.execute("select schema_version from settings").fetchall()
    if version > SCHEMA_VERSION:
        raise FftagError(f"{db} was loaded by a newer fftag: upgrade fftag to use it")
    return int(version)


def _is_there(db: Path) -> bool:
    """Whether a file with something in it is there; what is no file is refused.

    The file is not opened: closing it would take the lock from this process's other connections.
    """
    try:
        there = target_of(db).stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FftagError(f"cannot open {db}: {error.strerror}") from error
    if not stat.S_ISREG(there.st_mode):
        refuse_other(db, DATABASE)
    return there.st_size > 0


@contextmanager
def _opened(db: Path, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        # Absolute, so that no name (`:memory:`, `md:x`) says anything but a file.
        connection = duckdb.connect(str(target_of(db).absolute()), read_only, NO_OTHER_FILE)
    except duckdb.Error as error:
        raise FftagError(_why_closed(db, error, read_only)) from error
    try:
        yield connection
    except duckdb.Error as error:
        broken = "Corrupt" in str(error)
        says = damaged(db, error) if broken else f"{db} cannot be asked: {first_line(error)}"
        raise FftagError(says) from error
    finally:
        connection.close()


def _why_closed(db: Path, error: duckdb.Error, read_only: bool) -> str:
    """Why a DuckDB file does not open, and what to do."""
    if isinstance(error, duckdb.ConnectionException):
        return f"{db} is open in this program in another way: close that connection, and try again"
    reason = first_line(error)
    try:
        refuse_other(db, DATABASE)
        locked = _is_locked(target_of(db), read_only)
    except OSError as closed:
        return f"cannot open {db}: {closed.strerror}"
    if locked:
        return f"{db} is open in another program: close it there ({reason})"
    if "version number" in reason:
        return f"{db} was written by a newer DuckDB: upgrade the package duckdb ({reason})"
    return damaged(db, error)


def damaged(db: Path, error: duckdb.Error) -> str:
    """What to do about a catalogue that cannot be read."""
    return (
        f"{db} is damaged, or its log {_log_of(db).name} is: restore it from a copy, or move it "
        f"away and load anew, without its corrections ({first_line(error)})"
    )


def _is_locked(path: Path, read_only: bool) -> bool:
    """Whether another process has locked a file against reading, or against writing."""
    with path.open("rb" if read_only else "r+b") as file:
        try:
            fcntl.lockf(file, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _log_of(db: Path) -> Path:
    target = target_of(db)
    return target.with_name(target.name + ".wal")
