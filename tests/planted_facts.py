"""A catalogue in which every report has something to find, and what that is."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from catalog_maker import Catalog, write_feed

from fftag.load_options import Named
from fftag.warehouse import load

LABELS = ["dress", "pants", "cape", "hat", "scarf", "belt", "shirt", "tie", "collar"]
GROUPS = [*["wholebody", "lowerbody", "wholebody", "head", "neck", "waist"], "upperbody", "neck"]
GROUPS += ["garment parts"]
BRANDS = {"Acme": 0.6, "Brio": 0.3, "Cora": 0.1}
CATEGORIES = {"dress": "dresses", "pants": "trousers", "shirt": "shirts"}
FIRST = date(2024, 1, 1)
MONTHS = 24
PER_MONTH = 80
SENSITIVITY, SPECIFICITY = 0.8, 0.95
VALIDATED = 200


def truth(seed: int = 11) -> pd.DataFrame:
    """One row per product: sku, brand, category, price, listed_at, labels.

    Planted: scarves double from year to year's end (rising), hats are worn from June to August
    (season), capes cost twice as much, Brio is strong in capes, Acme (the largest) has hardly any
    belts, shirts go with ties, one dress in twenty stands under trousers, and some products lack
    their category.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for month in range(MONTHS):
        for number in range(PER_MONTH):
            brand = str(rng.choice(list(BRANDS), p=list(BRANDS.values())))
            main = str(rng.choice(["dress", "pants", "shirt"], p=[0.4, 0.35, 0.25]))
            shares = {
                "cape": 0.4 if brand == "Brio" else 0.1,
                "hat": 0.3 if month % 12 in (5, 6, 7) else 0.08,
                "scarf": 0.1 + 0.3 * month / (MONTHS - 1),
                "belt": 0.02 if brand == "Acme" else 0.25,
                "tie": 0.5 if main == "shirt" else 0.05,
            }
            labels = {main} | {name for name, share in shares.items() if rng.random() < share}
            category: str | None = CATEGORIES[main]
            if main == "dress" and rng.random() < 0.05:
                category = "trousers"
            if rng.random() < 0.03:
                category = None
            price = rng.lognormal(3.5, 0.3) * (2 if "cape" in labels else 1)
            first = (pd.Timestamp(FIRST) + pd.DateOffset(months=month)).date()
            rows.append(
                {
                    "sku": f"P-{month:02d}{number:03d}",
                    "brand": brand,
                    "category": category,
                    "price": round(float(price), 2),
                    "currency": "EUR",
                    "listed_at": first + timedelta(days=int(rng.integers(0, 28))),
                    "labels": labels | ({"collar"} if main == "shirt" else set()),
                }
            )
    return pd.DataFrame(rows)


def seen(labels: set[str], rng: np.random.Generator) -> list[str]:
    """What a model of known sensitivity and specificity says of a photo."""
    odds = [SENSITIVITY if name in labels else 1 - SPECIFICITY for name in LABELS]
    return [name for name, share in zip(LABELS, odds, strict=True) if rng.random() < share]


def catalogue(folder: Path, products: pd.DataFrame, errors: bool = False) -> Path:
    """Loads one photo per product, as a perfect model or as one with errors sees it.

    Two products share a photo, three files fail, and an older run by another model, which calls
    every tenth dress pants, stands beside.
    """
    rng = np.random.default_rng(1)
    photos: dict[str, list[str] | str] = {}
    before: dict[str, list[str] | str] = {}
    for number, row in enumerate(products.itertuples()):
        name = f"shop/{row.sku}.jpg"
        photos[name] = seen(row.labels, rng) if errors else sorted(row.labels)
        old = set(photos[name])
        if "dress" in old and number % 10 == 0:
            old = (old - {"dress"}) | {"pants"}
        before[name] = sorted(old)
    photos |= {"shop/bad1.jpg": "truncated", "shop/bad2.jpg": "truncated", "x.txt": "unsupported"}
    contents = {name: f"{number:064x}" for number, name in enumerate(photos)}
    first, second = list(photos)[:2]
    contents[second] = contents[first]
    counts = {
        "tp": round(VALIDATED * SENSITIVITY),
        "fn": round(VALIDATED * (1 - SENSITIVITY)),
        "tn": round(VALIDATED * SPECIFICITY),
        "fp": round(VALIDATED * (1 - SPECIFICITY)),
    }
    validation = [counts] * len(LABELS) if errors else None
    made = Catalog(LABELS, photos, GROUPS, validation=validation, contents=contents)
    old_made = Catalog(
        LABELS,
        before,
        GROUPS,
        run_id="run-0",
        model_id="cd" * 32,
        tagged_at=datetime(2026, 2, 1, tzinfo=UTC),
        contents=contents,
    )
    db = folder / "catalog.duckdb"
    load(
        [Named(made.write(folder / "tags.parquet")), Named(old_made.write(folder / "old.parquet"))],
        db,
        write_feed(folder / "feed.csv", products.drop(columns="labels").to_dict("records")),
    )
    return db
