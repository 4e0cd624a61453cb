"""The pointing game: what counts as a hit, and of which kind of label."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import pointing

GROUPS = {"dress": "wholebody", "shoe": "legs and feet", "collar": "garment parts"}
PEAKS = {"dress": (10, 10), "shoe": (0, 0), "collar": (2, 15)}  # row and column, of 40 x 20


class Fake:
    """An explainer whose maps are half as large as the photo, each with one known peak."""

    bundle = SimpleNamespace(
        config=SimpleNamespace(
            labels=SimpleNamespace(names=tuple(GROUPS), groups=tuple(GROUPS.values()))
        )
    )

    def __init__(self, *_: object) -> None: ...

    def __call__(self, image: str, labels: tuple[str, ...] = ()) -> SimpleNamespace:
        maps = {label: np.zeros((40, 20), np.float32) for label in labels or GROUPS}
        for label, one in maps.items():
            one[PEAKS[label]] = 1
        return SimpleNamespace(maps=maps)

    def close(self) -> None: ...


def box(label: str, left: int, top: int, right: int, bottom: int) -> dict[str, object]:
    return {"label": label, "left": left, "top": top, "right": right, "bottom": bottom}


@pytest.fixture
def example(tmp_path: Path) -> Path:
    (tmp_path / "catalogue").mkdir()
    boxes = [
        box("dress", 0, 0, 40, 40),
        box("shoe", 20, 60, 40, 80),
        box("collar", 28, 0, 32, 8),
    ]
    rows = [
        {"image": "a.png", "labels": list(GROUPS), "defect": None},
        {"image": "b.png", "labels": ["dress"], "defect": None},  # the rest is given wrongly
        {"image": "c.png", "labels": list(GROUPS), "defect": "corrupt"},
    ]
    for row in rows:
        row |= {"folder": "catalogue", "boxes": boxes}
        Image.new("RGB", (40, 80)).save(tmp_path / "catalogue" / str(row["image"]))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "truth.parquet")
    return tmp_path


def test_a_peak_in_a_box_of_the_label_is_a_hit(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointing, "Explainer", Fake)
    monkeypatch.setattr(pointing, "load_bundle", lambda _: None)
    found = pointing.play(example, example, 10)
    assert found == {
        "garments": ([True, True], [0.5, 0.5]),
        "accessories": ([False], [0.125]),
        "parts": ([True], [0.01]),
    }


def test_each_kind_has_its_row_and_its_own_chance() -> None:
    printed = pointing.table(
        {"garments": ([True, False], [0.5, 0.25]), "accessories": ([False, False], [0.1, 0.1])}
    )
    assert printed.splitlines()[2:] == [
        "| garments (2) | 50.0 % | 37.5 % |",
        "| accessories (2) | 0.0 % | 10.0 % |",
        "| garments and accessories (4) | 25.0 % | 23.8 % |",
        "| parts, closures, decorations (0) | - | - |",
        "| all (4) | 25.0 % | 23.8 % |",
    ]


def test_every_group_of_the_example_is_of_one_kind() -> None:
    from fftag.models.labels import load_taxonomy

    kinds = {group: pointing.kind_of(group) for group in load_taxonomy("fashionpedia").groups}
    assert sorted(group for group, kind in kinds.items() if kind == "garments") == [
        "lowerbody",
        "upperbody",
        "wholebody",
    ]
    assert sum(kind == "parts" for kind in kinds.values()) == 3
