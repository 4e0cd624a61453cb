"""From the plan to folders: draws all photos, damages some, and notes the truth."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import numpy as np

from retailer import files, plan
from retailer.canvas import Box
from retailer.files import UPRIGHT, Finish
from retailer.plan import Photo, Product
from retailer.studio import shoot

SPECIAL_PNG_MODES = ("L", "P", "RGBA")
BATCH = 8


@dataclass(frozen=True)
class Truth:
    """What is known of one file.

    Attributes:
        folder: `catalogue` or `train`.
        image: its path within the folder.
        sku: the product it belongs to, None for training photos and stray files.
        boxes: where each label is, on the upright photo; empty where nothing can be seen.
        kind: `product`, `outfit`, or None for stray files.
        defect: one of `files.DEFECTS`, or None.
    """

    folder: str
    image: str
    sku: str | None
    boxes: tuple[Box, ...]
    kind: str | None
    defect: str | None = None

    @property
    def labels(self) -> list[str]:
        """The labels seen, each once, in alphabetical order."""
        return sorted({box.label for box in self.boxes})


@dataclass(frozen=True)
class _Job:
    photo: Photo
    out: Path
    finish: Finish
    defect: str | None = None
    damage: files.Damage | None = None


def produce(
    products: Sequence[Product], training: Sequence[Photo], out: Path, workers: int, seed: int
) -> Iterator[Truth]:
    """Draws and writes all files below `out`; yields the truth of each, in a fixed order."""
    jobs = _jobs(products, training, out, seed)
    for folder in sorted({(out / job.photo.folder / job.photo.image).parent for job in jobs}):
        folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, Truth] = {}
    if workers <= 1:
        for job in jobs:
            truth = _carry_out(job)
            drawn[truth.image] = truth
            yield truth
    else:
        # Spawned: a fork of a process with threads may inherit a lock that nobody opens.
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            for truth in pool.map(_carry_out, jobs, chunksize=BATCH):
                drawn[truth.image] = truth
                yield truth
    yield from _duplicates(products, drawn, out, seed, len(jobs))
    for name, content in files.STRAY_FILES.items():
        (out / "catalogue" / name).write_bytes(content)
        yield Truth("catalogue", name, None, (), None, "not_an_image")


def _carry_out(job: _Job) -> Truth:
    photo = job.photo
    rng = np.random.default_rng([*photo.seed, 1])
    image, boxes = shoot(rng, photo.look(), photo.size)
    path = job.out / photo.folder / photo.image
    content = files.encoded(image, path.suffix, int(rng.integers(80, 93)), job.finish)
    if job.damage is not None:
        content, boxes = job.damage(content, rng), []
    path.write_bytes(content)
    return Truth(photo.folder, photo.image, photo.sku, tuple(boxes), photo.kind, job.defect)


def _jobs(
    products: Sequence[Product], training: Sequence[Photo], out: Path, seed: int
) -> list[_Job]:
    rng = np.random.default_rng([seed, 5])
    photos = [photo for product in products for photo in product.photos]
    total = len(photos) + len(training)
    finishes = _finishes(rng, photos, total)
    jobs = [
        _Job(photo, out, *finishes.get(place, (UPRIGHT, None)))
        for place, photo in enumerate(photos)
    ]
    jobs += [_Job(photo, out, UPRIGHT) for photo in training]
    for damage, defect, at_3000 in files.DAMAGES:
        for _ in range(files.how_many(at_3000, total)):
            victim = photos[rng.integers(len(photos))]
            spare = _another_view(victim, {job.photo.image for job in jobs}, ".jpg")
            jobs.append(_Job(spare, out, UPRIGHT, defect, damage))
    return jobs


def _finishes(
    rng: np.random.Generator, photos: Sequence[Photo], total: int
) -> dict[int, tuple[Finish, str | None]]:
    """By place: photos that are stored turned, in CMYK, or as an unusual PNG."""
    jpegs = [p for p, photo in enumerate(photos) if photo.image.lower().endswith((".jpg", ".jpeg"))]
    pngs = [p for p, photo in enumerate(photos) if photo.image.endswith(".png")]
    turned = max(len(files.ORIENTATIONS), files.how_many(files.TURNED, total))
    chosen = rng.permutation(jpegs)[: turned + 1].tolist()
    finishes: dict[int, tuple[Finish, str | None]] = {}
    for number, place in enumerate(chosen[1:]):
        orientation = files.ORIENTATIONS[number % len(files.ORIENTATIONS)]
        finishes[place] = (Finish(orientation=orientation), "exif_rotated")
    finishes[chosen[0]] = (Finish(mode="CMYK"), "cmyk")
    for mode, place in zip(SPECIAL_PNG_MODES, pngs, strict=False):
        finishes[place] = (Finish(mode=mode), None)
    return finishes


def _another_view(photo: Photo, taken: set[str], ending: str) -> Photo:
    """The same product once more, under the next free view number."""
    path = PurePosixPath(photo.image)
    for view in range(2, 10):
        stem = f"{photo.sku}_{view}"
        if not any(image.startswith(f"{path.parent}/{stem}.") for image in taken):
            seed = (*photo.seed[:3], view)
            return replace(photo, image=f"{path.parent}/{stem}{ending}", seed=seed)
    raise ValueError(f"{photo.sku} has no free view number")


def _duplicates(
    products: Sequence[Product], drawn: dict[str, Truth], out: Path, seed: int, total: int
) -> Iterator[Truth]:
    """Copies of photos under the name of another product listed in the same month."""
    rng = np.random.default_rng([seed, 6])
    taken = set(drawn)
    for _ in range(files.how_many(files.DUPLICATES, total)):
        source = products[int(rng.integers(len(products)))]
        photo = source.photos[0]
        near = [
            other
            for other in products
            if other.sku != source.sku and f"{other.listed_at:%Y%m}" == f"{source.listed_at:%Y%m}"
        ] or [other for other in products if other.sku != source.sku]
        other = near[rng.integers(len(near))]
        path = PurePosixPath(photo.image)
        copy = _another_view(other.photos[0], taken, path.suffix)
        taken.add(copy.image)
        content = (out / "catalogue" / photo.image).read_bytes()
        (out / "catalogue" / copy.image).write_bytes(content)
        yield replace(drawn[photo.image], image=copy.image, sku=other.sku, defect="duplicate")


def count_files(products: Sequence[Product], training: Sequence[Photo]) -> int:
    """How many files `produce` will write."""
    total = sum(len(product.photos) for product in products) + len(training)
    damaged = sum(files.how_many(at_3000, total) for _, _, at_3000 in files.DAMAGES)
    copies = files.how_many(files.DUPLICATES, total + damaged)
    return total + damaged + copies + len(files.STRAY_FILES)


def count_defects(truths: Sequence[Truth]) -> Counter[str]:
    """How many files have each defect."""
    return Counter(truth.defect for truth in truths if truth.defect is not None)


def plan_all(photos: int, seed: int, scale: float) -> tuple[list[Product], list[Photo]]:
    """The products and the training photos of a run."""
    return plan.plan_products(photos, seed, scale), plan.plan_training(photos, seed, scale)
