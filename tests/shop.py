"""A small shop for the tests of the app: photos, a catalogue with labels that bite, a feed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from catalog_maker import Catalog, write_feed
from conftest import COLOURS, save_bands

from fftag.warehouse import load

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
LABELS = [*COLOURS, *HOSTILE]
GROUPS = ["warm", "cool", "cool", *["other"] * len(HOSTILE)]
BRANDS = ["Acme", "Brio & <b>Co</b>"]
PHOTOS = 40
FAILED, NO_APPAREL = "rail/broken.jpg", "rail/FF-0007_1.jpg"
TITLE = "shop"


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


def make_shop(folder: Path, count: int = PHOTOS, run: str = "run-1") -> Shop:
    """Photos of coloured bands, with drawn scores; a product per photo; a failure; no apparel."""
    rng = np.random.default_rng(5)
    root = folder / "photos"
    seen: dict[str, list[str] | str] = {}
    scores, products = {}, []
    for number in range(count):
        image = f"rail/FF-{number:04d}_1.jpg"
        drawn = np.round(rng.random(len(LABELS)) ** 2, 3)
        save_bands(root / image, [name for at, name in enumerate(COLOURS) if drawn[at] >= 0.5])
        seen[image] = [name for name, score in zip(LABELS, drawn, strict=True) if score >= 0.5]
        scores[image] = drawn.tolist()
        products.append(
            {
                "sku": f"FF-{number:04d}",
                "brand": BRANDS[number % 2],
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
        LABELS,
        seen,
        GROUPS,
        no_apparel=[NO_APPAREL],
        validation=[{"tp": 80, "fp": 20, "fn": 20, "tn": 80}] * len(LABELS),
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
