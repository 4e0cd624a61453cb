"""The one maker of catalogues for tests: photos, a model, tags files, feeds, loaded databases.

Photos have bands of colour, a label each, so that a small network learns them in seconds. A tags
file is written as `fftag tag` would, but for what was seen, which the test says. Three catalogues
have facts in them that a test can look for: `planted` (trends), `catalogue` (all that reports
find, with a model's errors if asked for) and `make_shop` (labels that bite).
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from fftag.catalogue.database import corrections_file
from fftag.catalogue.load import load
from fftag.catalogue.options import Named
from fftag.data.manifest import make_manifest, write_manifest
from fftag.models.architectures import factory
from fftag.models.folder import Bundle, ModelConfig, save_bundle
from fftag.models.labels import LabelSet
from fftag.photos.decode import Failure, InputSpec
from fftag.photos.record import PhotoRecord
from fftag.tagging.publish import decided
from fftag.tagging.scored_rows import rows
from fftag.tagging.tags_file import WRITTEN, RunInfo, described, tags_schema

COLOURS = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (40, 60, 200)}
GROUPS = {"red": "warm", "green": "cool", "blue": "cool"}
SPEC = InputSpec(32, 24)
BANDS = LabelSet.of(COLOURS, GROUPS.values())


def save_bands(
    path: Path, names: list[str], seed: int = 0, size: tuple[int, int] = (60, 80)
) -> None:
    """A noisy grey photo with one band of colour per label: learnable, and unlike any other."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 160, (size[1], size[0], 3), dtype=np.uint8)
    height = size[1] // len(COLOURS)
    for band, (name, colour) in enumerate(COLOURS.items()):
        if name in names:
            noise = rng.integers(-30, 30, (height, size[0], 3))
            pixels[band * height : (band + 1) * height] = np.clip(noise + colour, 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)


def untrained_model(folder: Path) -> Bundle:
    """A deterministic model of the bands that has learned nothing."""
    torch.manual_seed(1)
    network = factory.build("cnn", len(BANDS), SPEC)
    config = ModelConfig(
        architecture="cnn",
        labels=BANDS,
        thresholds=(0.5, 0.5, 0.5),
        input=SPEC,
        prevalence=(0.5, 0.5, 0.5),
        validation=({"tp": 8, "fp": 2, "fn": 4, "tn": 6},) * 3,
        recipe={},
        data_fingerprint="0" * 64,
        versions={"fftag": "0"},
    )
    return save_bundle(folder, config, network.state_dict())


def bands_of(number: int) -> list[str]:
    """The labels of a photo by its number: all eight combinations in turn."""
    return [name for bit, name in enumerate(COLOURS) if number >> bit & 1]


def photo_folder(root: Path, count: int) -> Path:
    """Makes a folder of so many photos in sub-folders; returns it."""
    for number in range(count):
        image = root / f"season-{number % 3}" / f"FF-{number:04d}_1.jpg"
        save_bands(image, bands_of(number), number)
    return root


def mixed_folder(root: Path) -> Path:
    """Ten photos, and files that fail in several ways; names of every kind."""
    photo_folder(root, 10)
    photo = (root / "season-0/FF-0000_1.jpg").read_bytes()
    (root / "a").mkdir()
    (root / "a/cut.jpg").write_bytes(photo[: len(photo) // 2])
    (root / "a/empty.jpg").write_bytes(b"")
    (root / "a/text.jpg").write_bytes(b"no photo")
    (root / "a/header.jpg").write_bytes(photo[:3] + bytes(200) + photo[-2:])
    (root / "a/large.jpg").write_bytes(photo + bytes(100_000))
    (root / "back\\slash.jpg").write_bytes(photo)
    (root / os.fsdecode(b"caf\xe9.jpg")).write_bytes(photo)
    (root / os.fsdecode("é.jpg".encode())).write_bytes(photo)
    (root / "\U0001f457.jpg").write_bytes(photo)
    return root


def labelled_photos(root: Path) -> Path:
    """A manifest of 96 learnable photos: 64 to train, 16 each to validate and test."""
    images = [f"photos/{number:03d}.jpg" for number in range(96)]
    labels = [bands_of(number) for number in range(96)]
    for number, image in enumerate(images):
        save_bands(root / image, labels[number], number)
    splits = ["train"] * 64 + ["val"] * 16 + ["test"] * 16
    path = root / "bands.parquet"
    write_manifest(make_manifest(images, labels, BANDS, root, splits), path)
    return path


TAGGED_AT = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
MODIFIED_AT = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


@dataclass
class Catalog:
    """Photos and what was seen on them.

    Attributes:
        labels: the label set.
        groups: of the labels.
        photos: path -> labels seen, or the code of a failure.
        no_apparel: paths that the screen turns down; None for a model without a screen.
        validation: counts of each label.
        settings: of the run.
        run_id, model_id, source, tagged_at: of the run.
        taken: path -> when it was taken.
        contents: path -> digest; by default each has its own, by its path.
        scores: path -> scores, where they are to be other than 0.9 and 0.1.
    """

    labels: Sequence[str]
    photos: dict[str, Sequence[str] | str]
    groups: Sequence[str | None] | None = None
    no_apparel: Sequence[str] | None = None
    validation: Sequence[dict[str, int]] | None = None
    settings: dict[str, Any] = field(default_factory=lambda: {"precision": "fp32"})
    run_id: str = "run-1"
    model_id: str = "ab" * 32
    source: str = "photos"
    tagged_at: datetime = TAGGED_AT
    taken: dict[str, datetime] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Sequence[float]] = field(default_factory=dict)

    def run(self) -> RunInfo:
        return RunInfo(
            run_id=self.run_id,
            model_id=self.model_id,
            scores_id="0" * 64,
            fftag_version="0.1.0",
            source=self.source,
            **described(
                LabelSet.of(self.labels, self.groups), [0.5] * len(self.labels), self.validation
            ),
            settings=self.settings,
        )

    def write(self, path: Path) -> Path:
        """Writes the tags file; a label seen scores 0.9, another 0.1."""
        run, scores, photos, verdicts = self.run(), [], [], list[bool | None]()
        for image, seen in self.photos.items():
            failed = isinstance(seen, str)
            plain = [0.9 if not failed and name in seen else 0.1 for name in self.labels]
            scores.append(list(self.scores.get(image, plain)))
            photo = PhotoRecord(image, file_size=1234, modified_at=MODIFIED_AT)
            if isinstance(seen, str):
                photo.fail(Failure(seen, f"cannot read: {seen}"))
            else:
                photo.width, photo.height, photo.format = 60, 80, "JPEG"
                photo.taken_at = self.taken.get(image)
                photo.content_sha256 = self.contents.get(image, digest_of(image))
                photo.apparel_score = None if self.no_apparel is None else 0.75
            photos.append(photo)
            screened = photo.apparel_score is not None
            verdicts.append(image not in (self.no_apparel or ()) if screened else None)
        if photos:
            read_at = [self.tagged_at] * len(photos)
            table = decided(rows(photos, np.array(scores, np.float32), run, read_at), run)
            screened = {
                "apparel_score": [one.apparel_score for one in photos],
                "is_apparel": verdicts,
            }
            for name, values in screened.items():
                place = table.schema.get_field_index(name)
                kind = table.schema.field(place)
                table = table.set_column(place, kind, pa.array(values, kind.type))
        else:
            table = tags_schema(run).empty_table()
        pq.write_table(table, path, **WRITTEN)
        return path


def digest_of(image: str) -> str:
    """The content of a photo for which nothing else is said."""
    return hashlib.sha256(image.encode()).hexdigest()


def write_feed(path: Path, products: list[dict[str, Any]]) -> Path:
    """Writes a CSV feed."""
    pd.DataFrame(products).to_csv(path, index=False)
    return path


def with_metadata(source: Path, target: Path, **changes: object) -> Path:
    """A copy of a tags file whose metadata says something else."""
    table = pq.read_table(source)
    metadata = dict(table.schema.metadata or {})
    metadata.pop(b"fftag_sha256", None)
    run = json.loads(metadata[b"fftag"]) | changes
    pq.write_table(
        table.replace_schema_metadata({**metadata, b"fftag": json.dumps(run).encode()}), target
    )
    return target


def ask(db: Path, query: str) -> list[tuple[Any, ...]]:
    """The rows that a query finds in a catalogue."""
    connection = duckdb.connect(str(db), read_only=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def as_version_1(db: Path, corrections: list[tuple[str, str, str, bool]]) -> None:
    """Makes of a catalogue one that the release before wrote: corrections by path and source."""
    connection = duckdb.connect(str(db))
    connection.execute("alter table settings drop schema_version; alter table settings drop given")
    connection.execute("drop view translations; drop view orphaned_corrections; drop view basis")
    corrections_file(db).unlink(missing_ok=True)
    for table in ("label_names", "feeds", "product_photos", "reviewed", "corrections"):
        connection.execute(f"drop table {table} cascade")
    connection.execute(
        "create table corrections (image varchar not null, source varchar not null, "
        "label varchar not null, shown boolean not null, reviewed_at timestamp, reviewer varchar)"
    )
    connection.executemany(
        "insert into corrections values (?, ?, ?, ?, '2026-01-01', 'ada')", corrections
    )
    connection.close()


OF_VERSION_2 = """
update settings set schema_version = 2;
drop view offered_corrections;
drop view seen_photos;
drop view newest_runs;
drop table gone_photos;
drop table seen_products;
alter table images drop first_seen;
drop view orphaned_corrections;
drop view latest_corrections;
drop macro shown_group;
drop table corrections;
drop table reviewed;

create table corrections (
    content_sha256 varchar,
    label varchar not null,
    shown boolean not null,
    reviewed_at timestamp,
    reviewer varchar,
    image varchar not null,
    source varchar not null
);

create table reviewed (
    content_sha256 varchar not null,
    label varchar not null,
    shown boolean not null,
    image varchar not null,
    run_id varchar not null
);
"""


def as_version_2(db: Path, corrections: list[tuple[str | None, str, bool, str]]) -> None:
    """Makes of a catalogue one that the release before wrote, which held its corrections itself.

    Args:
        db: the catalogue.
        corrections: content, label, whether it is shown, image.
    """
    connection = duckdb.connect(str(db))
    connection.execute(OF_VERSION_2)
    connection.executemany(
        "insert into corrections values (?, ?, ?, '2026-01-01', 'ada', ?, 'photos')", corrections
    )
    connection.close()
    corrections_file(db).unlink(missing_ok=True)


MONTHS = pd.period_range("2024-01", "2025-12", freq="M")
GAP = "2024-09"
SHARES = {
    "wide trousers": (0.10, 0.40),
    "cape": (0.05, 0.15),
    "t-shirt": (0.30, 0.30),
    "skirt": (0.20, 0.20),
    "belt": (0.15, 0.15),
    "cardigan": (0.20, 0.10),
    "skinny jeans": (0.45, 0.12),
}
"""Label -> its share in the first month and in the last."""


def planted(folder: Path, per_month: int = 60, seed: int = 3) -> tuple[Path, Path, pd.DataFrame]:
    """A catalogue with planted trends: tags file, feed, and the truth (sku, month, labels).

    Each product has two photos; a label is seen on the first, or the second, or both. Nothing is
    listed in the month `GAP`.
    """
    rng = np.random.default_rng(seed)
    truth, photos = [], {}
    for number, month in enumerate(MONTHS):
        if str(month) == GAP:
            continue
        at = number / (len(MONTHS) - 1)
        for product in range(per_month):
            sku = f"FF-{number * per_month + product:06d}"
            seen = [name for name, (a, b) in SHARES.items() if rng.random() < a + (b - a) * at]
            first = [name for name in seen if rng.random() < 0.7]
            second = [name for name in seen if name not in first or rng.random() < 0.5]
            photos[f"{month}/{sku}_1.jpg"] = first
            photos[f"{month}/{sku}_2.jpg"] = second
            truth.append({"sku": sku, "month": str(month), "labels": seen})
    tags = Catalog(list(SHARES), photos).write(folder / "tags.parquet")
    products = [
        {
            "sku": one["sku"],
            "brand": "Acme",
            "price": 19.9,
            "currency": "EUR",
            "listed_at": f"{one['month']}-15",
        }
        for one in truth
    ]
    return tags, write_feed(folder / "products.csv", products), pd.DataFrame(truth)


FACT_LABELS = ["dress", "pants", "cape", "hat", "scarf", "belt", "shirt", "tie", "collar"]
FACT_GROUPS = [
    *["wholebody", "lowerbody", "wholebody", "head", "neck", "waist"],
    "upperbody",
    "neck",
]
FACT_GROUPS += ["garment parts"]
FACT_BRANDS = {"Acme": 0.6, "Brio": 0.3, "Cora": 0.1}
CATEGORY_OF = {"dress": "dresses", "pants": "trousers", "shirt": "shirts"}
FACT_START = date(2024, 1, 1)
FACT_MONTHS = 24
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
    for month in range(FACT_MONTHS):
        for number in range(PER_MONTH):
            brand = str(rng.choice(list(FACT_BRANDS), p=list(FACT_BRANDS.values())))
            main = str(rng.choice(["dress", "pants", "shirt"], p=[0.4, 0.35, 0.25]))
            shares = {
                "cape": 0.4 if brand == "Brio" else 0.1,
                "hat": 0.3 if month % 12 in (5, 6, 7) else 0.08,
                "scarf": 0.1 + 0.3 * month / (FACT_MONTHS - 1),
                "belt": 0.02 if brand == "Acme" else 0.25,
                "tie": 0.5 if main == "shirt" else 0.05,
            }
            labels = {main} | {name for name, share in shares.items() if rng.random() < share}
            category: str | None = CATEGORY_OF[main]
            if main == "dress" and rng.random() < 0.05:
                category = "trousers"
            if rng.random() < 0.03:
                category = None
            price = rng.lognormal(3.5, 0.3) * (2 if "cape" in labels else 1)
            first = (pd.Timestamp(FACT_START) + pd.DateOffset(months=month)).date()
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
    odds = [SENSITIVITY if name in labels else 1 - SPECIFICITY for name in FACT_LABELS]
    return [name for name, share in zip(FACT_LABELS, odds, strict=True) if rng.random() < share]


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
    validation = [counts] * len(FACT_LABELS) if errors else None
    made = Catalog(FACT_LABELS, photos, FACT_GROUPS, validation=validation, contents=contents)
    old_made = Catalog(
        FACT_LABELS,
        before,
        FACT_GROUPS,
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


SCRIPT = "<script>document.title='run'</script>"
ICONS = ":joy: :streamlit: :material/home: -> 1"
HOSTILE = [
    SCRIPT,
    '=cmd("x")',
    "قميص",
    "裙子",
    "👗",
    "**bold** :red[x] $a$ `b`",
    "o'neill \"; --",
    ICONS,
]
SHOP_LABELS = [*COLOURS, *HOSTILE]
SHOP_GROUPS = ["warm", "cool", "cool", *["other"] * len(HOSTILE)]
SHOP_BRANDS = ["Acme", "Brio & <b>Co</b>"]
SHOP_PHOTOS = 40
FAILED, NO_APPAREL = "rail/broken.jpg", "rail/FF-0007_1.jpg"


@dataclass(frozen=True)
class Shop:
    """Where its files lie.

    Attributes:
        photos: the folder of photos.
        tags: the tags file.
        feed: the products.
        db: the catalogue.
    """

    photos: Path
    tags: Path
    feed: Path
    db: Path

    def load(self) -> None:
        """What runs every night."""
        load(self.tags, self.db, self.feed)


def make_shop(folder: Path, count: int = SHOP_PHOTOS, run: str = "run-1") -> Shop:
    """Photos of coloured bands, with drawn scores; a product per photo; a failure; no apparel."""
    rng = np.random.default_rng(5)
    root = folder / "photos"
    seen: dict[str, list[str] | str] = {}
    scores, products = {}, []
    for number in range(count):
        image = f"rail/FF-{number:04d}_1.jpg"
        drawn = np.round(rng.random(len(SHOP_LABELS)) ** 2, 3)
        save_bands(root / image, [name for at, name in enumerate(COLOURS) if drawn[at] >= 0.5])
        seen[image] = [name for name, score in zip(SHOP_LABELS, drawn, strict=True) if score >= 0.5]
        scores[image] = drawn.tolist()
        products.append(
            {
                "sku": f"FF-{number:04d}",
                "brand": SHOP_BRANDS[number % 2],
                "category": "bands",
                "price": 10.0 + number,
                "currency": "EUR",
                "listed_at": f"2025-{1 + number % 6:02d}-15",
                "colour = x": "deep",
            }
        )
    (root / FAILED).write_bytes(b"no photo")
    seen[FAILED] = "unsupported"
    made = Catalog(
        SHOP_LABELS,
        seen,
        SHOP_GROUPS,
        no_apparel=[NO_APPAREL],
        validation=[{"tp": 80, "fp": 20, "fn": 20, "tn": 80}] * len(SHOP_LABELS),
        scores=scores,
        source=str(root),
        run_id=run,
        contents={image: f"{number:064x}" for number, image in enumerate(seen)},
    )
    shop = Shop(
        root,
        made.write(folder / "tags.parquet"),
        write_feed(folder / "feed.csv", products),
        folder / "catalog.duckdb",
    )
    shop.load()
    return shop
