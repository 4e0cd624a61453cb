"""A tiny run from training to reports whose figures are kept: a mere move alters none of them.

Run as a program, this file writes the figures anew: `python tests/test_golden.py`.
"""

import csv
import json
import math
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from fftag.cli import app

REPORTS = Path(__file__).parents[1] / "sql/reports"
KEPT = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-4  # as kernels of processors with AVX2 and with AVX-512 differ
BANDS = {"scarf": (200, 40, 40), "jacket": (40, 170, 60), "jeans": (40, 60, 200)}
BRANDS = ("Acme", "Brio", "Cala")
TAGS_COLUMNS = (
    "image",
    "status",
    "is_apparel",
    "apparel_score",
    "scores",
    "tags",
    "width",
    "height",
    "format",
)
OF_THE_RUN = {"run_id", "model_id", "tagged_at", "loaded_at", "modified_at", "path", "file"}
"""Keys whose values are no figures: they differ from run to run."""


def draw_outfit(seed: int, share_of_jeans: float = 0.5) -> tuple[Image.Image, list[str]]:
    """A grey photo with noise, and one band of colour for each garment worn."""
    rng = np.random.default_rng(seed)
    worn = rng.random(len(BANDS)) < (0.4, 0.5, share_of_jeans)
    pixels = rng.integers(90, 160, (84, 60, 3), dtype=np.uint8)
    for band, (colour, is_worn) in enumerate(zip(BANDS.values(), worn, strict=True)):
        if is_worn:
            noise = rng.integers(-30, 30, (28, 60, 3))
            pixels[band * 28 : (band + 1) * 28] = np.clip(noise + colour, 0, 255)
    return Image.fromarray(pixels), [name for name, one in zip(BANDS, worn, strict=True) if one]


def draw_dataset(folder: Path) -> None:
    """90 labelled photos and the table that names their labels and splits."""
    (folder / "labelled").mkdir(parents=True)
    with (folder / "photos.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "labels", "split"])
        for number in range(90):
            photo, worn = draw_outfit(number)
            photo.save(folder / f"labelled/{number:03d}.png")
            split = ("train", "train", "train", "val", "test")[number % 5]
            table.writerow([f"labelled/{number:03d}.png", "|".join(worn), split])


def draw_catalogue(folder: Path) -> None:
    """60 products over two years, jeans on the rise; files of many kinds, some that fail."""
    photos = folder / "catalogue"
    photos.mkdir()
    with (folder / "products.csv").open("w", newline="") as file:
        feed = csv.writer(file)
        feed.writerow(["sku", "brand", "category", "price", "currency", "listed_at"])
        for number in range(60):
            month = number * 24 // 60
            sku = f"G-{number:04d}"
            photo, _ = draw_outfit(1000 + number, share_of_jeans=0.1 + 0.8 * number / 60)
            kind = ("png", "jpg", "webp", "tif", "bmp")[number % 5]
            photo.save(photos / f"{sku}_1.{kind}", **({"lossless": True} if kind == "webp" else {}))
            category = ("tops", "bottoms")[number % 2]
            listed = f"{2024 + month // 12}-{month % 12 + 1:02d}-15"
            feed.writerow([sku, BRANDS[number % 3], category, 10 + number, "EUR", listed])
    grey = draw_outfit(2000)[0].convert("L")
    grey.save(photos / "G-0000_2.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    draw_outfit(2001)[0].rotate(90, expand=True).save(photos / "G-0001_2.jpg", exif=turned)
    half = (photos / "G-0000_1.png").read_bytes()
    (photos / "cut.png").write_bytes(half[: len(half) // 2])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "notes.txt.jpg").write_bytes(b"no photo at all")
    (photos / "copy.png").write_bytes(half)


def fftag(*arguments: str) -> str:
    """What one command prints, in this process: each start of another takes seconds."""
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, f"fftag {' '.join(arguments)}: {ended.output}"
    return ended.stdout


def fftag_as_typed(*arguments: str) -> None:
    """One command in a process of its own."""
    command = [sys.executable, "-P", "-m", "fftag", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"fftag {' '.join(arguments)}: {ended.stderr}"


def without_the_run(value: Any) -> Any:
    """The same, without what differs from run to run."""
    if isinstance(value, dict):
        return {key: without_the_run(one) for key, one in value.items() if key not in OF_THE_RUN}
    if isinstance(value, list):
        return [without_the_run(one) for one in value]
    return value


def figures_of_a_run(folder: Path) -> dict[str, Any]:
    """Trains, evaluates, tags, loads and reports in an empty folder; returns what came out."""
    draw_dataset(folder)
    draw_catalogue(folder)
    with chdir(folder):
        run_in_the_working_folder()
    model = json.loads((folder / "model/config.json").read_text())
    rows = pq.read_table(folder / "tags.parquet", columns=list(TAGS_COLUMNS)).to_pylist()
    database = str(folder / "catalogue.duckdb")
    return {
        "labels": model["labels"],
        "evaluation": json.loads((folder / "model/evaluation-test/metrics.json").read_text()),
        "tags": {row.pop("image"): row for row in rows},
        "reports": {
            path.stem: without_the_run(
                json.loads(fftag("report", path.stem, "--db", database, "--format", "json"))
            )
            for path in sorted(REPORTS.glob("*.sql"))
        },
    }


def run_in_the_working_folder() -> None:
    """Trains, evaluates, tags and loads."""
    fftag("data", "import", "table", "photos.csv", "--out", "data.parquet")
    settings = [
        "model.weights='none'",
        "model.input_size=[42, 30]",
        "run.seed=3",
        "optimizer.lr=5e-3",
    ]
    changes = [part for one in settings for part in ("--set", one)]
    common = ("--data", "data.parquet", "--device", "cpu")
    fftag("train", "cnn", *common, "--out", "model", "--epochs", "6", *changes)
    fftag("evaluate", "model", *common, "--split", "test", "--tier", "exact")
    to = ("--out", "tags.parquet", "--model", "model", "--tier", "exact", "--device", "cpu")
    fftag_as_typed("tag", "catalogue", *to)
    feed = ("--db", "catalogue.duckdb", "--products", "products.csv")
    fftag("load", "tags.parquet", *feed)


def differences(now: Any, kept: Any, where: str = "") -> list[str]:
    """Each place where two answers differ: numbers by more than the tolerance, all else at all."""
    if isinstance(now, dict) and isinstance(kept, dict):
        return [
            line
            for key in sorted(now.keys() | kept.keys())
            for line in differences(
                now.get(key, "absent"), kept.get(key, "absent"), f"{where}/{key}"
            )
        ]
    if isinstance(now, list) and isinstance(kept, list) and len(now) == len(kept):
        return [
            line
            for at, pair in enumerate(zip(now, kept, strict=True))
            for line in differences(*pair, f"{where}/{at}")
        ]
    if isinstance(now, float) and isinstance(kept, int | float):
        same = math.isclose(now, kept, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    else:
        same = now == kept
    return [] if same else [f"{where}: {now!r}, kept is {kept!r}"]


@pytest.mark.usefixtures("undrawn")
def test_a_tiny_run_gives_the_figures_that_are_kept(tmp_path: Path) -> None:
    found = differences(figures_of_a_run(tmp_path), json.loads(KEPT.read_text()))
    assert not found, "\n".join(found[:40])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        figures = figures_of_a_run(Path(made))
    KEPT.write_text(json.dumps(figures, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    print(f"{KEPT}: {len(figures['tags'])} photos, {len(figures['reports'])} reports")
