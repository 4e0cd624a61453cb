"""Tags files and product feeds with known content, for the tests of warehouse and reports."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fftag.store import WRITTEN, RunInfo, rows, tags_schema

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
            labels=list(self.labels),
            groups=list(self.groups or [None] * len(self.labels)),
            thresholds=[0.5] * len(self.labels),
            validation=self.validation,
            settings=self.settings,
        )

    def write(self, path: Path) -> Path:
        """Writes the tags file; a label seen scores 0.9, another 0.1."""
        run, scores, photos = self.run(), [], []
        for image, seen in self.photos.items():
            failed = isinstance(seen, str)
            plain = [0.9 if not failed and name in seen else 0.1 for name in self.labels]
            scores.append(list(self.scores.get(image, plain)))
            turned_down = self.no_apparel is not None and image in self.no_apparel
            photos.append(
                {
                    "image": image,
                    "status": seen if failed else "ok",
                    "error": f"cannot read: {seen}" if failed else None,
                    "is_apparel": None if failed or self.no_apparel is None else not turned_down,
                    "apparel_score": None if failed or self.no_apparel is None else 0.75,
                    "width": None if failed else 60,
                    "height": None if failed else 80,
                    "format": None if failed else "JPEG",
                    "file_size": 1234,
                    "modified_at": MODIFIED_AT,
                    "taken_at": None if failed else self.taken.get(image),
                    "content_sha256": None
                    if failed
                    else self.contents.get(image, digest_of(image)),
                }
            )
        if photos:
            table = rows(photos, np.array(scores, np.float32), run, [self.tagged_at] * len(photos))
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
