"""The file of a catalogue: what may be replaced, what is refused, what is never lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from catalog_maker import Catalog, write_feed

from fftag.errors import FftagError
from fftag.report import run_report
from fftag.review_manifest import export_manifest
from fftag.review_queue import Answered, export_queue, take_answers
from fftag.warehouse import load

PHOTOS = {f"{number}.jpg": ["cape"] if number < 4 else ["hat"] for number in range(8)}
ANSWERS = [Answered(image, "photos", "hat", False, True) for image in PHOTOS]


def ask(db: Path, query: str) -> list[tuple[Any, ...]]:
    connection = duckdb.connect(str(db), read_only=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    return Catalog(["cape", "hat"], PHOTOS).write(tmp_path / "tags.parquet")


@pytest.fixture
def db(tmp_path: Path, tags: Path) -> Path:
    """A catalogue with eight corrections."""
    path = tmp_path / "c.duckdb"
    load(tags, path)
    take_answers(path, ANSWERS, "ada", "it", "")
    return path


HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def held_elsewhere(db: Path) -> Iterator[None]:
    """Another program has the file open to write."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(db)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        try:
            yield
        finally:
            other.communicate("\n", timeout=30)


def every_way(db: Path, tags: Path) -> dict[str, Any]:
    """What opens a catalogue, by name."""
    out = db.parent / "out"
    return {
        "load": lambda: load(tags, db),
        "answers": lambda: take_answers(db, ANSWERS[:1], None, "it", ""),
        "report": lambda: run_report(db, "share"),
        "queue": lambda: export_queue(db, out.with_suffix(".csv"), 1, 1),
        "manifest": lambda: export_manifest(db, db.parent, out.with_suffix(".parquet")),
    }


WAYS = ["load", "answers", "report", "queue", "manifest"]


@pytest.mark.parametrize("way", WAYS)
def test_a_catalogue_that_another_program_writes_is_left_alone(
    db: Path, tags: Path, way: str
) -> None:
    before = db.read_bytes()
    says = r"is open in another program .*close it there"
    with held_elsewhere(db), pytest.raises(FftagError, match=says):
        every_way(db, tags)[way]()
    assert db.read_bytes() == before
    load(tags, db)
    assert ask(db, "select count(*) from corrections") == [(8,)]


def test_the_command_ends_with_an_error_and_the_corrections_stay(db: Path, tags: Path) -> None:
    with held_elsewhere(db):
        done = subprocess.run(
            [sys.executable, "-m", "fftag", "load", str(tags), "--db", str(db)],
            capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 1 and "close it there" in done.stderr
    assert ask(db, "select count(*) from corrections") == [(8,)]


def test_what_is_no_catalogue_is_not_replaced(tmp_path: Path, tags: Path) -> None:
    feed = write_feed(tmp_path / "feed.csv", [{"sku": str(n)} for n in range(2000)])
    with pytest.raises(FftagError, match="is not a DuckDB database: move it away"):
        load(tags, feed)
    with pytest.raises(FftagError, match="is not a DuckDB database: move it away"):
        load(tags, tags)
    other = tmp_path / "other.duckdb"
    connection = duckdb.connect(str(other))
    connection.execute("create table mine as select 1 as worth_a_lot")
    connection.close()
    with pytest.raises(FftagError, match="but no catalogue of fftag: move it away"):
        load(tags, other)
    assert ask(other, "from mine") == [(1,)]
    (tmp_path / "folder").mkdir()
    with pytest.raises(FftagError, match="is a folder"):
        load(tags, tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FftagError, match="no regular file"):
        load(tags, tmp_path / "pipe")
    with pytest.raises(FftagError, match="no regular file"):
        load(tags, Path("/dev/null"))
