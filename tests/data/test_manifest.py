"""The manifest: what it keeps, what it refuses, and what it reads from tables people write."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fftag.base.errors import FftagError
from fftag.data.manifest import (
    Manifest,
    check_files,
    make_manifest,
    read_manifest,
    split_labels,
    write_manifest,
)
from fftag.models.labels import LabelSet

LABELS = LabelSet.of(["shirt, blouse", "shoe", "hat"], ["upper", None, "head"])


def small(root: Path) -> Manifest:
    return make_manifest(
        ["a.jpg", "b.jpg"],
        [["shoe", "shirt, blouse", "shoe"], []],
        LABELS,
        root,
        ["train", None],
        ["mask", None],
    )


def test_a_manifest_read_back_is_the_one_written(tmp_path: Path) -> None:
    manifest = small(tmp_path)
    write_manifest(manifest, tmp_path / "m.parquet")
    again = read_manifest(tmp_path / "m.parquet")
    assert again.labels == LABELS
    assert again.fingerprint == manifest.fingerprint
    assert [list(names) for names in again.frame["labels"]] == [["shoe", "shirt, blouse"], []]
    assert again.frame["split"].tolist() == ["train", None]
    assert again.frame["source"].tolist() == ["mask", None]
    assert again.targets().tolist() == [[1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_label_that_looks_like_a_missing_value_stays_a_label(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame(
        {
            "image": ["1.jpg", "2.jpg", "3.jpg"],
            "labels": ["NA|None", "007", ""],
            "split": ["", "test", ""],
        }
    )
    path = tmp_path / f"m{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_excel(path, index=False)
    manifest = read_manifest(path)
    assert [list(names) for names in manifest.frame["labels"]] == [["NA", "None"], ["007"], []]
    assert manifest.frame["split"].tolist() == [None, "test", None]


@pytest.mark.parametrize(
    ("images", "labels", "splits", "says"),
    [
        ([], [], None, "no photos"),
        (["a", "a"], [["hat"], ["hat"]], None, "stand twice in the manifest: 'a'"),
        (["a"], [["wig"]], None, "1 labels are not in the label set: 'wig'"),
        (["a"], [["hat"]], ["training"], "unknown split 'training'"),
        (["a"], [[]], None, "no photo in the manifest has any label"),
    ],
)
def test_what_training_could_not_trust_is_refused(
    tmp_path: Path, images: list[str], labels: list[list[str]], splits: list[str] | None, says: str
) -> None:
    with pytest.raises(FftagError, match=says):
        make_manifest(images, labels, LABELS, tmp_path, splits)


def test_missing_photos_are_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(FftagError, match=r"1 of 2 photos are missing: '.*b\.jpg'"):
        check_files(small(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.parquet", None, "no manifest at .*: make one with `fftag data import`"),
        ("m.parquet", b"not parquet", "cannot be read as parquet"),
        ("m.xlsx", b"PK\x03\x04 no workbook", "cannot be read as xlsx"),
        ("m.csv", b"image,tags\na,b\n", "no column 'labels' .it has: image, tags."),
        ("m.csv", b"image,labels\n,hat\n", "1 rows of .* have no image path"),
        ("m.csv", b"image,labels\na,\n", "no photo in .* has any label"),
        ("m.csv", b"image,labels\n\xff\xfe,hat\n", "cannot be read as csv"),
        ("m.tsv", b"", "no table fftag reads"),
    ],
)
def test_an_unreadable_manifest_is_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FftagError, match=says) as caught:
        read_manifest(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"format_version": 99}, "newer fftag"),
        ({"labels": [{"title": "hat"}]}, "no readable label set"),
        ({"labels": 3}, "no readable label set"),
    ],
)
def test_metadata_that_cannot_be_trusted_is_refused(
    tmp_path: Path, metadata: dict[str, object], says: str
) -> None:
    table = pa.table({"image": ["a"], "labels": [["hat"]]})
    table = table.replace_schema_metadata({b"fftag": json.dumps(metadata).encode()})
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(FftagError, match=says):
        read_manifest(tmp_path / "m.parquet")


def test_a_path_that_is_no_utf8_is_refused_by_name(tmp_path: Path) -> None:
    manifest = make_manifest(["caf\udce9.jpg"], [["hat"]], LABELS, tmp_path)
    with pytest.raises(FftagError, match=r"no UTF-8: 'caf\\udce9\.jpg'; rename it"):
        write_manifest(manifest, tmp_path / "m.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_changes_with_whatever_training_sees(tmp_path: Path) -> None:
    first = make_manifest(["a", "b"], [["hat"], ["shoe"]], LABELS, tmp_path, ["train", "val"])
    other_split = make_manifest(["a", "b"], [["hat"], ["shoe"]], LABELS, tmp_path, ["val", "val"])
    other_label = make_manifest(["a", "b"], [["hat"], ["hat"]], LABELS, tmp_path, ["train", "val"])
    moved = make_manifest(
        ["a", "b"], [["hat"], ["shoe"]], LABELS, Path("/elsewhere"), ["train", "val"]
    )
    assert first.fingerprint == moved.fingerprint
    assert len({first.fingerprint, other_split.fingerprint, other_label.fingerprint}) == 3


@given(st.lists(st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"]))))
def test_names_joined_by_a_bar_come_apart_as_they_were(names: list[str]) -> None:
    kept = [name.strip() for name in names if name.strip()]
    assert split_labels("|".join(names)) == kept
    assert split_labels(names) == kept
