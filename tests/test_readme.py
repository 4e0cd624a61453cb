"""Each block of README.md runs, one after the other, as a new user would run it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from catalogues import bands_of, photo_folder, save_bands, untrained_model, write_feed

REPOSITORY = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(?:<!-- not run by the tests: (?P<why>[^\n]+) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
BLOCKS = [*BLOCK.finditer((REPOSITORY / "README.md").read_text(encoding="utf-8"))]
RUN_BY = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
    "sql": ["duckdb", "-readonly", "catalog.duckdb", "-c"],
}
NOT_RUN = {
    "make demo": "takes minutes",
    "pip install": "needs the network",
    "fftag train": "training takes minutes",
    "fftag app": "serves until it is stopped",
}
"""How blocks begin that are not run, and what README.md says is the reason."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a new user has: labelled photos, a catalogue, a feed, models, the SQL files."""
    rows = []
    for number in range(48):
        save_bands(tmp_path / f"labelled/{number:02d}.jpg", bands_of(number), number)
        rows.append({"image": f"labelled/{number:02d}.jpg", "labels": "|".join(bands_of(number))})
    pd.DataFrame(rows).to_csv(tmp_path / "photos.csv", index=False)
    photo_folder(tmp_path / "path/to/catalog", 24)
    products = [
        {
            "sku": f"FF-{number:04d}",
            "brand": "Acme",
            "category": "bands",
            "price": 9.9,
            "currency": "EUR",
            "listed_at": f"2026-{1 + number % 6:02d}-15",
        }
        for number in range(24)
    ]
    write_feed(tmp_path / "products.csv", products)
    for name in ("vit", "small"):  # the newest is taken to tag with
        untrained_model(tmp_path / "runs" / name)
    (tmp_path / "sql").symlink_to(REPOSITORY / "sql")
    return tmp_path


@pytest.mark.slow
def test_each_block_runs_in_turn(folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ours = {name: value for name, value in os.environ.items() if name[:6] != "FFTAG_"}
    for block in BLOCKS:
        if not block["why"]:
            done = subprocess.run(
                [*RUN_BY[block["language"]], block["code"]],
                cwd=folder,
                env=ours | {"PATH": path, "FFTAG_CACHE": os.environ["FFTAG_CACHE"]},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, f"{block['code']}\n{done.stdout}\n{done.stderr}"
    for name in ("eda/index.html", "tags.parquet", "site/index.html", "pairs.html"):
        assert (folder / name).is_file(), name


def test_a_block_that_is_not_run_says_why() -> None:
    assert all(block["language"] in RUN_BY for block in BLOCKS)
    reasons = {block["code"]: block["why"] for block in BLOCKS if block["why"]}
    assert list(reasons.values()) == list(NOT_RUN.values())
    for code, start in zip(reasons, NOT_RUN, strict=True):
        assert code.startswith(start)
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert 2 * len(BLOCKS) == sum(line.startswith("```") for line in text.splitlines())
