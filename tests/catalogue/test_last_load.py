"""A load goes on with what the last one was given, and says so."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from catalogues import Catalog, as_version_1, ask, write_feed

from fftag.base.errors import FftagError
from fftag.catalogue import load as warehouse
from fftag.catalogue.load import load
from fftag.catalogue.options import LoadOptions, Named
from fftag.reports.ask import Filters, run_report

PHOTOS = {"2025-03/A_1.jpg": ["cape"], "2025-04/B_1.jpg": ["slacks"], "2025-04/C_1.jpg": []}
TAXONOMY = """
[[label]]
name = "pants"
group = "lowerbody"
synonyms = ["slacks"]
translations = { de = "Hose" }
"""


def tagged(path: Path, photos: dict[str, list[str]] = PHOTOS, **more: Any) -> Path:
    return Catalog(["cape", "slacks"], dict(photos), **more).write(path)


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    return tagged(tmp_path / "tags.parquet")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "c.duckdb"


def test_the_feed_stays_where_a_load_is_not_given_one(
    tmp_path: Path, tags: Path, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"sku": name, "brand": "Acme", "photos": "few", "price": 5} for name in "AB"]
    feed = write_feed(tmp_path / "feed.csv", rows)
    first = load(tags, db, feed)
    assert "last load" not in capsys.readouterr().err
    feed.unlink()
    more = tagged(tmp_path / "more.parquet", PHOTOS | {"2025-05/B_2.jpg": ["cape"]}, run_id="2")
    for _ in range(2):
        second = load(more, db)
        assert (first.products, second.products, second.joined) == (2, 2, 3)
        said = capsys.readouterr().err
        assert f"as in the last load: 2 products of {feed}" in said and "--fresh" in said
    found = ask(db, "select sku, brand, photos_in_feed, price, photos from items order by sku")
    assert found == [("A", "Acme", "few", 5.0, 1), ("B", "Acme", "few", 5.0, 2)]
    assert (
        "Counted: 2 products" in run_report(db, "share", None, Filters({"brand": ["Acme"]})).basis
    )
    # Another feed takes its place, and --fresh goes without.
    other = write_feed(tmp_path / "other.csv", [{"sku": "C"}])
    assert load(more, db, other).joined == 1
    assert "last load" not in capsys.readouterr().err
    assert load(more, db, None, LoadOptions(fresh=True)).products == 0
    assert load(more, db).products == 0
    assert "last load" not in capsys.readouterr().err


def test_a_feed_that_names_photos_stays_with_their_names(
    tmp_path: Path, tags: Path, db: Path
) -> None:
    rows = [{"sku": "X", "image": image} for image in ("2025-03/A_1.jpg", "2025-05/new.jpg")]
    load(tags, db, write_feed(tmp_path / "feed.csv", [*rows, {"sku": "Y", "image": ""}]))
    more = tagged(tmp_path / "more.parquet", PHOTOS | {"2025-05/new.jpg": ["cape"]}, run_id="2")
    summary = load(more, db)
    assert (summary.products, summary.joined, summary.without_photo) == (2, 2, 1)
    pattern = LoadOptions(sku_pattern="([A-Z])_1")
    with pytest.raises(FftagError, match=r"no image belongs to a product of .*feed\.csv"):
        load(more, db, None, pattern)
    load(more, db, write_feed(tmp_path / "by sku.csv", [{"sku": name} for name in "ABC"]), pattern)
    assert load(more, db).joined == 3


def test_rules_and_names_stay_too(
    tmp_path: Path, tags: Path, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taxonomy = tmp_path / "own.toml"
    taxonomy.write_text(TAXONOMY)
    feed = tmp_path / "feed.csv"
    write_feed(feed, [{"id": "A", "day": "2025-01-31"}, {"id": "B", "day": ""}])
    given = LoadOptions(
        columns={"sku": "id", "listed_at": "day"}, labels_by="vote", dates="file",
        taxonomy=str(taxonomy), mix_models=True,
    )  # fmt: skip
    load(tags, db, feed, given)
    taxonomy.unlink()
    for products in (None, feed):  # the columns hold for another feed as for the one kept
        capsys.readouterr()
        summary = load(tags, db, products)
        assert (summary.joined, summary.dates_from) == (2, "file")
        settings = "select labels_by, models_mixed, taxonomy from settings"
        assert ask(db, settings) == [("vote", True, str(taxonomy))]
        assert run_report(db, "share", language="de").table["label"].tolist() == ["cape", "Hose"]
        said = capsys.readouterr().err
        for flag in ("--labels-by vote", "--dates file", f"--taxonomy {taxonomy}", "--mix-models"):
            assert flag in said
        assert ("--column sku=id --column listed_at=day" in said) == (products is not None)
    load(tags, db, None, LoadOptions(dates="auto", mix_models=False))
    assert ask(db, "select dates_from, models_mixed, labels_by from settings") == [
        ("feed", False, "vote")
    ]
    assert "--dates" not in capsys.readouterr().err
    load(tags, db)
    assert "--no-mix-models" in capsys.readouterr().err
    load(tags, db, feed, LoadOptions(fresh=True, columns={"sku": "id"}))
    assert ask(db, "select dates_from, models_mixed, labels_by, taxonomy from settings") == [
        ("folder", False, "union", None)
    ]


def test_columns_without_a_feed_are_refused(tags: Path, db: Path) -> None:
    with pytest.raises(FftagError, match="--column says what a feed calls its columns"):
        load(tags, db, None, LoadOptions(columns={"sku": "id"}))


def test_of_several_sources_each_keeps_its_feed(tmp_path: Path, db: Path) -> None:
    north = Named(tagged(tmp_path / "n.parquet"), "north")
    south = Named(tagged(tmp_path / "s.parquet", run_id="2"), "south")
    feeds = [
        Named(write_feed(tmp_path / f"{name}.csv", [{"sku": sku, "brand": name}]), name)
        for name, sku in (("north", "A"), ("south", "B"))
    ]
    load([north, south], db, feeds)
    other = Named(write_feed(tmp_path / "other.csv", [{"sku": "C", "brand": "new"}]), "south")
    load([north, south], db, [other])
    assert ask(db, "select source, sku, brand from products order by all") == [
        ("north", "A", "north"),
        ("south", "C", "new"),
    ]
    before = db.read_bytes()
    for given in (None, [feeds[0]]):
        with pytest.raises(FftagError, match=r"has a feed of 'south', of which no tags are given"):
            load([north], db, given)
    assert db.read_bytes() == before
    assert load([north], db, [feeds[0]], LoadOptions(fresh=True)).products == 1
    # One source under another name is the same one.
    assert load([Named(north.path, "shop")], db).joined == 1


def test_a_feed_of_an_older_fftag_is_asked_for_once(tmp_path: Path, tags: Path, db: Path) -> None:
    feed = write_feed(tmp_path / "feed.csv", [{"sku": "A"}])
    load(tags, db, feed, LoadOptions(labels_by="vote", dates="exif"))
    as_version_1(db, [("2025-03/A_1.jpg", "photos", "cape", False)])
    before = db.read_bytes()
    with pytest.raises(FftagError, match="give --products once more"):
        load(tags, db)
    assert db.read_bytes() == before
    summary = load(tags, db, feed)
    assert (summary.products, summary.corrections, summary.orphaned) == (1, 1, 0)
    assert ask(db, "select labels_by, dates_from from settings") == [("vote", "exif")]
    assert load(tags, db).products == 1
    assert json.loads(ask(db, "select given from settings")[0][0])["dates"] == "exif"


def test_a_load_that_was_overtaken_does_not_bring_the_old_feed_back(
    tmp_path: Path, tags: Path, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tags, db, write_feed(tmp_path / "old.csv", [{"sku": "A"}]))
    new = write_feed(tmp_path / "new.csv", [{"sku": "B"}])
    whole: Callable[..., None] = warehouse.fill_tables

    command = ["load", str(tags), "--db", str(db), "--products", str(new)]

    def overtaken(*given: Any) -> None:
        whole(*given)
        subprocess.run([sys.executable, "-m", "fftag", *command], check=True)

    monkeypatch.setattr(warehouse, "fill_tables", overtaken)
    with pytest.raises(FftagError, match=r"another load has replaced .* load once more"):
        load(tags, db)
    monkeypatch.undo()
    assert ask(db, "select sku from products") == [("B",)]
    load(tags, db)
    assert ask(db, "select sku from products") == [("B",)]
