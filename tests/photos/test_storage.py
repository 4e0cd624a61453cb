"""The database file is one that other releases of DuckDB open, and answers the same there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from catalogues import planted
from from_index import pip_install

from fftag.catalogue.load import STORAGE, load
from fftag.reports.ask import all_reports, run_report

RELEASES = ("1.2.2", "1.4.4", "1.5.0", "2.0.0")
NUMBER_OF_1_2 = 65  # of the storage format, in the header of the file
ASK_ALL = """
import json, sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
assert duckdb.__version__ == sys.argv[2], duckdb.__version__
found = {}
for name, query in json.load(sys.stdin).items():
    cursor = connection.execute(query)
    columns = [column[0] for column in cursor.description]
    found[name] = [dict(zip(columns, map(str, row))) for row in cursor.fetchall()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storage")
    tags, feed, _ = planted(folder)
    load(tags, folder / "catalog.duckdb", feed)
    return folder / "catalog.duckdb"


def test_the_file_says_that_its_format_is_of_release_1_2(db: Path) -> None:
    header = db.read_bytes()[:20]
    assert header[8:12] == b"DUCK"
    assert int.from_bytes(header[12:20], "little") == NUMBER_OF_1_2
    connection = duckdb.connect(str(db), read_only=True)
    (said,) = connection.execute(
        "select tags['storage_version'] from duckdb_databases() where path = $path",
        {"path": str(db)},
    ).fetchone()
    connection.close()
    assert said == f"{STORAGE}+" == "v1.2.0+"


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_other_releases_open_the_file_and_answer_every_report(
    db: Path, tmp_path: Path, release: str
) -> None:
    pip_install("--no-deps", "--target", str(tmp_path / "duckdb"), f"duckdb=={release}")
    queries = {report.name: report.sql for report in all_reports()}
    done = subprocess.run(
        [sys.executable, "-c", ASK_ALL, str(db), release],
        input=json.dumps(queries), capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "duckdb")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    for name in queries:
        expected = run_report(db, name).table
        assert len(answers[name]) == len(expected), name
    share = {row["label"]: row for row in answers["share"]}
    expected = run_report(db, "share").table.set_index("label")
    assert len(share) == 7
    for label, row in expected.iterrows():
        for column in ("items", "seen", "share", "low", "high"):
            assert float(share[label][column]) == pytest.approx(row[column], abs=1e-12)
