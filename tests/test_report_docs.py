"""What docs/reports.md and docs/warehouse.md show is what fftag does."""

import re
from pathlib import Path

import duckdb
import pytest
from catalogues import catalogue, planted, truth

from fftag.report import all_reports, run_report
from fftag.report_files import HEADER
from fftag.report_formats import as_table
from fftag.warehouse import load

DOCS = Path(__file__).parent.parent / "docs"
REPORTS = (DOCS / "reports.md").read_text(encoding="utf-8")
WAREHOUSE = (DOCS / "warehouse.md").read_text(encoding="utf-8")


BLURRED = {"prevalence", "review"}
SAMPLED = {report.name for report in all_reports()} - {"share", "trend", "monthly", "pairs"}
SAMPLED -= {"failures"}


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """As a model with errors sees the planted facts, and as one without."""
    return {
        errors: catalogue(tmp_path_factory.mktemp("facts"), truth(), errors)
        for errors in (True, False)
    }


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    tags, feed, _ = planted(folder)
    load(tags, folder / "catalog.duckdb", feed)
    return folder / "catalog.duckdb"


def section(name: str) -> str:
    return REPORTS.split(f"\n## {name}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", ["share", "trend", "monthly", "pairs"])
def test_samples_are_what_the_reports_say(db: Path, name: str) -> None:
    sample = re.findall(r"```\n(.*?)\n```", section(name), re.DOTALL)[0].splitlines()
    lines = as_table(run_report(db, name)).splitlines()[3:]
    assert lines[: len(sample)] == sample and len(sample) > 3


@pytest.mark.parametrize("name", sorted(SAMPLED))
def test_samples_of_planted_facts_are_what_the_reports_say(
    facts: dict[bool, Path], name: str
) -> None:
    sample = re.findall(r"```\n(.*?)\n```", section(name), re.DOTALL)[0].splitlines()
    lines = as_table(run_report(facts[name in BLURRED], name)).splitlines()[3:]
    assert lines[: len(sample)] == sample and len(sample) > 1


def test_the_basis_shown_is_the_samples(db: Path) -> None:
    assert run_report(db, "share").basis in REPORTS


@pytest.mark.parametrize("report", all_reports(), ids=lambda report: report.name)
def test_every_report_and_parameter_is_documented(report) -> None:
    assert f"[`{report.name}`](#{report.name}) | {report.question} |" in REPORTS
    for parameter in report.parameters:
        default = str(parameter.default).lower()
        row = f"| `{parameter.name}` | {default} | {parameter.meaning} |"
        assert row in section(report.name)


def test_the_example_of_a_report_of_ones_own_runs(db: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.sql"
    path.write_text(re.findall(r"```sql\n(.*?)```", REPORTS, re.DOTALL)[0])
    assert run_report(db, str(path)).table.empty
    answer = run_report(db, str(path), {"least": "10"})
    expected = run_report(db, "share").table
    assert answer.table[["label", "share", "low"]].equals(expected[["label", "share", "low"]])


def test_every_header_is_documented() -> None:
    keys = {
        match[1]
        for report in all_reports()
        for line in report.sql.splitlines()
        if (match := HEADER.match(line))
    }
    for key in keys:
        assert f"`{key}`" in section("A report of your own")


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
