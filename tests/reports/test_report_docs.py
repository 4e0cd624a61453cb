"""docs/reports.md and docs/warehouse.md leave nothing out, and what they show runs."""

import re
from pathlib import Path
from typing import get_args

import duckdb
import pytest
from catalogues import planted

from fftag.catalogue.load import load
from fftag.reports.ask import run_report
from fftag.reports.files import Bars, Form, Header, Lines, Parameter

DOCS = Path(__file__).parents[2] / "docs"
REPORTS = (DOCS / "reports.md").read_text(encoding="utf-8")
WAREHOUSE = (DOCS / "warehouse.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    tags, feed, _ = planted(folder)
    load(tags, folder / "catalog.duckdb", feed)
    return folder / "catalog.duckdb"


def section(name: str) -> str:
    return REPORTS.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_the_example_of_a_report_of_ones_own_runs(db: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.sql"
    path.write_text(re.findall(r"```sql\n(.*?)```", REPORTS, re.DOTALL)[0])
    assert run_report(db, str(path)).table.empty
    answer = run_report(db, str(path), {"least": "10"})
    expected = run_report(db, "share").table
    assert answer.table[["label", "share", "low"]].equals(expected[["label", "share", "low"]])


def test_every_key_of_the_header_is_documented() -> None:
    table = section("A report of your own").split("| header | |")[1]
    keys = {*Header.model_fields, *Parameter.model_fields, *get_args(Form)}
    keys |= {*Bars.model_fields, *Lines.model_fields}
    for key in keys:
        assert f"`{key}" in table


def test_every_table_column_view_and_macro_is_documented(db: Path) -> None:
    connection = duckdb.connect(str(db), read_only=True)
    columns = connection.execute(
        "select table_name, column_name from duckdb_columns() where not internal"
    ).fetchall()
    macros = connection.execute(
        "select function_name from duckdb_functions() where not internal"
    ).fetchall()
    connection.close()
    views = WAREHOUSE.split("\n## Views\n")[1]
    for table, column in columns:
        known = f"\n### {table}\n" in WAREHOUSE or f"`{table}`" in views
        assert known, table
        if f"\n### {table}\n" in WAREHOUSE:
            part = WAREHOUSE.split(f"\n### {table}\n")[1].split("\n#")[0]
            assert f"`{column}`" in part, (table, column)
    for (name,) in macros:
        assert f"`{name}" in WAREHOUSE


def test_the_sql_shown_runs(db: Path) -> None:
    connection = duckdb.connect(str(db), read_only=True)
    for query in re.findall(r"```sql\n(.*?)```", WAREHOUSE, re.DOTALL):
        connection.execute(query).fetchall()
    connection.close()
