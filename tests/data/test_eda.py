"""The dataset page: what it shows is right, safe and complete."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fftag.base.errors import FftagError
from fftag.data.eda import (
    label_frequencies,
    phi_coefficients,
    split_comparison,
    strongest_pairs,
    write_eda,
)
from fftag.data.manifest import Manifest, make_manifest, read_manifest
from fftag.models.labels import LabelSet

PICTURES = {
    "label_frequency.png",
    "labels_per_photo.png",
    "co_occurrence.png",
    "correlation.png",
    "rarest_labels.png",
    "samples.png",
}
HOSTILE = '<script>alert("x")</script> $a_b$'


def manifest_of(
    labels: list[list[str]], names: list[str], splits: list[str] | None = None
) -> Manifest:
    images = [f"{number}.jpg" for number in range(len(labels))]
    return make_manifest(images, labels, LabelSet.of(names), Path("nowhere"), splits)


def test_the_page_and_its_plots_are_written(bands_manifest: Path, tmp_path: Path) -> None:
    page, *files = write_eda(read_manifest(bands_manifest), tmp_path / "eda")
    assert page == tmp_path / "eda/index.html"
    assert {file.name for file in files} == PICTURES
    assert {path.name for path in page.parent.iterdir()} == {*PICTURES, "index.html"}
    text = page.read_text()
    for file in files:
        with Image.open(file) as picture:
            picture.load()
            assert min(picture.size) > 150
        assert base64.b64encode(file.read_bytes()).decode() in text


@pytest.mark.usefixtures("undrawn")
def test_the_page_refers_to_nothing_outside_itself(bands_manifest: Path, tmp_path: Path) -> None:
    text = write_eda(read_manifest(bands_manifest), tmp_path)[0].read_text()
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', text)
    assert addresses
    assert all(a.startswith(("data:image/png;base64,", "#")) for a in addresses)
    assert not re.search(r"https?://|@import|url\(|<script", re.sub(r'src="[^"]*"', "", text))


@pytest.mark.usefixtures("undrawn")
def test_a_hostile_label_is_text_and_nothing_else(tmp_path: Path) -> None:
    manifest = manifest_of([[HOSTILE, "hat"]] * 8 + [["hat"]] * 4, [HOSTILE, "hat", "x" * 300])
    text = write_eda(manifest, tmp_path)[0].read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("labels", "names"),
    [([["a"]], ["a"]), ([["a"], []], ["a", "b"]), ([["a", "b"], ["a"]], ["a", "b", "c", "d"])],
)
def test_tiny_datasets_have_a_page_too(
    tmp_path: Path, labels: list[list[str]], names: list[str]
) -> None:
    assert len(write_eda(manifest_of(labels, names), tmp_path)) == 1 + len(PICTURES)


@pytest.mark.usefixtures("undrawn")
def test_unreadable_photos_are_counted_on_the_page(
    folder_of_photos: Callable[[int], Path], tmp_path: Path
) -> None:
    root = folder_of_photos(10)
    images = sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))
    (root / images[0]).write_bytes(b"no photo")
    manifest = make_manifest(images, [["hat"]] * 10, LabelSet.of(["hat"]), root)
    text = write_eda(manifest, tmp_path / "eda")[0].read_text()
    assert "1 of the photos drawn could not be read" in text


def test_two_runs_write_the_same_bytes(bands_manifest: Path, tmp_path: Path) -> None:
    manifest = read_manifest(bands_manifest)
    first, second = (write_eda(manifest, tmp_path / name) for name in "ab")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_frequencies_rest_on_counts_and_intervals() -> None:
    manifest = manifest_of([["a"]] * 3 + [["a", "b"]] + [[]] * 6, ["b", "a", "c"])
    frame = label_frequencies(manifest)
    assert frame["label"].tolist() == ["a", "b", "c"]
    assert frame["photos"].tolist() == [4, 1, 0]
    assert frame["share %"].tolist() == pytest.approx([40, 10, 0])
    # 4 of 10: 16.82 % to 68.73 % (Wilson, worked by hand with z = 1.96).
    assert frame.loc[0, ["low %", "high %"]].tolist() == pytest.approx([16.82, 68.73], abs=0.01)
    assert frame.loc[2, "low %"] == 0
    assert frame.loc[2, "high %"] == pytest.approx(27.75, abs=0.01)


def test_phi_is_the_correlation_of_the_columns() -> None:
    targets = (np.random.default_rng(0).random((200, 6)) < 0.3).astype(np.int64)
    targets[:, 5] = 0
    phi = phi_coefficients(targets)
    expected = np.corrcoef(targets[:, :5].T)
    off_diagonal = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(phi[:5, :5][off_diagonal], expected[off_diagonal], atol=1e-12)
    assert np.isnan(phi[5]).all()
    assert np.isnan(np.diag(phi)).all()


def test_the_strongest_pairs_come_with_what_they_rest_on() -> None:
    targets = np.zeros((40, 4), dtype=np.int64)
    targets[:10, :2] = 1
    targets[5:25, 2] = 1
    targets[0, 3] = 1
    together = targets.T @ targets
    frame = strongest_pairs(
        together, phi_coefficients(targets), ("tie", "shirt", "bag", "rare"), 40
    )
    assert frame.loc[0, ["label", "with", "both"]].tolist() == ["tie", "shirt", 10]
    assert frame.loc[0, ["phi", "expected", "lift"]].tolist() == pytest.approx([1.0, 2.5, 4.0])
    assert "rare" not in set(frame["label"]) | set(frame["with"])


def test_splits_are_compared_label_by_label() -> None:
    manifest = manifest_of(
        [["a"], ["a"], ["a", "b"], ["b"]], ["a", "b"], ["train", "train", "val", "val"]
    )
    frame = split_comparison(manifest)
    assert frame is not None
    assert frame["label"].tolist() == ["b", "a"]
    assert frame["widest gap"].tolist() == [100, 50]
    assert frame["train photos"].tolist() == [0, 2]
    assert split_comparison(manifest_of([["a"]], ["a"])) is None


def test_a_rotated_photo_is_shown_upright(tmp_path: Path) -> None:
    from fftag.data.eda_plots import read_samples

    wide = Image.new("RGB", (80, 40), "red")
    exif = wide.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    wide.save(buffer, "JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    manifest = make_manifest(["a.jpg"], [["hat"]], LabelSet.of(["hat"]), tmp_path)
    samples, unreadable = read_samples(manifest, 3, seed=0)
    assert unreadable == 0
    height, width, _ = samples[0].picture.shape
    across, down = samples[0].picture[height // 2], samples[0].picture[:, width // 2]
    assert across[0].min() == 255 and (down[:, 1] < 10).all()  # high and narrow
    assert samples[0].labels == ["hat"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FftagError, match="cannot make the folder"):
        write_eda(manifest_of([["a"]], ["a"]), tmp_path / "file")
