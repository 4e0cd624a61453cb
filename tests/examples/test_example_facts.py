"""What was planted in the example catalogue, the reports find by value when no tag is wrong.

The example is planned and written as ever, but every photo is a few pixels: the tags are the truth.
"""

import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from catalogues import Catalog
from PIL import Image

from fftag.catalogue.load import load
from fftag.models.labels import load_taxonomy
from fftag.reports.ask import run_report

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from make_catalogue import make_catalogue
from retailer import Box, production
from retailer import facts as planted

PHOTOS = 3000
STATUS = {"corrupt": "unreadable", "truncated": "truncated", "not_an_image": "unsupported"}


def a_few_pixels(rng: np.random.Generator, look, size) -> tuple[Image.Image, list[Box]]:
    """In place of a drawing: noise, and every label that would be drawn."""
    del size
    noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise), [Box(label, 0, 0, 8, 8) for label in sorted(look.labels)]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("facts") / "example"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(production, "shoot", a_few_pixels)
        make_catalogue(out, photos=PHOTOS, seed=7)
    return out


@pytest.fixture(scope="module")
def facts(example: Path) -> dict:
    return json.loads((example / "facts.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def truth(example: Path) -> list[dict]:
    rows = pq.read_table(example / "truth.parquet").to_pylist()
    return [row for row in rows if row["folder"] == "catalogue"]


@pytest.fixture(scope="module")
def products(example: Path) -> pd.DataFrame:
    return pd.read_csv(example / "products.csv").set_index("sku")


@pytest.fixture(scope="module")
def db(example: Path, truth: list[dict]) -> Path:
    taxonomy = load_taxonomy("fashionpedia")
    tags = Catalog(
        taxonomy.names,
        {row["image"]: STATUS.get(row["defect"], row["labels"]) for row in truth},
        taxonomy.groups,
        contents={
            row["image"]: hashlib.sha256(
                (example / "catalogue" / row["image"]).read_bytes()
            ).hexdigest()
            for row in truth
        },
    ).write(example / "tags.parquet")
    load(tags, example / "catalog.duckdb", example / "products.csv")
    return example / "catalog.duckdb"


def rows(db: Path, name: str, **given: str) -> pd.DataFrame:
    return run_report(db, name, given).table


def test_trend_finds_what_rises_and_what_falls(db: Path, facts: dict) -> None:
    table = rows(db, "trend").set_index("label")
    assert set(table.index[:2]) == {fact["label"] for fact in facts["rising"]}
    assert set(table.index[-2:]) == {fact["label"] for fact in facts["falling"]}
    for direction in ("rising", "falling"):
        for fact in facts[direction]:
            row = table.loc[fact["label"]]
            assert row["verdict"] == direction and row["steady"]
            assert row["share_first"] == pytest.approx(fact["share_first_6_months"], abs=1e-4)
            assert row["share_last"] == pytest.approx(fact["share_last_6_months"], abs=1e-4)
    # Nothing else is called so, but what comes with a planted label and is named as such.
    called = set(table.index[table["verdict"].notna()])
    assert called - {fact["label"] for fact in facts["rising"] + facts["falling"]} <= set(
        facts["side_effects"]
    )


def test_changed_finds_them_between_two_half_years(db: Path, facts: dict) -> None:
    table = rows(
        db, "changed", first_from="2024-08-01", first_to="2025-01-31",
        last_from="2026-02-01", last_to="2026-07-31",
    ).set_index("label")  # fmt: skip
    for direction, verdict in (("rising", "more"), ("falling", "less")):
        for fact in facts[direction]:
            row = table.loc[fact["label"]]
            change = fact["share_last_6_months"] - fact["share_first_6_months"]
            assert row["verdict"] == verdict
            assert row["change"] == pytest.approx(change, abs=2e-4)


def test_newness_tells_what_rises_from_what_falls(db: Path, facts: dict) -> None:
    share_new = rows(db, "newness").set_index("label")["share_new"]
    rising = share_new[[fact["label"] for fact in facts["rising"]]]
    falling = share_new[[fact["label"] for fact in facts["falling"]]]
    assert rising.min() > share_new.median() > falling.max()


def test_seasonality_finds_coats_in_winter_and_shorts_in_summer(db: Path, facts: dict) -> None:
    table = rows(db, "seasonality").set_index("label")
    seasonal = set(table.index[table["verdict"] == "seasonal"])
    planted_labels = {fact["label"] for fact in facts["seasonal"]}
    assert planted_labels <= seasonal <= planted_labels | set(facts["side_effects"])
    for fact in facts["seasonal"]:
        row = table.loc[fact["label"]]
        names = [f"{pd.Timestamp(2001, month, 1):%b}" for month in fact["peak_months"]]
        assert set(row["peak"].split(" to ")) <= set(names)
        assert row["years_above"] == row["years"] == 2
        assert row["low"] > 0.03


def test_monthly_has_the_shares_of_the_seasons(db: Path, facts: dict) -> None:
    table = rows(db, "monthly")
    for fact in facts["seasonal"]:
        one = table[table["label"] == fact["label"]]
        inside = one["month"].dt.month.isin(fact["peak_months"])
        assert len(one) == planted.MONTHS
        for months, share in ((inside, "share_in_peak"), (~inside, "share_elsewhere")):
            found = one[months]["items"].sum() / one[months]["of_items"].sum()
            assert found == pytest.approx(fact[share], abs=1e-4)


def test_pairs_finds_the_pair_and_its_lift(db: Path, facts: dict) -> None:
    first = rows(db, "pairs").iloc[0]
    assert {first["label_a"], first["label_b"]} == set(facts["pair"]["labels"])
    assert first["lift"] == pytest.approx(facts["pair"]["lift"], abs=1e-3)
    assert first["share"] == pytest.approx(facts["pair"]["share_together"], abs=1e-4)
    assert first["low"] > 4


def test_brands_finds_the_brand_that_is_strong_in_hats(db: Path, facts: dict) -> None:
    table = rows(db, "brands")
    first = table.iloc[0]
    assert (first["brand"], first["label"]) == (facts["brand"]["brand"], facts["brand"]["label"])
    assert first["verdict"] == "strong" and first["low"] > 4
    assert first["share"] == pytest.approx(facts["brand"]["share"], abs=1e-4)
    assert first["others"] == pytest.approx(facts["brand"]["share_of_others"], abs=1e-4)
    assert (table["verdict"] == "strong").sum() == 1


def test_gaps_finds_hats_on_either_side(db: Path, facts: dict) -> None:
    strong, label = facts["brand"]["brand"], facts["brand"]["label"]
    own = rows(db, "gaps", ours=strong).set_index("label").loc[label]
    assert own["verdict"] == "lead"
    assert own["share_ours"] == pytest.approx(facts["brand"]["share"], abs=1e-4)
    assert own["share_theirs"] == pytest.approx(facts["brand"]["share_of_others"], abs=1e-4)
    for other in planted.BRANDS:
        if other != strong:
            table = rows(db, "gaps", ours=other, theirs=strong)
            assert (table["label"][0], table["verdict"][0]) == (label, "gap")


def test_duplicates_finds_every_copy(db: Path, facts: dict, truth: list[dict]) -> None:
    table = rows(db, "duplicates")
    assert (table["files"] - 1).sum() == facts["defects"]["duplicate"]
    copies = {row["sku"] for row in truth if row["defect"] == "duplicate"}
    named = {sku for items in table["items"] for sku in items.split(", ")}
    assert copies <= named


def test_failures_coverage_and_health_count_the_damaged_files(
    db: Path, facts: dict, truth: list[dict], products: pd.DataFrame
) -> None:
    counts = {STATUS[name]: facts["defects"][name] for name in STATUS}
    failures = rows(db, "failures").set_index("status")
    assert failures["files"].to_dict() == counts
    assert (failures["of_files"] == len(truth)).all()
    coverage = rows(db, "coverage").iloc[0]
    assert coverage["failed"] == sum(counts.values())
    assert coverage["photos_counted"] == len(truth) - sum(counts.values())
    assert coverage["products"] == coverage["products_with_photo"] == facts["products"]
    assert len(products) == facts["products"]
    health = rows(db, "health").set_index("check")
    assert health.loc["files that could not be read", "count"] == sum(counts.values())
    shared = rows(db, "duplicates")["files"].sum()
    assert health.loc["photos under several products", "count"] == shared
    assert health.loc["photos of no product", "count"] == 0


def test_prices_finds_that_coats_are_dear(
    db: Path, truth: list[dict], products: pd.DataFrame
) -> None:
    seen = defaultdict(set)
    for row in truth:
        seen[row["sku"]].update(row["labels"])
    table = rows(db, "prices").set_index("label")
    for label in ("coat", "shorts"):
        of_label = [sku for sku, labels in seen.items() if sku and label in labels]
        assert table.loc[label, "median"] == pytest.approx(products.loc[of_label, "price"].median())
    assert table.loc["coat", "ratio"] > 2 > table.loc["shorts", "ratio"]


def test_category_finds_products_that_are_put_elsewhere(
    db: Path, example: Path, products: pd.DataFrame, tmp_path: Path
) -> None:
    assert rows(db, "category").empty  # as it is made, no photo denies its category
    moved = products[products["category"] == "coat"].index[:10]
    products = products.copy()
    products.loc[moved, "category"] = "jumpsuit"
    products.to_csv(tmp_path / "products.csv")
    load(example / "tags.parquet", tmp_path / "c.duckdb", tmp_path / "products.csv")
    table = rows(tmp_path / "c.duckdb", "category")
    assert (table["category"] == "jumpsuit").all()
    row = table.iloc[0]
    assert (row["category"], row["photos_say"], row["items"]) == ("jumpsuit", "coat", 10)
    assert row["example"] == moved[0]
