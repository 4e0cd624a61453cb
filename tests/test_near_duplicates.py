from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from fftag.bundle import Bundle
from fftag.datasets.importers import ImportOptions, import_dataset
from fftag.datasets.manifest import read_manifest
from fftag.datasets.near_duplicates import (
    close_pairs,
    join_groups,
    near_duplicates,
    similar_embeddings,
)
from fftag.errors import FftagError


def scene(seed: int) -> Image.Image:
    """A photo of soft shapes in front of a gradient, unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    start, end = rng.integers(0, 255, (2, 3))
    ramp = np.linspace(start, end, 400).astype(np.uint8)
    image = Image.fromarray(np.repeat(ramp[:, None], 300, axis=1))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, w, h = rng.integers(0, 260, 4)
        draw.ellipse((x, y, x + w / 2 + 20, y + h / 2 + 20), fill=tuple(rng.integers(0, 255, 3)))
    return image.filter(ImageFilter.GaussianBlur(2))


def save(image: Image.Image, path: Path, **options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def test_the_same_scene_pairs_whatever_was_done_to_the_file(tmp_path: Path) -> None:
    original = scene(1)
    width, height = original.size
    paths = [
        save(original, tmp_path / "a.png"),
        save(original, tmp_path / "recompressed.jpg", quality=40),
        save(original.resize((150, 200)), tmp_path / "smaller.jpg"),
        save(original.crop((3, 4, width - 3, height - 4)), tmp_path / "cropped.jpg"),
        save(ImageEnhance.Brightness(original).enhance(1.15), tmp_path / "brighter.jpg"),
        *(save(scene(seed), tmp_path / f"other{seed}.jpg") for seed in range(2, 8)),
    ]
    groups = join_groups(np.arange(len(paths)), [near_duplicates(paths)])
    assert groups.tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]


def test_flat_photos_and_files_that_cannot_be_read_pair_with_nothing(tmp_path: Path) -> None:
    flat = [
        save(Image.new("RGB", (90, 120), (250, 250, level)), tmp_path / f"flat{level}.png")
        for level in (240, 245, 250)
    ]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    assert len(near_duplicates([*flat, broken, tmp_path / "absent.jpg"])) == 0


@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=12),
    st.integers(0, 128),
)
@settings(max_examples=60, deadline=None)
def test_the_pairs_are_those_that_comparing_each_with_each_gives(
    rows: list[tuple[int, int]], distance: int
) -> None:
    expected = {
        (one, other)
        for other in range(len(rows))
        for one in range(other)
        if sum((a ^ b).bit_count() for a, b in zip(rows[one], rows[other], strict=True)) <= distance
    }
    found = close_pairs(np.array(rows, dtype=np.uint64).reshape(-1, 2), distance)
    assert {tuple(pair) for pair in found.tolist()} == expected


def test_pairs_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fftag.datasets.near_duplicates.BLOCK", 3)
    hashes = np.random.default_rng(0).integers(0, 2**63, (20, 2), dtype=np.uint64)
    hashes[17] = hashes[2]
    assert close_pairs(hashes, 4).tolist() == [[2, 17]]


def test_groups_that_a_chain_of_pairs_connects_are_one_numbered_in_the_order_met() -> None:
    exact = np.array([0, 1, 2, 1, 3, 4])
    pairs = np.array([[4, 5], [2, 3]])
    assert join_groups(exact, [pairs]).tolist() == [0, 1, 1, 1, 2, 2]
    assert join_groups(exact, []).tolist() == exact.tolist()


def test_equal_embeddings_pair_and_what_cannot_be_read_has_none(
    session_bundle: Bundle, tmp_path: Path
) -> None:
    paths = [
        save(scene(1), tmp_path / "a.png"),
        save(scene(2), tmp_path / "b.png"),
        save(scene(1), tmp_path / "c.bmp"),
    ]
    (tmp_path / "broken.png").write_bytes(b"no photo")
    found = similar_embeddings([tmp_path / "broken.png", *paths], session_bundle, 0.99999, "cpu")
    assert found.tolist() == [[1, 3]]


def import_table(folder: Path, options: ImportOptions | None = None) -> tuple[Path, list[str]]:
    rows = ["image,labels,season"]
    for number in range(40):
        save(scene(number), folder / f"{number:02d}.jpg", quality=95)
        rows.append(f"{number:02d}.jpg,{'dress' if number % 2 else 'hat|shoe'},{number % 4 // 2}")
        if number < 12:
            save(scene(number).resize((225, 300)), folder / f"{number:02d}b.jpg", quality=50)
            rows.append(f"{number:02d}b.jpg,shoe,{number % 4 // 2}")
    (folder / "t.csv").write_text("\n".join(rows))
    chosen = options or ImportOptions(splits=(0.5, 0.25, 0.25))
    report = import_dataset("table", folder / "t.csv", folder / "d.parquet", chosen)
    assert report.content()["near"] == report.near
    return folder / "d.parquet", report.lines()


def test_no_scene_stands_in_two_splits_and_the_report_says_so(tmp_path: Path) -> None:
    path, lines = import_table(tmp_path)
    frame = read_manifest(path).frame
    split_of = dict(zip(frame["image"], frame["split"], strict=True))
    assert all(split_of[f"{n:02d}.jpg"] == split_of[f"{n:02d}b.jpg"] for n in range(12))
    assert any(
        line.startswith("12 clusters of near duplicates, each kept in one") for line in lines
    )


def test_near_duplicates_are_left_where_they_fall_on_request(tmp_path: Path) -> None:
    options = ImportOptions(splits=(0.5, 0.25, 0.25), near_duplicates=False)
    path, lines = import_table(tmp_path, options)
    frame = read_manifest(path).frame
    split_of = dict(zip(frame["image"], frame["split"], strict=True))
    assert any(split_of[f"{n:02d}.jpg"] != split_of[f"{n:02d}b.jpg"] for n in range(12))
    assert not any("near duplicates" in line for line in lines)


def test_a_named_column_is_spread_over_the_splits(tmp_path: Path) -> None:
    options = ImportOptions(splits=(0.5, 0.25, 0.25), stratify="season")
    frame = read_manifest(import_table(tmp_path, options)[0]).frame
    shares = frame.groupby("split")["source"].apply(lambda season: (season == "1").mean())
    assert (shares - 0.5).abs().max() < 0.12
    with pytest.raises(FftagError, match="--stratify"):
        import_table(tmp_path, ImportOptions(stratify="colour"))
    with pytest.raises(FftagError, match="--stratify names a column of a table"):
        import_dataset("folders", tmp_path, tmp_path / "d.parquet", options)
