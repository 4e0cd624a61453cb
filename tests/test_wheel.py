"""What is shipped: a wheel that works in an empty folder, far from the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from catalogues import Catalog

REPOSITORY = Path(__file__).parents[1]


def test_a_wheel_holds_the_sql_and_recipes_and_runs_a_report_anywhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("fftag-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    assert (installed / "fftag/_sql/reports/trend.sql").exists()
    assert (installed / "fftag/_recipes/cnn.toml").exists()
    assert (installed / "fftag/py.typed").exists()

    empty = tmp_path / "empty"
    empty.mkdir()
    tags = tmp_path / "tags.parquet"
    Catalog(["hat", "tie"], {"a.jpg": ["hat"], "b.jpg": ["hat", "tie"]}).write(tags)

    def fftag(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "fftag", *arguments],
            cwd=empty,
            env=os.environ | {"PYTHONPATH": str(installed)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    where = "import fftag, sys; print(fftag.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=empty,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert found.stdout.startswith(str(installed))
    fftag("load", str(tags), "--db", "catalog.duckdb")
    assert "hat" in fftag("report", "share", "--db", "catalog.duckdb")
    assert sorted(path.name for path in empty.iterdir()) == ["catalog.duckdb"]
