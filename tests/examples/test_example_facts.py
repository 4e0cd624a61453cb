"""What was planted in the example catalogue, the reports find by value when no tag is wrong.

The example is planned and written as ever, but every photo is a few pixels: the tags are the truth.
What is to be found is counted here, in the tables of truth and of products.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from catalogues import Catalog
from PIL import Image

from fftag.catalogue.load import load
from fftag.models.labels import load_taxonomy
from fftag.reports.ask import run_report

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from make_catalogue import make_catalogue
from retailer import drawing
from retailer.looks import Look

STATUS = {"corrupt": "unreadable", "truncated": "truncated", "not_an_image": "unsupported"}
# Label -> verdict, share of the products listed in the first six months, and in the last, worked
# out by hand: 3 to 23, 26 to 3 and 27 to 7 % in 24 months; of bags 3 %, which are bags themselves,
# and 6 to 36 % of the other 97 %.
TRENDS = {
    "bag, wallet": ("rising", 0.120, 0.348),
    "jumpsuit": ("rising", 0.052, 0.208),
    "umbrella": ("falling", 0.235, 0.055),
    "dress": ("falling", 0.248, 0.092),
}
SEASONS = {"coat": {"Dec", "Jan", "Feb", "Mar"}, "shorts": {"Jun", "Jul", "Aug", "Sep"}}
PAIR = ["skirt", "tights, stockings"]
BRAND, HAT = "Osier Lane", "hat"


def a_few_pixels(
    rng: np.random.Generator, look: Look, size: tuple[int, int]
) -> tuple[Image.Image, list[drawing.Box]]:
    """In place of a drawing: noise, and every label that would be drawn."""
    del size
    noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    boxes = [drawing.Box(label, 0, 0, 8, 8) for label in sorted(look.labels)]
    return Image.fromarray(noise), boxes


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("facts") / "example"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "shoot", a_few_pixels)
        make_catalogue(out, photos=3000, seed=7)
    return out


@pytest.fixture(scope="module")
def facts(example: Path) -> dict:
    return json.loads((example / "facts.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def truth(example: Path) -> pd.DataFrame:
    rows = pd.read_parquet(example / "truth.parquet")
    return rows[rows["folder"] == "catalogue"]


@pytest.fixture(scope="module")
def products(example: Path, truth: pd.DataFrame) -> pd.DataFrame:
    """The feed by sku, with the labels that the photos truly show."""
    feed = pd.read_csv(example / "products.csv", parse_dates=["listed_at"]).set_index("sku")
    shown = truth.groupby("sku")["labels"].agg(
        lambda rows: {label for row in rows for label in row}
    )
    return feed.assign(labels=shown)


@pytest.fixture(scope="module")
def db(example: Path, truth: pd.DataFrame) -> Path:
    taxonomy = load_taxonomy("fashionpedia")
    tags = Catalog(
        taxonomy.names,
        {row.image: STATUS.get(row.defect, list(row.labels)) for row in truth.itertuples()},
        taxonomy.groups,
        contents={
            image: hashlib.sha256((example / "catalogue" / image).read_bytes()).hexdigest()
            for image in truth["image"]
        },
    ).write(example / "tags.parquet")
    load(tags, example / "catalog.duckdb", example / "products.csv")
    return example / "catalog.duckdb"


def rows(db: Path, name: str, **given: str) -> pd.DataFrame:
    return run_report(db, name, given).table


def share(products: pd.DataFrame, *labels: str) -> float:
    return products["labels"].map(lambda shown: {*labels} <= shown).mean()


def ends(products: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The products of the first and of the last six months."""
    listed = products["listed_at"]
    return products[listed < "2025-02-01"], products[listed >= "2026-02-01"]


def in_peak(products: pd.DataFrame, label: str) -> pd.Series:
    return products["listed_at"].dt.strftime("%b").isin(SEASONS[label])


def test_the_facts_file_tells_what_the_truth_holds(facts: dict, products: pd.DataFrame) -> None:
    assert facts["products"] == len(products) == 1333
    first, last = ends(products)
    told = {fact["label"]: fact for fact in facts["rising"] + facts["falling"]}
    assert told.keys() == TRENDS.keys()
    for label, fact in told.items():
        assert fact["share_first_6_months"] == pytest.approx(share(first, label), abs=1e-4)
        assert fact["share_last_6_months"] == pytest.approx(share(last, label), abs=1e-4)
        assert share(first, label) == pytest.approx(TRENDS[label][1], abs=0.01)
        assert share(last, label) == pytest.approx(TRENDS[label][2], abs=0.01)
    for fact in facts["seasonal"]:
        peak = in_peak(products, fact["label"])
        inside, outside = (
            share(products[peak], fact["label"]),
            share(products[~peak], fact["label"]),
        )
        assert fact["share_in_peak"] == pytest.approx(inside, abs=1e-4)
        assert fact["share_elsewhere"] == pytest.approx(outside, abs=1e-4)
        assert 2 * outside < inside == pytest.approx(0.14, abs=0.005)
    together, own = share(products, *PAIR), products[products["brand"] == BRAND]
    assert facts["pair"]["share_together"] == pytest.approx(together, abs=1e-4)
    lift = together / share(products, PAIR[0]) / share(products, PAIR[1])
    assert facts["pair"]["lift"] == pytest.approx(lift, abs=1e-3) == pytest.approx(6.724, abs=1e-3)
    assert facts["brand"]["share"] == pytest.approx(share(own, HAT), abs=1e-4)
    assert share(own, HAT) == pytest.approx(0.5629, abs=1e-4)


def test_trend_finds_what_rises_and_what_falls(
    db: Path, facts: dict, products: pd.DataFrame
) -> None:
    table = rows(db, "trend").set_index("label")
    first, last = ends(products)
    assert set(table.index[:2]) == {"bag, wallet", "jumpsuit"}
    assert set(table.index[-2:]) == {"umbrella", "dress"}
    for label, (verdict, *_) in TRENDS.items():
        row = table.loc[label]
        assert row["verdict"] == verdict and row["steady"]
        assert row["share_first"] == pytest.approx(share(first, label))
        assert row["share_last"] == pytest.approx(share(last, label))
    # Nothing else is called so, but what comes with a planted label and is named as such.
    called = set(table.index[table["verdict"].notna()])
    assert called - TRENDS.keys() <= set(facts["side_effects"])
    others = table.drop(index=[*TRENDS])
    assert (others["share_last"] - others["share_first"]).abs().max() < 0.1


def test_changed_finds_them_between_two_half_years(db: Path, products: pd.DataFrame) -> None:
    table = rows(
        db, "changed", first_from="2024-08-01", first_to="2025-01-31",
        last_from="2026-02-01", last_to="2026-07-31",
    ).set_index("label")  # fmt: skip
    first, last = ends(products)
    for label, (verdict, *_) in TRENDS.items():
        assert table.loc[label, "verdict"] == {"rising": "more", "falling": "less"}[verdict]
        change = share(last, label) - share(first, label)
        assert table.loc[label, "change"] == pytest.approx(change)


def test_newness_tells_what_rises_from_what_falls(db: Path) -> None:
    share_new = rows(db, "newness").set_index("label")["share_new"]
    rising, falling = share_new[["bag, wallet", "jumpsuit"]], share_new[["umbrella", "dress"]]
    assert rising.min() > share_new.median() > falling.max()


def test_seasonality_finds_coats_in_winter_and_shorts_in_summer(db: Path, facts: dict) -> None:
    table = rows(db, "seasonality").set_index("label")
    seasonal = set(table.index[table["verdict"] == "seasonal"])
    assert set(SEASONS) <= seasonal <= set(SEASONS) | set(facts["side_effects"])
    for label, months in SEASONS.items():
        row = table.loc[label]
        assert set(row["peak"].split(" to ")) <= months
        assert row["years_above"] == row["years"] == 2
        assert row["low"] > 0.03


def test_monthly_has_the_shares_of_the_seasons(db: Path, products: pd.DataFrame) -> None:
    table = rows(db, "monthly")
    for label, months in SEASONS.items():
        one = table[table["label"] == label]
        assert len(one) == 24
        inside, peak = one["month"].dt.strftime("%b").isin(months), in_peak(products, label)
        for found, listed in ((one[inside], products[peak]), (one[~inside], products[~peak])):
            expected = share(listed, label)
            assert found["items"].sum() / found["of_items"].sum() == pytest.approx(expected)


def test_pairs_finds_the_pair_and_its_lift(db: Path, products: pd.DataFrame) -> None:
    first = rows(db, "pairs").iloc[0]
    assert [first["label_a"], first["label_b"]] == PAIR
    together = share(products, *PAIR)
    assert first["share"] == pytest.approx(together)
    lift = together / share(products, PAIR[0]) / share(products, PAIR[1])
    assert first["lift"] == pytest.approx(lift)
    assert first["low"] > 4


def test_brands_finds_the_brand_that_is_strong_in_hats(db: Path, products: pd.DataFrame) -> None:
    table = rows(db, "brands")
    first, own = table.iloc[0], products["brand"] == BRAND
    assert (first["brand"], first["label"]) == (BRAND, HAT)
    assert first["verdict"] == "strong" and first["low"] > 4
    assert first["share"] == pytest.approx(share(products[own], HAT))
    assert first["others"] == pytest.approx(share(products[~own], HAT))
    assert (table["verdict"] == "strong").sum() == 1


def test_gaps_finds_hats_on_either_side(db: Path, products: pd.DataFrame) -> None:
    own = rows(db, "gaps", ours=BRAND).set_index("label").loc[HAT]
    mine = products["brand"] == BRAND
    assert own["verdict"] == "lead"
    assert own["share_ours"] == pytest.approx(share(products[mine], HAT))
    assert own["share_theirs"] == pytest.approx(share(products[~mine], HAT))
    brands = set(products["brand"])
    assert len(brands) == 8
    for other in brands - {BRAND}:
        table = rows(db, "gaps", ours=other, theirs=BRAND)
        assert (table["label"][0], table["verdict"][0]) == (HAT, "gap")


def test_duplicates_finds_every_copy(db: Path, truth: pd.DataFrame) -> None:
    table = rows(db, "duplicates")
    copies = truth[truth["defect"] == "duplicate"]
    assert (table["files"] - 1).sum() == len(copies) == 12
    assert set(copies["sku"]) <= {sku for items in table["items"] for sku in items.split(", ")}


def test_failures_coverage_and_health_count_the_damaged_files(
    db: Path, truth: pd.DataFrame, products: pd.DataFrame
) -> None:
    counts = {"unreadable": 6, "truncated": 5, "unsupported": 3}
    failures = rows(db, "failures").set_index("status")
    assert failures["files"].to_dict() == counts
    assert (failures["of_files"] == len(truth)).all()
    coverage = rows(db, "coverage").iloc[0]
    assert coverage["failed"] == sum(counts.values())
    assert coverage["photos_counted"] == len(truth) - sum(counts.values())
    assert coverage["products"] == coverage["products_with_photo"] == len(products)
    health = rows(db, "health").set_index("check")
    assert health.loc["files that could not be read", "count"] == sum(counts.values())
    shared = rows(db, "duplicates")["files"].sum()
    assert health.loc["photos under several products", "count"] == shared
    assert health.loc["photos of no product", "count"] == 0


def test_prices_finds_that_coats_are_dear(db: Path, products: pd.DataFrame) -> None:
    table = rows(db, "prices").set_index("label")
    for label in ("coat", "shorts"):
        prices = products[products["labels"].map(lambda shown, label=label: label in shown)][
            "price"
        ]
        assert table.loc[label, "median"] == pytest.approx(prices.median())
    assert table.loc["coat", "ratio"] > 2 > table.loc["shorts", "ratio"]


def test_category_finds_products_that_are_put_elsewhere(
    db: Path, example: Path, tmp_path: Path
) -> None:
    assert rows(db, "category").empty  # as it is made, no photo denies its category
    feed = pd.read_csv(example / "products.csv").set_index("sku")
    moved = feed[feed["category"] == "coat"].index[:10]
    feed.loc[moved, "category"] = "jumpsuit"
    feed.to_csv(tmp_path / "products.csv")
    load(example / "tags.parquet", tmp_path / "c.duckdb", tmp_path / "products.csv")
    table = rows(tmp_path / "c.duckdb", "category")
    assert (table["category"] == "jumpsuit").all()
    row = table.iloc[0]
    assert (row["category"], row["photos_say"], row["items"]) == ("jumpsuit", "coat", 10)
    assert row["example"] == moved[0]
