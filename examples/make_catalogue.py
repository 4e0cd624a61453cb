"""Draws a little fashion retailer: a catalogue with planted facts, and photos to train on.

python examples/make_catalogue.py --out demo --photos 3000 --seed 7
"""

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from retailer import drawing, facts
from retailer.facts import Photo, Product
from retailer.looks import full

from fftag.base.progress import progress, say

LEAST_PHOTOS = 60
JPEG = (".jpg", ".jpeg")
# EXIF orientation -> what to do to an upright photo so that obeying the tag turns it upright again.
ORIENTATIONS = {
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
    3: Image.Transpose.ROTATE_180,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
}
# Damage -> the defect's name in the truth, and how many files have it in a run of 3,000 photos.
DAMAGES = {
    "garbled": ("corrupt", 4),
    "emptied": ("corrupt", 2),
    "cut short": ("truncated", 5),
    "a web page": ("not_an_image", 2),
}
DUPLICATES, TURNED = 12, 12
README = b"Photos by sku and view. Ask the studio before moving anything.\n"
THUMBNAILS = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)  # which some systems leave behind


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
    products = facts.plan_products(photos, seed, scale)
    planned = _with_defects(products, facts.plan_training(photos, seed, scale), seed)
    for photo in planned:
        (out / photo.folder / photo.image).parent.mkdir(parents=True, exist_ok=True)
    files = []
    with progress(len(planned), "drawing", "photo") as bar:
        for photo in _drawn(planned, out, workers):
            files.append(photo)
            bar.update(1)
    files += _copied(products, files, out, seed)
    (out / "catalogue/Thumbs.db").write_bytes(THUMBNAILS)  # no row of the truth: it is passed over
    (out / "catalogue/README.txt").write_bytes(README)
    files.append(Photo("catalogue", "README.txt", defect="not_an_image"))
    _write_tables(out, products, files)
    told = {"seed": seed, "photos": photos} | facts.measure(products, files)
    (out / "facts.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _with_defects(products: Sequence[Product], training: Sequence[Photo], seed: int) -> list[Photo]:
    """All photos to draw: some are stored turned or in CMYK, some more are damaged."""
    rng = np.random.default_rng([seed, 5])
    photos = [photo for product in products for photo in product.photos]
    total = len(photos) + len(training)
    jpegs = [n for n, photo in enumerate(photos) if photo.image.lower().endswith(JPEG)]
    turned = max(len(ORIENTATIONS), _how_many(TURNED, total))
    cmyk, *others = rng.permutation(jpegs)[: turned + 1]
    for place, orientation in zip(others, cycle(ORIENTATIONS), strict=False):
        photos[place] = replace(photos[place], orientation=orientation, defect="exif_rotated")
    photos[cmyk] = replace(photos[cmyk], defect="cmyk")
    taken, damaged = {photo.image for photo in photos}, []
    for damage, (defect, at_3000) in DAMAGES.items():
        for _ in range(_how_many(at_3000, total)):
            spare = _another_view(photos[rng.integers(len(photos))], taken, ".jpg")
            damaged.append(replace(spare, orientation=1, damage=damage, defect=defect))
    return [*photos, *training, *damaged]


def _how_many(at_3000: int, photos: int) -> int:
    return max(1, round(at_3000 * photos / 3000))


def _another_view(photo: Photo, taken: set[str], ending: str) -> Photo:
    """The same product once more, under the next free view number, which is then taken."""
    folder = PurePosixPath(photo.image).parent
    used = {str(PurePosixPath(image).with_suffix("")) for image in taken}
    view = next(n for n in range(2, 99) if f"{folder}/{photo.sku}_{n}" not in used)
    image = f"{folder}/{photo.sku}_{view}{ending}"
    taken.add(image)
    return replace(photo, image=image, seed=(*photo.seed[:3], view))


def _drawn(photos: Sequence[Photo], out: Path, workers: int) -> Iterator[Photo]:
    if workers <= 1:
        yield from (_draw(photo, out) for photo in photos)
    else:
        # Spawned: a fork of a process with threads may inherit a lock that nobody opens.
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            yield from pool.map(partial(_draw, out=out), photos, chunksize=8)


def _draw(photo: Photo, out: Path) -> Photo:
    rng = np.random.default_rng([*photo.seed, 1])
    image, boxes = drawing.shoot(rng, photo.look(), photo.size)
    path = out / photo.folder / photo.image
    if photo.defect == "cmyk":
        image = image.convert("CMYK")
    content = encoded(image, path.suffix, int(rng.integers(80, 93)), photo.orientation)
    if photo.damage:
        content, boxes = damaged(content, photo.damage, rng), []
    path.write_bytes(content)
    return replace(photo, boxes=tuple(boxes))


def encoded(image: Image.Image, ending: str, quality: int, orientation: int = 1) -> bytes:
    """The bytes of an image file; with another EXIF orientation than 1, its pixels are turned."""
    buffer, exif = io.BytesIO(), Image.Exif()
    if orientation != 1:
        image = image.transpose(ORIENTATIONS[orientation])
        exif[0x0112] = orientation
    if ending == ".png":
        image.save(buffer, "PNG", compress_level=4)
    elif ending == ".webp":
        image.save(buffer, "WEBP", quality=quality, method=1)
    else:
        image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def damaged(content: bytes, damage: str, rng: np.random.Generator) -> bytes:
    """What a photo's bytes become by one of `DAMAGES`."""
    match damage:
        case "garbled":  # whole by its length and its end, with noise for a picture
            noise = rng.bytes(len(content) - 32).replace(b"\xff", b"\0")
            return content[:24] + noise + content[-8:]
        case "cut short":  # as a broken download leaves it
            return content[: round(len(content) * rng.uniform(0.4, 0.6))]
        case "a web page":
            return b"<html><body><h1>404 Not Found</h1><p>%d</p></body></html>\n" % rng.integers(
                1e9
            )
        case _:
            return b""


def _copied(
    products: Sequence[Product], files: Sequence[Photo], out: Path, seed: int
) -> Iterator[Photo]:
    """Copies of photos under the name of another product listed in the same month."""
    rng = np.random.default_rng([seed, 6])
    drawn = {photo.image: photo for photo in files}
    taken = {*drawn}
    for _ in range(_how_many(DUPLICATES, len(files))):
        source = products[rng.integers(len(products))]
        others = [other for other in products if other.sku != source.sku]
        near = [other for other in others if other.month == source.month] or others
        other, photo = near[rng.integers(len(near))], drawn[source.photos[0].image]
        copy = _another_view(other.photos[0], taken, PurePosixPath(photo.image).suffix)
        content = (out / "catalogue" / photo.image).read_bytes()
        (out / "catalogue" / copy.image).write_bytes(content)
        yield replace(photo, image=copy.image, sku=other.sku, defect="duplicate")


def _write_tables(out: Path, products: Sequence[Product], files: Sequence[Photo]) -> None:
    rows = [
        [one.sku, one.brand, full(one.category), f"{one.price:.2f}", "EUR", one.listed_at]
        for one in products
    ]
    feed = ["sku", "brand", "category", "price", "currency", "listed_at"]
    _write_csv(out / "products.csv", [feed, *rows])
    train = [photo for photo in files if photo.folder == "train"]
    rows = [[f"train/{photo.image}", "|".join(photo.labels), "example"] for photo in train]
    _write_csv(out / "train.csv", [["image", "labels", "source"], *rows])
    truth = [
        {
            name: getattr(photo, name)
            for name in ("folder", "image", "sku", "labels", "kind", "defect")
        }
        | {"boxes": [box._asdict() for box in photo.boxes]}
        for photo in files
    ]
    pq.write_table(pa.Table.from_pylist(truth), out / "truth.parquet", compression="zstd")


def _write_csv(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


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
