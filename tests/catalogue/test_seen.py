"""When photos and products were seen first and last is kept from load to load."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from catalogues import Catalog, as_version_2, ask, digest_of, write_feed

from fftag.base.errors import FftagError
from fftag.catalogue import load as warehouse
from fftag.catalogue.load import load
from fftag.catalogue.options import LoadOptions, Named

RED, BLUE, GREEN = (digest_of(name) for name in ("red", "blue", "green"))
NAMES = {RED: "red", BLUE: "blue", GREEN: "green"}


class Nights:
    """A catalogue that is loaded night by night.

    Attributes:
        db: the catalogue.
        times: of the loads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.db, self.times = folder, folder / "c.duckdb", list[datetime]()

    def load(
        self,
        contents: Mapping[str, str],
        skus: str = "",
        options: LoadOptions = LoadOptions(),
        **more: Any,
    ) -> None:
        seen = {image: ["cape"] for image in contents} | more.pop("failed", {})
        tags = Catalog(["cape"], seen, contents=dict(contents), **more)
        feed = (
            write_feed(self.folder / "feed.csv", [{"sku": sku} for sku in skus]) if skus else None
        )
        load(tags.write(self.folder / "tags.parquet"), self.db, feed, options)
        self.times.append(ask(self.db, "select max(loaded_at) from runs")[0][0])

    def night(self, moment: datetime) -> int:
        return self.times.index(moment)

    def photos(self) -> list[tuple[Any, ...]]:
        """Content, path, first and last night, whether it is there."""
        found = ask(
            self.db,
            "select content_sha256, image, first_seen, last_seen, is_there from seen_photos "
            "order by first_seen, image",
        )
        return [
            (NAMES[content], image, self.night(first), self.night(last), there)
            for content, image, first, last, there in found
        ]

    def products(self) -> list[tuple[Any, ...]]:
        """Source, sku, first and last night, whether it is there."""
        found = ask(self.db, "select * from seen_products order by source, sku")
        return [
            (source, sku, self.night(first), self.night(last), there)
            for source, sku, first, last, there in found
        ]


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def test_photos_that_come_move_go_and_return(nights: Nights) -> None:
    nights.load({"a.jpg": RED, "b.jpg": BLUE}, "ab")
    nights.load({"moved/a.jpg": RED, "copy/a.jpg": RED, "b.jpg": GREEN}, "ac")
    assert nights.photos() == [
        ("blue", "b.jpg", 0, 0, False),
        ("red", "copy/a.jpg", 0, 1, True),
        ("red", "moved/a.jpg", 0, 1, True),
        ("green", "b.jpg", 1, 1, True),
    ]
    assert nights.products() == [
        ("photos", "a", 0, 1, True),
        ("photos", "b", 0, 0, False),
        ("photos", "c", 1, 1, True),
    ]
    assert ask(nights.db, "select image, sku from gone_photos") == [("b.jpg", "b")]
    # Neither a load without the last feed, nor a photo that cannot be read, forgets what was.
    nights.load(
        {"b.jpg": BLUE}, options=LoadOptions(fresh=True), failed={"a.jpg": "truncated"}, run_id="2"
    )
    assert nights.photos() == [
        ("blue", "b.jpg", 0, 2, True),
        ("red", nights.photos()[1][1], 0, 1, False),
        ("green", "b.jpg", 1, 1, False),
    ]
    assert [row[1:] for row in nights.products()] == [
        ("a", 0, 1, False),
        ("b", 0, 0, False),
        ("c", 1, 1, False),
    ]
    assert ask(nights.db, "select image, first_seen from images where status <> 'ok'") == [
        ("a.jpg", None)
    ]


def test_a_folder_under_another_name_is_the_same(nights: Nights) -> None:
    nights.load({"a.jpg": RED, "b.jpg": BLUE}, "a", source="old")
    nights.load({"a.jpg": RED}, source="new")
    assert nights.products() == [("new", "a", 0, 1, True)]
    assert ask(nights.db, "select distinct source from seen_photos") == [("new",)]


def test_what_only_an_older_run_has_is_gone(nights: Nights, tmp_path: Path) -> None:
    nights.load({"a.jpg": RED, "b.jpg": BLUE})
    old = Named((tmp_path / "tags.parquet").rename(tmp_path / "old.parquet"))
    new = Catalog(["cape"], {"a.jpg": []}, contents={"a.jpg": RED}, run_id="2",
                  tagged_at=datetime(2026, 4, 1).astimezone())  # fmt: skip
    load([old, Named(new.write(tmp_path / "new.parquet"))], nights.db)
    nights.times.append(ask(nights.db, "select max(loaded_at) from runs")[0][0])
    assert nights.photos() == [("red", "a.jpg", 0, 1, True), ("blue", "b.jpg", 0, 0, False)]


def test_a_catalogue_of_the_release_before_was_seen_when_it_was_loaded(nights: Nights) -> None:
    nights.load({"a.jpg": RED, "b.jpg": BLUE}, "ab")
    as_version_2(nights.db, [(RED, "cape", True, "a.jpg")])
    nights.load({"a.jpg": RED})
    assert nights.photos() == [("blue", "b.jpg", 0, 0, False), ("red", "a.jpg", 0, 1, True)][::-1]
    assert [row[1:] for row in nights.products()] == [("a", 0, 1, True), ("b", 0, 1, True)]


def test_a_load_that_was_overtaken_is_refused_also_fresh(
    nights: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.load({"a.jpg": RED})
    other = Catalog(["cape"], {"b.jpg": []}, contents={"b.jpg": BLUE}).write(tmp_path / "b.parquet")
    command = ["load", str(other), "--db", str(nights.db)]
    whole = warehouse.make_items

    def overtaken(connection: duckdb.DuckDBPyConnection) -> None:
        whole(connection)
        subprocess.run([sys.executable, "-m", "fftag", *command], check=True)

    monkeypatch.setattr(warehouse, "make_items", overtaken)
    with pytest.raises(FftagError, match="load once more"):
        nights.load({"c.jpg": GREEN}, options=LoadOptions(fresh=True))
    found = ask(nights.db, "select image, is_there from seen_photos order by image")
    assert found == [("a.jpg", False), ("b.jpg", True)]
