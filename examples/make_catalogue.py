"""Draws a little fashion retailer: a catalogue with planted facts, and photos to train on.

python examples/make_catalogue.py --out demo --photos 3000 --seed 7
"""

import argparse
import csv
import io
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from retailer import drawing, facts
from retailer.facts import Photo, Product

from fftag.progress import progress, say

LEAST_PHOTOS = 60
BATCH = 8
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
STRAY_FILES = {
    "README.txt": b"Photos by sku and view. Ask the studio before moving anything.\n",
    "Thumbs.db": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504),
}
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


@dataclass(frozen=True)
class Truth:
    """What is known of one file.

    Attributes:
        boxes: where each label is, on the upright photo; empty where nothing can be seen.
        kind: `product`, `outfit`, or None for stray files.
        defect: corrupt, truncated, not_an_image, duplicate, exif_rotated, cmyk, or None.
    """

    folder: str
    image: str
    sku: str | None
    boxes: tuple[drawing.Box, ...]
    kind: str | None
    defect: str | None

    @property
    def labels(self) -> list[str]:
        """The labels seen, each once, in alphabetical order."""
        return sorted({box.label for box in self.boxes})


@dataclass(frozen=True)
class Job:
    """A photo to draw and to store: turned, in another mode, or damaged."""

    photo: Photo
    out: Path
    orientation: int = 1
    mode: str = "RGB"
    damage: str = ""
    defect: str | None = None


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
    jobs = _jobs(products, facts.plan_training(photos, seed, scale), out, seed)
    for job in jobs:
        (out / job.photo.folder / job.photo.image).parent.mkdir(parents=True, exist_ok=True)
    truths = []
    with progress(len(jobs), "drawing", "photo") as bar:
        for truth in _drawn(jobs, workers):
            truths.append(truth)
            bar.update(1)
    truths += _duplicates(products, truths, out, seed)
    for name, content in STRAY_FILES.items():
        (out / "catalogue" / name).write_bytes(content)
        truths.append(Truth("catalogue", name, None, (), None, "not_an_image"))
    _write_tables(out, products, truths)
    seen: dict[str, set[str]] = defaultdict(set)
    for truth in truths:
        seen[truth.sku or ""].update(truth.labels)
    defects = Counter(truth.defect for truth in truths if truth.defect)
    told = {"seed": seed, "photos": photos} | facts.measure(products, seen, defects)
    (out / "facts.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _jobs(
    products: Sequence[Product], training: Sequence[Photo], out: Path, seed: int
) -> list[Job]:
    rng = np.random.default_rng([seed, 5])
    jobs = [Job(photo, out) for product in products for photo in product.photos]
    total = len(jobs) + len(training)

    def of_kind(*endings: str) -> list[int]:
        return [n for n, job in enumerate(jobs) if job.photo.image.lower().endswith(endings)]

    turned = max(len(ORIENTATIONS), _how_many(TURNED, total))
    cmyk, *others = rng.permutation(of_kind(".jpg", ".jpeg"))[: turned + 1]
    for number, place in enumerate(others):
        orientation = [*ORIENTATIONS][number % len(ORIENTATIONS)]
        jobs[place] = replace(jobs[place], orientation=orientation, defect="exif_rotated")
    jobs[cmyk] = replace(jobs[cmyk], mode="CMYK", defect="cmyk")
    for mode, place in zip(("L", "P", "RGBA"), of_kind(".png"), strict=False):
        jobs[place] = replace(jobs[place], mode=mode)
    photos = [job.photo for job in jobs]
    jobs += [Job(photo, out) for photo in training]
    taken = {photo.image for photo in photos}
    for damage, (defect, at_3000) in DAMAGES.items():
        for _ in range(_how_many(at_3000, total)):
            spare = _another_view(photos[rng.integers(len(photos))], taken, ".jpg")
            jobs.append(Job(spare, out, damage=damage, defect=defect))
    return jobs


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


def _drawn(jobs: Sequence[Job], workers: int) -> Iterator[Truth]:
    if workers <= 1:
        yield from map(_draw, jobs)
    else:
        # Spawned: a fork of a process with threads may inherit a lock that nobody opens.
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            yield from pool.map(_draw, jobs, chunksize=BATCH)


def _draw(job: Job) -> Truth:
    photo = job.photo
    rng = np.random.default_rng([*photo.seed, 1])
    image, boxes = drawing.shoot(rng, photo.look(), photo.size)
    path = job.out / photo.folder / photo.image
    content = encoded(image, path.suffix, int(rng.integers(80, 93)), job.orientation, job.mode)
    if job.damage:
        content, boxes = _damaged(content, job.damage, rng), []
    path.write_bytes(content)
    return Truth(photo.folder, photo.image, photo.sku, tuple(boxes), photo.kind, job.defect)


def encoded(
    image: Image.Image, ending: str, quality: int, orientation: int = 1, mode: str = "RGB"
) -> bytes:
    """The bytes of an image file.

    Args:
        ending: says the format.
        orientation: the EXIF orientation; other than 1, the pixels are stored turned.
        mode: the Pillow mode stored: RGB, CMYK (JPEG), L, P or RGBA (PNG).
    """
    buffer = io.BytesIO()
    exif = Image.Exif()
    if orientation != 1:
        image = image.transpose(ORIENTATIONS[orientation])
        exif[0x0112] = orientation
    if mode == "RGBA":  # fading out towards the edges
        sides = [np.minimum(np.arange(side), np.arange(side)[::-1]) * 32 for side in image.size]
        alpha = np.clip(np.minimum(sides[0][None, :], sides[1][:, None]), 0, 255)
        image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    elif mode != "RGB":
        image = image.quantize(64) if mode == "P" else image.convert(mode)
    match ending.lower():
        case ".png":
            image.save(buffer, "PNG", compress_level=4)
        case ".webp":
            image.save(buffer, "WEBP", quality=quality, method=1)
        case _:
            image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def _damaged(content: bytes, damage: str, rng: np.random.Generator) -> bytes:
    match damage:
        case "garbled":
            return content[:24] + rng.bytes(len(content) // 2)
        case "cut short":  # as a broken download leaves it
            return content[: round(len(content) * rng.uniform(0.4, 0.6))]
        case "a web page":
            return b"<html><body><h1>404 Not Found</h1><p>%d</p></body></html>\n" % rng.integers(1e9)
        case _:
            return b""


def _duplicates(
    products: Sequence[Product], truths: Sequence[Truth], out: Path, seed: int
) -> Iterator[Truth]:
    """Copies of photos under the name of another product listed in the same month."""
    rng = np.random.default_rng([seed, 6])
    drawn = {truth.image: truth for truth in truths}
    taken = {*drawn}
    for _ in range(_how_many(DUPLICATES, len(truths))):
        source = products[rng.integers(len(products))]
        others = [other for other in products if other.sku != source.sku]
        near = [other for other in others if other.month == source.month] or others
        other, photo = near[rng.integers(len(near))], source.photos[0]
        copy = _another_view(other.photos[0], taken, PurePosixPath(photo.image).suffix)
        content = (out / "catalogue" / photo.image).read_bytes()
        (out / "catalogue" / copy.image).write_bytes(content)
        yield replace(drawn[photo.image], image=copy.image, sku=other.sku, defect="duplicate")


def _write_tables(out: Path, products: Sequence[Product], truths: Sequence[Truth]) -> None:
    with (out / "products.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sku", "brand", "category", "price", "currency", "listed_at"])
        for made in products:
            row = [made.sku, made.brand, facts.full(made.category), f"{made.price:.2f}", "EUR"]
            writer.writerow([*row, made.listed_at.isoformat()])
    with (out / "train.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "labels", "source"])
        for truth in truths:
            if truth.folder == "train":
                writer.writerow([f"train/{truth.image}", "|".join(truth.labels), "example"])
    rows = [
        vars(truth) | {"labels": truth.labels, "boxes": [box._asdict() for box in truth.boxes]}
        for truth in truths
    ]
    table = pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA)
    pq.write_table(table, out / "truth.parquet", compression="zstd")


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
