"""The example catalogue: true labels, planted facts, deterministic bytes, damaged files."""

import csv
import hashlib
import json
import sys
from collections import Counter, defaultdict
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from fftag.data.manifest import check_files, read_manifest
from fftag.models.labels import load_taxonomy

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from make_catalogue import make_catalogue
from retailer import draw, facts, files, plan, vocabulary
from retailer.facts import Listing
from retailer.looks import make_look
from retailer.studio import shoot

PHOTOS = 120
NAMES = load_taxonomy("fashionpedia").names
WHOLE = (*vocabulary.GARMENTS, *vocabulary.ACCESSORIES)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("example") / "demo"
    make_catalogue(out, photos=PHOTOS, seed=7, workers=2, scale=0.4)
    return out


@pytest.fixture(scope="session")
def truth(demo: Path) -> list[dict]:
    return pq.read_table(demo / "truth.parquet").to_pylist()


@pytest.fixture(scope="session")
def planned() -> list[Listing]:
    """A catalogue of full size, as planned: nothing is drawn."""
    return plan.listings(plan.plan_products(3000, seed=7))


def upright(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_vocabulary_is_the_built_in_taxonomy() -> None:
    assert {*WHOLE, *vocabulary.PARTS} == set(NAMES)


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    for name, workers, seed in (("one", 1, 3), ("two", 2, 3), ("other", 1, 4)):
        make_catalogue(tmp_path / name, photos=60, seed=seed, workers=workers, scale=0.25)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert hashes(tmp_path / "one") != hashes(tmp_path / "other")


@pytest.mark.parametrize("label", NAMES)
def test_every_label_can_be_asked_for_in_a_product_photo(label: str) -> None:
    image, boxes = draw(np.random.default_rng(1), "product", [label], (240, 320))
    assert image.size == (240, 320)
    assert label in {box.label for box in boxes}


@pytest.mark.parametrize("kind", ["product", "outfit"])
def test_what_is_planned_is_what_can_be_seen(kind: str) -> None:
    for seed in range(40):
        rng = np.random.default_rng([11, seed])
        look = make_look(rng, kind)
        image, boxes = shoot(rng, look, (300, 420))
        assert {box.label for box in boxes} == look.labels
        for box in boxes:
            assert 0 <= box.left < box.right <= image.width
            assert 0 <= box.top < box.bottom <= image.height


def test_painting_a_label_changes_the_pixels_in_its_box() -> None:
    without, _ = draw(np.random.default_rng(5), "outfit", [], (300, 420))
    assert np.asarray(without).std() > 10
    for label in (vocabulary.HAT, vocabulary.UMBRELLA, vocabulary.BAG):
        image, boxes = draw(np.random.default_rng(5), "outfit", [label], (300, 420))
        box = next(box for box in boxes if box.label == label)
        inside = image.crop((box.left, box.top, box.right, box.bottom))
        assert np.asarray(inside).std() > 5


def test_photos_of_any_size_can_be_drawn() -> None:
    for size in ((550, 830), (2048, 1536), (64, 64)):
        image, boxes = draw(np.random.default_rng(2), "outfit", None, size)
        assert image.size == size
        assert boxes


def test_the_training_table_is_a_manifest_whose_photos_are_there(demo: Path) -> None:
    manifest = read_manifest(demo / "train.csv", load_taxonomy("fashionpedia"))
    check_files(manifest)
    assert len(manifest) == plan.train_count(PHOTOS)
    assert manifest.targets().any(axis=0).sum() > 38


def test_training_photos_show_every_label_often() -> None:
    photos = plan.plan_training(3000, seed=7)
    counts = Counter(label for photo in photos for label in photo.look().labels)
    assert min(counts[name] for name in NAMES) >= 40


def test_every_file_has_one_row_of_truth(demo: Path, truth: list[dict]) -> None:
    rows = [f"{row['folder']}/{row['image']}" for row in truth]
    there = [name for name in hashes(demo) if name.startswith(("catalogue/", "train/"))]
    assert sorted(rows) == sorted(there)
    for row in truth:
        assert set(row["labels"]) == {box["label"] for box in row["boxes"]}
        assert set(row["labels"]) <= set(NAMES)
        if row["defect"] in ("corrupt", "truncated", "not_an_image"):
            assert row["labels"] == []
        else:
            assert row["labels"]


def test_boxes_lie_within_the_upright_photo(demo: Path, truth: list[dict]) -> None:
    for row in truth:
        if row["boxes"]:
            size = upright(demo / row["folder"] / row["image"]).size
            assert max(box["right"] for box in row["boxes"]) <= size[0]
            assert max(box["bottom"] for box in row["boxes"]) <= size[1]


def test_file_names_join_with_the_product_feed(demo: Path, truth: list[dict]) -> None:
    with (demo / "products.csv").open(encoding="utf-8", newline="") as file:
        products = {row["sku"]: row for row in csv.DictReader(file)}
    for row in truth:
        if row["sku"] is not None:
            assert row["sku"] == Path(row["image"]).stem.rsplit("_", 1)[0]
            assert row["sku"] in products
    months = {row["listed_at"][:7] for row in products.values()}
    assert (len(months), min(months), max(months)) == (facts.MONTHS, "2024-08", "2026-07")
    assert all(float(row["price"]) > 0 and row["currency"] == "EUR" for row in products.values())


def test_damaged_files_are_damaged_and_counted(demo: Path, truth: list[dict]) -> None:
    counts = Counter(row["defect"] for row in truth if row["defect"])
    assert set(counts) == set(files.DEFECTS)
    assert json.loads((demo / "facts.json").read_text())["defects"] == dict(sorted(counts.items()))
    digests = hashes(demo)
    copies = Counter(digests.values())
    for row in truth:
        name = f"{row['folder']}/{row['image']}"
        content = (demo / name).read_bytes()
        match row["defect"]:
            case "corrupt" | "truncated" | "not_an_image":
                with pytest.raises((OSError, SyntaxError)), Image.open(BytesIO(content)) as image:
                    image.load()
            case "exif_rotated":
                with Image.open(BytesIO(content)) as image:
                    assert image.getexif()[files.ORIENTATION_TAG] in files.ORIENTATIONS
            case "cmyk":
                with Image.open(BytesIO(content)) as image:
                    assert image.mode == "CMYK"
            case "duplicate":
                assert copies[digests[name]] >= 2
            case None:
                upright(demo / name)
    assert {row["image"].rsplit(".")[-1].lower() for row in truth} >= {"jpg", "png", "webp"}


@pytest.mark.parametrize("orientation", files.ORIENTATIONS)
def test_a_turned_photo_is_upright_again_once_its_tag_is_obeyed(orientation: int) -> None:
    image, _ = draw(np.random.default_rng(3), "outfit", None, (200, 300))
    content = files.encoded(image, ".jpg", 95, files.Finish(orientation=orientation))
    with Image.open(BytesIO(content)) as stored:
        again = np.asarray(ImageOps.exif_transpose(stored), dtype=float)
    assert np.abs(again - np.asarray(image, dtype=float)).mean() < 4


def test_facts_are_measured_on_the_true_labels(demo: Path, truth: list[dict]) -> None:
    with (demo / "products.csv").open(encoding="utf-8", newline="") as file:
        products = list(csv.DictReader(file))
    seen = defaultdict(set)
    for row in truth:
        seen[row["sku"]].update(row["labels"])
    told = json.loads((demo / "facts.json").read_text())
    for trend in told["rising"] + told["falling"]:
        for months, column in ((range(6), "first"), (range(18, 24), "last")):
            listed = [
                row["sku"]
                for row in products
                if facts.month_of(date.fromisoformat(row["listed_at"])) in months
            ]
            share = sum(trend["label"] in seen[sku] for sku in listed) / len(listed)
            assert trend[f"share_{column}_6_months"] == pytest.approx(share, abs=1e-4)


def test_planted_trends_are_the_greatest_changes(planned: list[Listing]) -> None:
    changes = facts.top_changes(planned, NAMES)
    assert {label for label, _ in changes[:2]} == {trend.label for trend in facts.RISING}
    assert {label for label, _ in changes[-2:]} == {trend.label for trend in facts.FALLING}
    planted = {trend.label for trend in (*facts.RISING, *facts.FALLING)}
    assert min(abs(change) for label, change in changes if label in planted) > 0.13
    assert max(abs(change) for label, change in changes if label not in planted) < 0.1


def test_planted_seasons_peak_in_their_months(planned: list[Listing]) -> None:
    for season in facts.SEASONAL:
        inside, outside = facts.peak_ratio(planned, season)
        assert inside > 2 * outside
        first, last = facts.change(planned, season.label)
        assert abs(last - first) < 0.03


def test_the_planted_pair_has_the_highest_lift(planned: list[Listing]) -> None:
    lifts = {
        frozenset((one, other)): facts.lift(planned, one, other)
        for place, one in enumerate(WHOLE)
        for other in WHOLE[place + 1 :]
        if facts.share(planned, one, other) >= 0.02
    }
    assert max(lifts, key=lifts.__getitem__) == frozenset(facts.PAIR)
    assert lifts[frozenset(facts.PAIR)] > 4


def test_the_planted_brand_is_strong_in_its_label(planned: list[Listing]) -> None:
    shares = {
        brand: facts.brand_ratio(planned, brand, facts.STRONG_IN)[0] for brand in facts.BRANDS
    }
    strong = shares.pop(facts.STRONG_BRAND)
    assert strong > 2.5 * max(shares.values())


def test_a_folder_with_files_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="not empty"):
        make_catalogue(tmp_path, photos=60)
    with pytest.raises(ValueError, match="too few"):
        make_catalogue(tmp_path / "new", photos=5)
