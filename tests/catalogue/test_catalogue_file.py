"""The file of a catalogue: what may be replaced, what is refused, what is never lost."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from catalogues import Catalog, ask, write_feed

from fftag.base.errors import FftagError
from fftag.catalogue.load import load
from fftag.data.review_manifest import export_manifest
from fftag.reports.ask import run_report
from fftag.reports.review_queue import Answered, export_queue, take_answers

PHOTOS = {f"{number}.jpg": ["cape"] if number < 4 else ["hat"] for number in range(8)}
ANSWERS = [Answered(image, "photos", "hat", False, True) for image in PHOTOS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tags file, and a catalogue of it with eight corrections."""
    folder = tmp_path_factory.mktemp("made")
    load(Catalog(["cape", "hat"], PHOTOS).write(folder / "tags.parquet"), folder / "c.duckdb")
    take_answers(folder / "c.duckdb", ANSWERS, "ada", "it", "")
    return folder


@pytest.fixture
def tags(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made / "tags.parquet", tmp_path))


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    """A catalogue with eight corrections."""
    return Path(shutil.copy(made / "c.duckdb", tmp_path))


HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2:] == ["to read"])
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def held_elsewhere(db: Path, how: str = "to write") -> Iterator[None]:
    """Another program has the file open."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(db), how],
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
    says = "is open in another program: close it there"
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


def test_an_older_newer_or_damaged_file_is_told_apart(
    db: Path, tags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = db.read_bytes()
    connection = duckdb.connect(str(db))
    connection.execute("update settings set schema_version = 99")
    connection.close()
    for way in every_way(db, tags).values():
        with pytest.raises(FftagError, match="loaded by a newer fftag: upgrade fftag"):
            way()
    zeroed = whole[:8192] + bytes(len(whole) - 8192)
    for content in (zeroed, whole[:9000]):
        db.write_bytes(content)
        for way in every_way(db, tags).values():
            with pytest.raises(FftagError, match=r"is damaged.*restore it from a copy"):
                way()
        assert db.read_bytes() == content
    db.write_bytes(whole)

    def newer(*_: Any, **__: Any) -> None:
        # As DuckDB 1.4 says of a file that 2.0 wrote.
        raise duckdb.IOException(
            "IO Error: Trying to read a database file with version number 68, but we can only read "
            "versions between 64 and 67.\nThe database file was created with an newer version."
        )

    monkeypatch.setattr(duckdb, "connect", newer)
    with pytest.raises(FftagError, match="written by a newer DuckDB: upgrade the package duckdb"):
        load(tags, db)
    monkeypatch.undo()
    assert load(tags, db).corrections == 8


def test_damage_anywhere_loses_no_correction(db: Path, tags: Path) -> None:
    whole = db.read_bytes()
    refused = 0
    for place in range(0, len(whole), len(whole) // 24):
        content = bytearray(whole)
        content[place : place + 64] = bytes(byte ^ 0xFF for byte in content[place : place + 64])
        db.write_bytes(content)
        try:
            assert load(tags, db).corrections == 8
        except FftagError as error:
            assert re.search("is damaged|not a DuckDB database", str(error))
            assert db.read_bytes() == content
            refused += 1
    assert refused


def test_a_connection_of_this_process_is_named(db: Path, tags: Path) -> None:
    connection = duckdb.connect(str(db))
    try:
        for way in every_way(db, tags).values():
            with pytest.raises(FftagError, match="close that connection"):
                way()
    finally:
        connection.close()
    assert load(tags, db).corrections == 8


def test_a_missing_catalogue_is_made_and_an_empty_file_is_none(tmp_path: Path, tags: Path) -> None:
    db = tmp_path / "new" / "c.duckdb"
    with pytest.raises(FftagError, match=r"no database .*: make one with"):
        run_report(db, "share")
    with pytest.raises(FftagError, match=r"no database .*: make one with"):
        take_answers(db, ANSWERS, None, "it", "")
    assert not db.parent.exists()
    load(tags, db)
    db.write_bytes(b"")
    with pytest.raises(FftagError, match=r"no database .*: make one with"):
        run_report(db, "share")
    assert load(tags, db).images == 8


@pytest.mark.parametrize("name", [":memory:", "md:x", "a[1]=%b .duckdb"])
def test_a_name_is_a_file_whatever_it_means_to_duckdb(
    tmp_path: Path, tags: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    load(tags, Path(name))
    take_answers(Path(name), ANSWERS, None, "it", "")
    assert load(tags, Path(name)).corrections == 8
    assert (tmp_path / name).is_file()


def test_the_file_that_a_link_leads_to_is_written_with_its_mode(
    db: Path, tags: Path, tmp_path: Path
) -> None:
    link = tmp_path / "elsewhere" / "link.duckdb"
    link.parent.mkdir()
    link.symlink_to(db)
    db.chmod(0o640)
    load(tags, link)
    take_answers(link, ANSWERS[:1], None, "it", "")
    assert link.is_symlink() and db.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in link.parent.iterdir()] == ["link.duckdb"]
    assert ask(db, "select count(*) from corrections") == [(8,)]


LEAVE_A_LOG = """
import os, sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute(
    "update corrections set reviewer = 'bea', reviewed_at = reviewed_at + interval 1 second"
)
os._exit(0)
"""


def leave_a_log(db: Path) -> Path:
    """A program that changed the catalogue, and ended without closing it."""
    subprocess.run([sys.executable, "-c", LEAVE_A_LOG, str(db)], check=True)
    log = db.with_name(db.name + ".wal")
    assert log.stat().st_size
    return log


@pytest.mark.parametrize("way", ["load", "answers"])
def test_what_stands_in_a_leftover_log_is_taken_over(db: Path, tags: Path, way: str) -> None:
    log = leave_a_log(db)
    every_way(db, tags)[way]()
    assert not log.exists()
    reviewers = ask(db, "select reviewer, count(*) from corrections group by all order by all")
    assert reviewers == ([("bea", 8)] if way == "load" else [("bea", 7), (None, 1)])


def test_a_log_cannot_be_taken_over_while_another_program_reads(db: Path, tags: Path) -> None:
    log = leave_a_log(db)
    with held_elsewhere(db, "to read"):
        assert "8 corrections" in run_report(db, "share").basis
        with pytest.raises(FftagError, match=r"is open in another program: close it there"):
            load(tags, db)
    assert log.exists()
    load(tags, db)
    assert ask(db, "select distinct reviewer from corrections") == [("bea",)]


def test_a_damaged_log_is_not_thrown_away(db: Path, tags: Path) -> None:
    log = leave_a_log(db)
    content = bytearray(log.read_bytes())
    content[60] ^= 0xFF
    log.write_bytes(content)
    for way in every_way(db, tags).values():
        with pytest.raises(FftagError, match=r"or its log c\.duckdb\.wal is"):
            way()
    assert log.read_bytes() == content


def test_a_log_without_its_database_is_not_thrown_away(db: Path, tags: Path) -> None:
    log = leave_a_log(db)
    away = db.rename(db.with_name("away"))
    with pytest.raises(FftagError, match="is the log of a database that is not there"):
        load(tags, db)
    away.rename(db)
    load(tags, db)
    assert ask(db, "select distinct reviewer from corrections") == [("bea",)]
    assert not log.exists()


KILLED = """
import os, sys
from pathlib import Path
from fftag.base import atomic
from fftag.catalogue import database
from fftag.catalogue import load as warehouse
from fftag.reports.review_queue import Answered, take_answers

step, way, tags, db = sys.argv[1:]
def die(*_, **__):
    os._exit(9)

def before(module, name):
    setattr(module, name, die)

def after(module, name):
    whole = getattr(module, name)
    def both(*given, **more):
        whole(*given, **more)
        die()
    setattr(module, name, both)

class Rename(type(Path())):
    def replace(self, target):
        what = "the corrections" if ".corrections." in self.name else "the catalogue"
        if step == f"before the rename of {what}":
            die()
        super().replace(target)
        if step == f"after the rename of {what}":
            die()

whole = atomic.target_of
atomic.target_of = lambda path: Rename(whole(path))
if step == "while the log is taken in":
    opened = database._opened
    database._opened = lambda db, read_only: opened(db, read_only) if read_only else die()
if step == "before the new file is whole":
    before(warehouse if way == "load" else database.shutil,
           "make_items" if way == "load" else "copyfileobj")
if step == "before the corrections are on the disk":
    before(atomic, "_sync")
if way == "load":
    warehouse.load(Path(tags), Path(db))
else:
    take_answers(Path(db), [Answered("0.jpg", "photos", "hat", False, False)], "cid", "it", "")
"""
STEPS = [
    "while the log is taken in",
    "before the new file is whole",
    "before the corrections are on the disk",
    "before the rename of the corrections",
    "after the rename of the corrections",
    "before the rename of the catalogue",
    "after the rename of the catalogue",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("way", ["load", "answers"])
def test_killed_at_any_step_every_correction_is_there(
    db: Path, tags: Path, step: str, way: str
) -> None:
    leave_a_log(db)
    done = subprocess.run([sys.executable, "-c", KILLED, step, way, str(tags), str(db)])
    assert done.returncode == 9
    standing = "select reviewer, verdict, count(*) from corrections group by all"
    before, answered = {("bea", "is", 8)}, {("bea", "is", 7), ("cid", "not", 1)}
    replaced = way == "answers" and step == STEPS[-1]
    assert set(ask(db, standing)) == (answered if replaced else before)
    # Once the answer is in its file, it is given; what the catalogue shows follows.
    load(tags, db)
    given = way == "answers" and STEPS.index(step) >= 4
    assert set(ask(db, standing)) == (answered if given else before)
