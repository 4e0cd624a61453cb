"""Draws a little fashion retailer: a catalogue with planted facts, and photos to train on.

python examples/make_catalogue.py --out demo --photos 3000 --seed 7
"""

import argparse
import csv
import json
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from retailer import facts, production
from retailer.plan import Product
from retailer.production import Truth

from fftag.base.progress import progress, say

LEAST_PHOTOS = 60
TRUTH_SCHEMA = pa.schema(
    [
        pa.field("folder", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("sku", pa.string()),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field(
            "boxes",
            pa.list_(
                pa.struct(
                    [("label", pa.string())]
                    + [(side, pa.int32()) for side in ("left", "top", "right", "bottom")]
                )
            ),
            nullable=False,
        ),
        pa.field("kind", pa.string()),
        pa.field("defect", pa.string()),
    ]
)


def make_catalogue(
    out: Path, photos: int = 3000, seed: int = 7, workers: int = 1, scale: float = 1.0
) -> None:
    """Writes the whole example below `out`, which must be empty or not exist.

    Args:
        out: gets `catalogue/`, `train/`, `train.csv`, `products.csv`, `truth.parquet` and
            `facts.json`.
        photos: catalogue and training photos together; damaged files and copies come on top.
        seed: the same seed gives the same bytes, with any number of workers.
        workers: processes that draw.
        scale: what photo sizes are multiplied with.

    Raises:
        ValueError: `photos` is too small, or `out` has files in it.
    """
    if photos < LEAST_PHOTOS:
        raise ValueError(f"{photos} photos are too few for a catalogue: ask for {LEAST_PHOTOS}")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: name another folder, or remove it first")
    out.mkdir(parents=True, exist_ok=True)
    products, training = production.plan_all(photos, seed, scale)
    truths = []
    with progress(production.count_files(products, training), "drawing", "photo") as bar:
        for truth in production.produce(products, training, out, workers, seed):
            truths.append(truth)
            bar.update(1)
    _write_products(out / "products.csv", products)
    _write_training(out / "train.csv", truths)
    _write_truth(out / "truth.parquet", truths)
    measured = facts.measure(_listings(products, truths), production.count_defects(truths))
    text = json.dumps({"seed": seed, "photos": photos} | measured, indent=2) + "\n"
    (out / "facts.json").write_text(text, encoding="utf-8")


def _listings(products: Sequence[Product], truths: Sequence[Truth]) -> list[facts.Listing]:
    seen: dict[str | None, set[str]] = defaultdict(set)
    for truth in truths:
        seen[truth.sku].update(truth.labels)
    return [
        facts.Listing(facts.month_of(made.listed_at), made.brand, frozenset(seen[made.sku]))
        for made in products
    ]


def _write_products(path: Path, products: Sequence[Product]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sku", "brand", "category", "price", "currency", "listed_at"])
        for made in products:
            row = [made.sku, made.brand, made.category, f"{made.price:.2f}"]
            writer.writerow([*row, "EUR", made.listed_at.isoformat()])


def _write_training(path: Path, truths: Sequence[Truth]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "labels", "source"])
        for truth in truths:
            if truth.folder == "train":
                writer.writerow([f"train/{truth.image}", "|".join(truth.labels), "example"])


def _write_truth(path: Path, truths: Sequence[Truth]) -> None:
    rows = [
        {
            "folder": truth.folder,
            "image": truth.image,
            "sku": truth.sku,
            "labels": truth.labels,
            "boxes": [box._asdict() for box in truth.boxes],
            "kind": truth.kind,
            "defect": truth.defect,
        }
        for truth in truths
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA), path, compression="zstd")


def main() -> int:
    """Reads the command line and makes the catalogue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    parser.add_argument("--photos", type=int, default=3000, help="how many photos (3000)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed, the same bytes (7)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies photo sizes (1.0)")
    chosen = parser.parse_args()
    try:
        make_catalogue(chosen.out, chosen.photos, chosen.seed, chosen.workers, chosen.scale)
    except ValueError as error:
        say(f"error: {error}")
        return 1
    say(f"{chosen.photos} photos in {chosen.out}; what the reports must find: facts.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
