"""docs/bi.md and examples/dbt: their SQL runs, and says what the reports say."""

import os
import re
import subprocess
import venv
from pathlib import Path

import duckdb
import pytest
from catalogues import planted
from from_index import pip_install

from fftag.catalogue.load import load
from fftag.reports.ask import run_report

REPOSITORY = Path(__file__).parents[2]
DBT = REPOSITORY / "examples" / "dbt"
MODELS = ("label_share", "label_share_by_brand_month", "strongest_brand")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bi")
    tags, feed, _ = planted(folder)
    load(tags, folder / "catalog.duckdb", feed)
    return folder / "catalog.duckdb"


def check(marts: Path, db: Path) -> None:
    connection = duckdb.connect(str(marts), read_only=True)
    found = dict(connection.execute("select label, seen from label_share").fetchall())
    strong = connection.execute("select label, share from strongest_brand").fetchall()
    connection.close()
    expected = run_report(db, "share").table.set_index("label")["seen"].to_dict()
    assert found == pytest.approx(expected)
    assert dict(strong) == pytest.approx(expected)  # there is one brand


def test_every_query_of_the_page_has_an_answer(db: Path) -> None:
    page = (REPOSITORY / "docs" / "bi.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    assert len(queries) == 4
    for query in queries:
        connection = duckdb.connect(str(db), read_only=True)
        assert connection.execute(query).fetchall(), query
        connection.close()


def test_the_models_run_without_dbt(db: Path, tmp_path: Path) -> None:
    connection = duckdb.connect(str(tmp_path / "marts.duckdb"))
    connection.execute(f"attach '{db}' as fftag (read_only)")
    for name in MODELS:
        text = (DBT / "models" / f"{name}.sql").read_text(encoding="utf-8")
        text = re.sub(r"\{\{ source\('fftag', '(\w+)'\) \}\}", r"fftag.main.\1", text)
        text = re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r"\1", text)
        connection.execute(f"create table {name} as {text}")
    connection.close()
    check(tmp_path / "marts.duckdb", db)


@pytest.mark.slow
def test_dbt_builds_the_project(db: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    pip_install("dbt-core<1.11", "dbt-duckdb", python=tmp_path / "venv/bin/python")
    paths = {"FFTAG_DB": str(db), "FFTAG_MARTS": str(tmp_path / "marts.duckdb")}
    paths |= {"DBT_TARGET_PATH": str(tmp_path / "target"), "DBT_LOG_PATH": str(tmp_path / "logs")}
    command = [str(tmp_path / "venv/bin/dbt"), "build", "--profiles-dir", str(DBT)]
    done = subprocess.run(
        [*command, "--project-dir", str(DBT)],
        env=os.environ | paths, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    check(tmp_path / "marts.duckdb", db)
