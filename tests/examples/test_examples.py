"""The example catalogue: true labels, deterministic bytes, damaged files."""

import csv
import hashlib
import json
import sys
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from fftag.data.manifest import check_files, read_manifest
from fftag.models.labels import load_taxonomy
from fftag.photos.decode import Failure, InputSpec, decode

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from make_catalogue import DAMAGES, damaged, encoded, make_catalogue
from retailer.drawing import shoot
from retailer.facts import plan_training
from retailer.looks import ACCESSORIES, GARMENTS, PARTS, Look, Piece, full, make_look

PHOTOS = 120
NAMES = load_taxonomy("fashionpedia").names
SHORT_NAMES = (*GARMENTS, *ACCESSORIES, *PARTS)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("example") / "demo"
    make_catalogue(out, photos=PHOTOS, seed=7, workers=2, scale=0.4)
    return out


@pytest.fixture(scope="module")
def truth(demo: Path) -> list[dict]:
    return pq.read_table(demo / "truth.parquet").to_pylist()


def upright(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_wardrobe_has_the_labels_of_the_built_in_taxonomy() -> None:
    assert {full(name) for name in SHORT_NAMES} == set(NAMES)


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    for name, workers, seed in (("one", 1, 3), ("two", 2, 3), ("other", 1, 4)):
        make_catalogue(tmp_path / name, photos=60, seed=seed, workers=workers, scale=0.25)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert hashes(tmp_path / "one") != hashes(tmp_path / "other")


@pytest.mark.parametrize("label", SHORT_NAMES)
def test_every_label_can_be_asked_for_in_a_product_photo(label: str) -> None:
    rng = np.random.default_rng(1)
    image, boxes = shoot(rng, make_look(rng, "product", [label]), (240, 320))
    assert image.size == (240, 320) and image.mode == "RGB"
    assert full(label) in {box.label for box in boxes}


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


@pytest.mark.parametrize("label", ["glasses", "tie", "belt", "pocket", "shoe"])
def test_a_label_changes_the_pixels_in_its_box_alone(label: str) -> None:
    """The same look, drawn with the same chances, without one of its pieces or parts."""
    look = make_look(
        np.random.default_rng(2), "outfit", ["shirt", "pants", label], avoid=ACCESSORIES
    )
    image, boxes = shoot(np.random.default_rng(9), look, (300, 420))
    pieces = {
        name: replace(piece, parts=piece.parts - {label})
        for name, piece in look.pieces.items()
        if name != label
    }
    without, _ = shoot(np.random.default_rng(9), replace(look, pieces=pieces), (300, 420))
    changed = np.abs(np.asarray(image, int) - np.asarray(without, int)).max(axis=2) > 24
    inside = np.zeros_like(changed)
    for box in (box for box in boxes if box.label == full(label)):
        inside[box.top : box.bottom, box.left : box.right] = True
    assert changed[inside].mean() > 0.3
    assert changed[~inside].mean() < 0.01


def test_what_another_piece_hides_has_no_box() -> None:
    tie, cape = Piece("tie", frozenset(), 1), Piece("cape", frozenset({"collar"}), 1)

    def seen(*pieces: Piece) -> set[str]:
        look = Look("outfit", {piece.label: piece for piece in pieces})
        return {box.label for box in shoot(np.random.default_rng(4), look, (300, 420))[1]}

    assert seen(tie) == {"tie"}
    assert seen(tie, cape) == {"cape", "collar"}


@pytest.mark.parametrize("size", [(550, 830), (2048, 1536), (64, 64)])
def test_photos_of_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    image, boxes = shoot(rng, make_look(rng, "outfit"), size)
    assert image.size == size and boxes
    assert np.asarray(image).std() > 10


def test_a_hero_looks_the_same_in_every_photo() -> None:
    hero = ("coat", 5)
    looks = [
        make_look(np.random.default_rng(seed), kind, ["coat"], hero=hero).pieces["coat"]
        for seed, kind in enumerate(("product", "outfit", "outfit"))
    ]
    assert looks[0] == looks[1] == looks[2]
    assert make_look(np.random.default_rng(0), "product", ["coat"]).pieces["coat"] != looks[0]


def test_the_training_table_is_a_manifest_whose_photos_are_there(demo: Path) -> None:
    manifest = read_manifest(demo / "train.csv", load_taxonomy("fashionpedia"))
    check_files(manifest)
    assert len(manifest) == 0.4 * PHOTOS
    assert manifest.targets().any(axis=0).sum() > 38


def test_training_photos_show_every_label_often() -> None:
    counts = Counter(
        label for photo in plan_training(3000, seed=7) for label in photo.look().labels
    )
    assert min(counts[name] for name in NAMES) >= 40


def test_every_file_has_one_row_of_truth(demo: Path, truth: list[dict]) -> None:
    rows = [f"{row['folder']}/{row['image']}" for row in truth]
    there = [name for name in hashes(demo) if name.startswith(("catalogue/", "train/"))]
    assert sorted([*rows, "catalogue/Thumbs.db"]) == sorted(there)  # a companion is no photo
    for row in truth:
        assert set(row["labels"]) == {box["label"] for box in row["boxes"]} <= set(NAMES)
        unseen = row["defect"] in ("corrupt", "truncated", "not_an_image")
        assert (row["labels"] == []) == unseen
        if row["boxes"]:
            width, height = upright(demo / row["folder"] / row["image"]).size
            assert max(box["right"] for box in row["boxes"]) <= width
            assert max(box["bottom"] for box in row["boxes"]) <= height


def test_file_names_join_with_the_product_feed(demo: Path, truth: list[dict]) -> None:
    with (demo / "products.csv").open(encoding="utf-8", newline="") as file:
        products = {row["sku"]: row for row in csv.DictReader(file)}
    for row in truth:
        if row["sku"] is not None:
            assert row["sku"] == Path(row["image"]).stem.rsplit("_", 1)[0]
            assert row["sku"] in products
    months = {row["listed_at"][:7] for row in products.values()}
    assert (len(months), min(months), max(months)) == (24, "2024-08", "2026-07")
    assert all(float(row["price"]) > 0 and row["currency"] == "EUR" for row in products.values())
    assert {row["category"] for row in products.values()} <= set(NAMES)


STATUS = {"corrupt": "unreadable", "truncated": "truncated", "not_an_image": "unsupported"}


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_as_what_it_is(damage: str, ending: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    photo = encoded(Image.fromarray(noise), ending, 90)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = decode(damaged(photo, damage, rng), InputSpec(32, 24))
        assert isinstance(found, Failure) and found.status == STATUS[DAMAGES[damage][0]]


def test_damaged_files_are_damaged_and_counted(demo: Path, truth: list[dict]) -> None:
    counts = Counter(row["defect"] for row in truth if row["defect"])
    kinds = ["cmyk", "corrupt", "duplicate", "exif_rotated", "not_an_image", "truncated"]
    assert sorted(counts) == kinds
    assert json.loads((demo / "facts.json").read_text())["defects"] == counts
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
                    assert image.getexif()[0x0112] in (2, 3, 6, 8)
            case "cmyk":
                with Image.open(BytesIO(content)) as image:
                    assert image.mode == "CMYK"
            case "duplicate":
                assert copies[digests[name]] >= 2
            case None:
                upright(demo / name)
    assert {row["image"].rsplit(".")[-1].lower() for row in truth} >= {"jpg", "png", "webp"}


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_a_turned_photo_is_upright_again_once_its_tag_is_obeyed(orientation: int) -> None:
    rng = np.random.default_rng(3)
    image, _ = shoot(rng, make_look(rng, "outfit"), (200, 300))
    with Image.open(BytesIO(encoded(image, ".jpg", 95, orientation))) as stored:
        again = np.asarray(ImageOps.exif_transpose(stored), dtype=float)
    assert np.abs(again - np.asarray(image, dtype=float)).mean() < 4


def test_a_folder_with_files_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="not empty"):
        make_catalogue(tmp_path, photos=60)
    with pytest.raises(ValueError, match="too few"):
        make_catalogue(tmp_path / "new", photos=5)
