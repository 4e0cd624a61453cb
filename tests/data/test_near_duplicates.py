"""Near duplicates: found, never chained by chance, never in two splits."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from fftag.base.errors import FftagError
from fftag.data.importers import ImportOptions, import_dataset
from fftag.data.manifest import read_manifest
from fftag.data.near_duplicates import (
    close_pairs,
    join_groups,
    near_duplicates,
)
from fftag.data.near_embeddings import similar_embeddings
from fftag.data.photo_hashes import PhotoHashes, hash_photos
from fftag.models.folder import Bundle

CCP = Path(__file__).parents[3] / "shared" / "data" / "ccp" / "photos"


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


def hashes_of(rows: list[tuple[int, int]], colours: list[int] | None = None) -> PhotoHashes:
    """Made-up photos: their bits, and one of a few colours, none like another."""
    chosen = np.array(colours or [0] * len(rows), dtype=np.int64)
    bits = np.array(rows, dtype=np.uint64).reshape(-1, 2)
    pictures = np.eye(max(chosen, default=0) + 1, dtype=np.float32)[chosen]
    return PhotoHashes(np.ones(len(rows), dtype=bool), bits, pictures)


@given(st.data(), st.integers(0, 128))
@settings(max_examples=80, deadline=None)
def test_the_pairs_are_those_that_comparing_each_with_each_gives(
    data: st.DataObject, distance: int
) -> None:
    word = st.sampled_from([0, 1, 3, 7, 255, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
    rows = data.draw(st.lists(st.tuples(word, word), max_size=14))
    colours = data.draw(st.lists(st.integers(0, 1), min_size=len(rows), max_size=len(rows)))
    expected = {
        (one, other)
        for other in range(len(rows))
        for one in range(other)
        if colours[one] == colours[other]
        and sum((a ^ b).bit_count() for a, b in zip(rows[one], rows[other], strict=True))
        <= distance
    }
    hashes = hashes_of(rows, colours)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fftag.data.near_duplicates.ROWS", 3)
        patch.setattr("fftag.data.near_duplicates.COLUMNS", 5)
        found = close_pairs(hashes, distance)
        assert {tuple(pair) for pair in found.tolist()} == expected
        patch.setattr("fftag.data.near_duplicates.MOST_PAIRS", 2)
        fewer = close_pairs(hashes, distance)
    each = np.arange(len(rows))
    assert join_groups(each, [fewer]).tolist() == join_groups(each, [found]).tolist()
    assert len(fewer) <= len(found)


def test_what_is_not_known_pairs_with_nothing() -> None:
    hashes = hashes_of([(0, 0)] * 4)
    hashes.known[1] = False
    assert close_pairs(hashes, 9).tolist() == [[0, 2], [0, 3], [2, 3]]


def product(colour: tuple[int, int, int], shift: int) -> Image.Image:
    """The same jacket before a white wall, in a colour of its own."""
    image = Image.new("RGB", (300, 400), (250, 250, 248))
    draw = ImageDraw.Draw(image)
    draw.rectangle((90 + shift, 80, 210 + shift, 300), fill=colour)
    draw.rectangle((50 + shift, 90, 90 + shift, 260), fill=tuple(value // 2 for value in colour))
    draw.rectangle((210 + shift, 90, 250 + shift, 260), fill=tuple(value // 2 for value in colour))
    return image.filter(ImageFilter.GaussianBlur(2))


def test_one_cut_in_several_colours_before_a_plain_wall_is_no_chain(tmp_path: Path) -> None:
    colours = [(220, 40, 40), (40, 60, 220), (40, 180, 60), (230, 200, 40), (150, 40, 190)]
    paths = [
        save(product(colour, number % 3), tmp_path / f"{number}.jpg", quality=90)
        for number, colour in enumerate(colours)
    ]
    paths.append(save(product(colours[0], 0), tmp_path / "again.jpg", quality=60))
    groups = join_groups(np.arange(6), [near_duplicates(paths)])
    assert groups.tolist() == [0, 1, 2, 3, 4, 0]


def test_a_file_of_another_kind_is_not_opened(tmp_path: Path) -> None:
    paths = [tmp_path / "a.ppm", tmp_path / "b.ppm"]
    for path in paths:
        save(scene(1), path)
    assert not hash_photos(paths, show=False).known.any()


@pytest.mark.skipif(not CCP.is_dir(), reason="Clothing Co-Parsing is not there")
def test_real_near_duplicates_are_found_and_nothing_else() -> None:
    pairs = ["0025 1707", "0078 0984", "0183 0730", "0220 1691", "0343 1083"]
    pairs += ["0906 1694", "0907 0990", "0999 1890", "1671 1790"]
    # Same street, another person; people at the same wall.
    others = ["0767", "1529", "1265", "1655", "0097", "1603", "0332", "1229"]
    names = sorted({name for pair in pairs for name in pair.split()} | set(others))
    found = near_duplicates([CCP / f"{name}.jpg" for name in names])
    assert sorted(f"{names[a]} {names[b]}" for a, b in found) == sorted(pairs)


def test_groups_that_a_chain_of_pairs_connects_are_one_numbered_in_the_order_met() -> None:
    exact = np.array([0, 1, 2, 1, 3, 4])
    pairs = np.array([[4, 5], [2, 3]])
    assert join_groups(exact, [pairs]).tolist() == [0, 1, 1, 1, 2, 2]
    assert join_groups(exact, []).tolist() == exact.tolist()


def test_equal_embeddings_pair_but_not_of_flat_photos_or_broken_files(
    session_bundle: Bundle, tmp_path: Path
) -> None:
    paths = [
        save(scene(1), tmp_path / "a.png"),
        save(scene(2), tmp_path / "b.png"),
        save(scene(1), tmp_path / "c.bmp"),
    ]
    (tmp_path / "broken.png").write_bytes(b"no photo")
    flat = [save(Image.new("RGB", (60, 80), "white"), tmp_path / f"{n}.png") for n in (1, 2)]
    found = similar_embeddings(
        [tmp_path / "broken.png", *paths, *flat], session_bundle, 0.99999, "cpu"
    )
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
        line.startswith("12 clusters of near duplicates, each kept in one split, the largest of 2")
        for line in lines
    )


def test_a_model_s_embeddings_join_photos_on_request(
    session_bundle: Bundle, tmp_path: Path
) -> None:
    for number in range(12):
        save(scene(number), tmp_path / f"hat/{number:02d}.png")
    for number in range(4):
        save(scene(number), tmp_path / f"shoe/{number:02d}.bmp")
    options = ImportOptions(
        near_duplicates=False, near_model=session_bundle.path, near_similarity=0.99999
    )
    report = import_dataset("folders", tmp_path, tmp_path / "d.parquet", options)
    joined = {frozenset(Path(image).stem for image in cluster) for cluster in report.near}
    assert joined == {frozenset([f"{number:02d}"]) for number in range(4)}
    assert len(report.near) == 4


def test_near_duplicates_are_left_where_they_fall_on_request(tmp_path: Path) -> None:
    options = ImportOptions(splits=(0.5, 0.25, 0.25), near_duplicates=False)
    path, lines = import_table(tmp_path, options)
    frame = read_manifest(path).frame
    split_of = dict(zip(frame["image"], frame["split"], strict=True))
    assert any(split_of[f"{n:02d}.jpg"] != split_of[f"{n:02d}b.jpg"] for n in range(12))
    assert not any("near duplicates" in line for line in lines)


def test_a_cluster_that_is_hardly_one_scene_is_pointed_out(tmp_path: Path) -> None:
    for number in range(20):
        same = scene(1).resize((300 - number, 400 - number))
        save(same if number < 6 else scene(number), tmp_path / f"hat/{number:02d}.jpg")
    report = import_dataset("folders", tmp_path, tmp_path / "d.parquet", ImportOptions())
    assert [len(cluster) for cluster in report.near] == [6]
    assert any("warning: 6 of 20 photos are one cluster" in line for line in report.lines())


def test_without_near_duplicates_the_splits_are_those_of_the_seed(tmp_path: Path) -> None:
    for number in range(24):
        save(scene(number), tmp_path / f"{'hat' if number % 3 else 'shoe'}/{number:02d}.jpg")
    splits = []
    for near in (True, False):
        options = ImportOptions(seed=5, near_duplicates=near)
        import_dataset("folders", tmp_path, tmp_path / "d.parquet", options)
        splits.append(read_manifest(tmp_path / "d.parquet").fingerprint)
    assert splits[0] == splits[1]


@pytest.mark.parametrize("kind", ["table", "sheet"])
def test_a_named_column_is_spread_over_the_splits(tmp_path: Path, kind: str) -> None:
    rows = ["image,labels,ImageId,Category,CategoryName,season,source"]
    seasons = ["summer"] * 24 + ["winter"] * 8 + [""] * 8
    for number, season in enumerate(seasons):
        name = f"{number:02d}.jpg"
        save(scene(number), tmp_path / name)
        rows.append(f"{name},hat,{name},0,hat,{season},{number}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    options = ImportOptions(splits=(0.5, 0.25, 0.25), stratify="season")
    import_dataset(kind, tmp_path / "t.csv", tmp_path / "d.parquet", options)
    frame = read_manifest(tmp_path / "d.parquet").frame
    of = dict(zip((f"{number:02d}.jpg" for number in range(40)), seasons, strict=True))
    counts = frame.groupby(["split", frame["image"].map(of)]).size()
    assert [counts[split, "winter"] for split in ("train", "val", "test")] == [4, 2, 2]
    assert [counts[split, ""] for split in ("train", "val", "test")] == [4, 2, 2]
    if kind == "table":  # what the photos come from stays what it was
        assert frame["source"].tolist() == [str(number) for number in range(40)]


def test_a_column_that_cannot_be_stratified_by_is_refused(tmp_path: Path) -> None:
    rows = ["image,labels,sku"]
    for number in range(120):
        (tmp_path / f"{number}.jpg").write_text(str(number))
        rows.append(f"{number}.jpg,hat,sku-{number}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    for stratify, says in (("colour", "--stratify"), ("sku", "has 120 different values")):
        options = ImportOptions(stratify=stratify)
        with pytest.raises(FftagError, match=says):
            import_dataset("table", tmp_path / "t.csv", tmp_path / "d.parquet", options)
    with pytest.raises(FftagError, match="no columns but source; use the format table or sheet"):
        options = ImportOptions(stratify="season")
        import_dataset("folders", tmp_path, tmp_path / "d.parquet", options)
