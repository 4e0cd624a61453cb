"""Two groups may have labels of one name: no table, view or report takes one for the other."""

from dataclasses import replace
from pathlib import Path

import pytest
from catalogues import Catalog, ask

from fftag.catalogue.load import load
from fftag.catalogue.options import LoadOptions
from fftag.reports.ask import Filters, all_reports, run_report
from fftag.reports.write import as_table
from fftag.tagging.tags_file import RunInfo
from fftag.tagging.validate import validate


class Alike(Catalog):
    """A catalogue whose labels are called alike across groups."""

    def run(self) -> RunInfo:
        run = super().run()
        return replace(run, labels=[replace(one, name="Home") for one in run.labels])


@pytest.fixture
def db(tmp_path: Path) -> Path:
    photos = {f"2025-0{1 + number % 2}/{number}.jpg": ["a"] for number in range(8)}
    photos |= {f"2025-01/both {number}.jpg": ["a", "b"] for number in range(3)}
    tags = Alike(["a", "b"], dict(sorted(photos.items())), groups=["type", "brand"])
    path = tags.write(tmp_path / "tags.parquet")
    assert validate(path).valid, validate(path).lines()
    load(path, tmp_path / "c.duckdb")
    return tmp_path / "c.duckdb"


def test_the_tables_keep_them_apart(db: Path) -> None:
    count = 'select "group", label, count(*) from {} group by all order by 1'
    expected = [("brand", "Home", 3), ("type", "Home", 11)]
    assert ask(db, count.format("tags")) == expected
    assert ask(db, count.format("all_item_labels")) == expected
    assert ask(db, 'select "group", label, kind, parent from labels order by position') == [
        ("type", "Home", "many", None),
        ("brand", "Home", "many", None),
    ]


def test_every_report_keeps_them_apart(db: Path) -> None:
    for report in all_reports():
        table = run_report(db, report.name).table
        if "label" in table and report.name not in ("review", "monthly"):
            assert not table.duplicated(["group", "label"]).any(), report.name
    share = run_report(db, "share").table.set_index("group")
    assert share["items"].to_dict() == {"type": 11, "brand": 3}
    monthly = run_report(db, "monthly").table
    assert not monthly.duplicated(["group", "label", "month"]).any()
    assert monthly.groupby("group")["items"].sum().to_dict() == {"type": 11, "brand": 3}
    trend = run_report(db, "trend", {"min_items": "1"}).table.set_index("group")
    assert trend["items_first"].to_dict() == {"type": 7, "brand": 3}
    assert trend["course"].str.len().tolist() == [2, 2]  # months
    (pair,) = run_report(db, "pairs", {"min_items": "1"}).table.to_dict("records")
    assert {pair["group_a"], pair["group_b"]} == {"type", "brand"} and pair["items"] == 3


def test_a_person_reads_the_group_behind_the_name(db: Path) -> None:
    text = as_table(run_report(db, "prevalence"))
    assert "Home (type)" in text and "Home (brand)" in text
    only = run_report(db, "share", filters=Filters(groups=["brand"]))
    assert only.table["group"].tolist() == ["brand"] and "Home (brand)" in as_table(only)


def test_a_taxonomy_names_the_label_of_its_own_group(tmp_path: Path, db: Path) -> None:
    taxonomy = tmp_path / "names.toml"
    taxonomy.write_text('[[label]]\nname = "House"\ngroup = "brand"\nsynonyms = ["Home"]\n')
    load(tmp_path / "tags.parquet", db, options=LoadOptions(taxonomy=str(taxonomy)))
    count = 'select "group", label, count(*) from tags group by all order by 1'
    assert ask(db, count) == [("brand", "House", 3), ("type", "Home", 11)]
