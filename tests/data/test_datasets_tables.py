"""Importers of tables and folders: the student's sheet, any table, class folders."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fftag.base.errors import FftagError
from fftag.base.tables import read_table
from fftag.data.importers import ImportOptions, ImportReport, import_dataset
from fftag.data.manifest import Manifest, check_files, read_manifest
from fftag.models.labels import load_taxonomy

ALL_TRAIN = ImportOptions(splits=(1, 0, 0))


def touch_photos(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f"photo {folder}/{name}")


def load(report: ImportReport) -> tuple[Manifest, dict[str, list[str]]]:
    manifest = read_manifest(report.out)
    check_files(manifest)
    pairs = zip(manifest.frame["image"], manifest.frame["labels"], strict=True)
    return manifest, {Path(image).name: sorted(names) for image, names in pairs}


def write_sheet(path: Path, rows: list[tuple[str, ...]], columns: list[str]) -> Path:
    frame = pd.DataFrame(rows, columns=columns)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_excel(path, index=False)
    return path


STUDENT = ["ImageId", "Category", "CategoryName"]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_the_student_s_sheet_keeps_commas_in_names(tmp_path: Path, suffix: str) -> None:
    rows = [
        ("a.jpg", "31,0,28", "sleeve|shirt, blouse|collar"),
        ("b", "7", "shorts"),
        ("c.jpg", "", ""),
    ]
    path = write_sheet(tmp_path / f"photos{suffix}", rows, STUDENT)
    touch_photos(tmp_path / "train", ["a.jpg", "b.jpg", "c.jpg"])
    report = import_dataset("sheet", path, tmp_path / "m.parquet", ALL_TRAIN)
    manifest, labels = load(report)
    assert labels == {
        "a.jpg": ["collar", "shirt, blouse", "sleeve"],
        "b.jpg": ["shorts"],
        "c.jpg": [],
    }
    assert manifest.labels.names == ("shirt, blouse", "shorts", "collar", "sleeve")


def test_a_sheet_of_ids_alone_takes_its_names_from_a_taxonomy(tmp_path: Path) -> None:
    path = write_sheet(tmp_path / "ids.csv", [("a.jpg", "0,23")], STUDENT[:2])
    touch_photos(tmp_path, ["a.jpg"])
    with pytest.raises(FftagError, match="--taxonomy fashionpedia"):
        import_dataset("sheet", path, tmp_path / "m.parquet", ALL_TRAIN)
    options = ImportOptions(splits=(1, 0, 0), taxonomy="fashionpedia")
    manifest, labels = load(import_dataset("sheet", path, tmp_path / "m.parquet", options))
    assert labels == {"a.jpg": ["shirt, blouse", "shoe"]}
    assert manifest.labels == load_taxonomy("fashionpedia")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("a.jpg", "0", "hat"), ("b.jpg", "0,1", "hat")], "row 3: 2 ids in Category but 1 names"),
        (
            [("a.jpg", "0", "hat"), ("b.jpg", "0", "cap")],
            "row 3: id 0 is 'cap' here and 'hat' above",
        ),
        ([("a.jpg", "0;1", "hat|cap")], "row 2: Category '0;1' is no list of ids"),
        ([("", "0", "hat")], "row 2: ImageId is empty"),
        ([("a.jpg", "", "")], "has any category"),
    ],
)
def test_a_bad_row_of_the_sheet_is_named(
    tmp_path: Path, rows: list[tuple[str, ...]], says: str
) -> None:
    path = write_sheet(tmp_path / "photos.csv", rows, STUDENT)
    with pytest.raises(FftagError, match=says):
        import_dataset("sheet", path, tmp_path / "m.parquet", ALL_TRAIN)


def test_a_table_s_columns_and_separator_can_be_named(tmp_path: Path) -> None:
    rows = [("a.jpg", "hat, tie"), ("b.jpg", "tie")]
    path = write_sheet(tmp_path / "t.csv", rows, ["file", "tags"])
    touch_photos(tmp_path / "pool", ["a.jpg", "b.jpg"])
    with pytest.raises(FftagError, match=r"no column 'image' .*--image-column"):
        import_dataset("table", path, tmp_path / "m.parquet", ALL_TRAIN)
    options = ImportOptions(
        splits=(1, 0, 0),
        photos=tmp_path / "pool",
        image_column="file",
        labels_column="tags",
        separator=",",
    )
    manifest, labels = load(import_dataset("table", path, tmp_path / "m.parquet", options))
    assert labels == {"a.jpg": ["hat", "tie"], "b.jpg": ["tie"]}
    assert manifest.frame["image"].tolist() == ["pool/a.jpg", "pool/b.jpg"]


def test_lists_in_parquet_and_splits_and_sources_are_taken_over(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": ["b.jpg", "a.jpg"],
            "labels": [["hat|cap"], ["tie", "hat|cap"]],
            "split": ["val", "train"],
            "source": ["shop", "street"],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    touch_photos(tmp_path, ["a.jpg", "b.jpg"])
    report = import_dataset(
        "table", tmp_path / "t.parquet", tmp_path / "m.parquet", ImportOptions()
    )
    frame = load(report)[0].frame
    assert frame[["image", "split", "source"]].to_numpy().tolist() == [
        ["a.jpg", "train", "street"],
        ["b.jpg", "val", "shop"],
    ]
    assert [list(names) for names in frame["labels"]] == [["tie", "hat|cap"], ["hat|cap"]]


def test_copies_across_given_splits_go_to_the_more_held_out_one(tmp_path: Path) -> None:
    rows = [("a.jpg", "hat", "train"), ("b.jpg", "hat", "test"), ("c.jpg", "tie", "train")]
    path = write_sheet(tmp_path / "t.csv", rows, ["image", "labels", "split"])
    touch_photos(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    (tmp_path / "a.jpg").write_bytes((tmp_path / "b.jpg").read_bytes())
    report = import_dataset("table", path, tmp_path / "m.parquet", ImportOptions())
    assert read_manifest(report.out).frame["split"].tolist() == ["test", "test", "train"]
    assert (report.copies, report.moved) == (1, 1)
    assert "1 photo moved from the split given to that of a copy" in report.lines()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("a.jpg", "hat", "train"), ("b.jpg", "hat", "")], "1 of 2 rows of .* have no split"),
        ([("a.jpg", "hat", "dev")], "unknown split 'dev'"),
        ([("a.jpg", "hat", ""), ("a.jpg", "tie", "")], "stand twice"),
        ([("", "hat", "")], "row 2: image is empty"),
        ([("a.jpg", "", "")], "has any label"),
        ([("a" * 300, "hat", "")], "1 of 1 photos are missing"),
    ],
)
def test_a_table_that_leaves_a_doubt_is_refused(
    tmp_path: Path, rows: list[tuple[str, ...]], says: str
) -> None:
    path = write_sheet(tmp_path / "t.csv", rows, ["image", "labels", "split"])
    touch_photos(tmp_path, ["a.jpg", "b.jpg"])
    with pytest.raises(FftagError, match=says):
        import_dataset("table", path, tmp_path / "m.parquet", ALL_TRAIN)
    assert not (tmp_path / "m.parquet").exists()


def test_a_manifest_imported_again_keeps_its_label_set(tmp_path: Path) -> None:
    for label in ("tie", "hat"):
        touch_photos(tmp_path / "classes" / label, ["1.jpg", "2.jpg"])
    (tmp_path / "classes/cap").mkdir()
    first = import_dataset("folders", tmp_path / "classes", tmp_path / "m.parquet", ALL_TRAIN)
    again = import_dataset("table", first.out, tmp_path / "again.parquet", ALL_TRAIN)
    assert read_manifest(again.out).labels.names == ("cap", "hat", "tie")
    assert read_manifest(again.out).fingerprint == read_manifest(first.out).fingerprint


def test_class_folders_name_the_label_and_count_what_is_no_photo(tmp_path: Path) -> None:
    touch_photos(tmp_path / "in/t-shirt", ["1.JPG", "2.png", "notes.txt", "._1.JPG"])
    touch_photos(tmp_path / "in/__MACOSX", ["1.JPG"])
    touch_photos(tmp_path / "in/t-shirt/@eaDir", ["1.JPG"])
    touch_photos(tmp_path / "in/évasé", ["1.webp"])
    touch_photos(tmp_path / "in", ["README.md"])
    (tmp_path / "in/t-shirt/deeper").mkdir()
    report = import_dataset("folders", tmp_path / "in", tmp_path / "m.parquet", ALL_TRAIN)
    manifest = read_manifest(report.out)
    assert manifest.labels.names == ("t-shirt", "évasé")
    assert manifest.frame["image"].tolist() == [
        "in/t-shirt/1.JPG",
        "in/t-shirt/2.png",
        "in/évasé/1.webp",
    ]
    assert any(line.startswith("5 entries are no photos") for line in report.lines())
    said = "1 photo left out that are companion files of other programs: 't-shirt/._1.JPG'"
    assert said in report.lines()


def test_a_photo_is_not_taken_from_another_folder_than_the_sheet_says(tmp_path: Path) -> None:
    rows = [("train/1.jpg", "0", "hat"), ("val/1.jpg", "1", "tie"), ("val/2.jpg", "1", "tie")]
    sheet = write_sheet(tmp_path / "s.csv", rows, STUDENT)
    table = write_sheet(
        tmp_path / "t.csv", [(image, name) for image, _, name in rows], ["image", "labels"]
    )
    touch_photos(tmp_path / "train", ["1.jpg", "2.jpg"])
    for format, source in (("sheet", sheet), ("table", table)):  # noqa: A001
        with pytest.raises(FftagError, match=r"2 of 3 photos are missing: '.*val/1\.jpg'"):
            import_dataset(format, source, tmp_path / "m.parquet", ALL_TRAIN)
        lenient = ImportOptions(splits=(1, 0, 0), allow_missing=True)
        report = import_dataset(format, source, tmp_path / "m.parquet", lenient)
        assert load(report)[1] == {"1.jpg": ["hat"]}
        assert report.missing == 2 and any("val/1.jpg" in line for line in report.lines())


def test_a_sheet_with_one_path_among_names_is_a_sheet_of_paths(tmp_path: Path) -> None:
    rows = [("1.jpg", "0", "hat"), ("val\\2.jpg", "1", "tie")]
    path = write_sheet(tmp_path / "s.csv", rows, STUDENT)
    touch_photos(tmp_path / "train", ["1.jpg", "2.jpg"])
    with pytest.raises(FftagError, match="2 of 2 photos are missing"):
        import_dataset("sheet", path, tmp_path / "m.parquet", ALL_TRAIN)


def test_names_alone_are_found_in_the_folders_of_photos_only(tmp_path: Path) -> None:
    path = write_sheet(tmp_path / "t.csv", [("1.jpg", "hat")], ["image", "labels"])
    touch_photos(tmp_path / "__MACOSX", ["1.jpg"])
    touch_photos(tmp_path / "train/@eaDir", ["1.jpg"])
    with pytest.raises(FftagError, match="1 of 1 photos are missing"):
        import_dataset("table", path, tmp_path / "m.parquet", ALL_TRAIN)
    touch_photos(tmp_path / "train", ["1.jpg"])
    report = import_dataset("table", path, tmp_path / "m.parquet", ALL_TRAIN)
    assert load(report)[0].frame["image"].tolist() == ["train/1.jpg"]


def test_a_folder_that_cannot_be_looked_into_leaves_no_name_to_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sheet(tmp_path / "t.csv", [("1.jpg", "hat")], ["image", "labels"])
    touch_photos(tmp_path / "train", ["1.jpg"])
    touch_photos(tmp_path / "val", ["1.jpg"])

    def guarded(whole: Callable[..., Any]) -> Callable[..., Any]:
        def listed(path: Any) -> Any:
            if str(path).endswith("val"):
                raise PermissionError(13, "Permission denied", str(path))
            return whole(path)

        return listed

    monkeypatch.setattr(os, "scandir", guarded(os.scandir))
    monkeypatch.setattr(os, "listdir", guarded(os.listdir))
    with pytest.raises(FftagError, match=r"cannot look for photos in .*val: Permission denied"):
        import_dataset("table", path, tmp_path / "m.parquet", ALL_TRAIN)
    with pytest.raises(FftagError, match=r"cannot list .*val: Permission denied"):
        import_dataset("folders", tmp_path, tmp_path / "m.parquet", ALL_TRAIN)


def test_one_photo_under_two_classes_stays_in_one_split(tmp_path: Path) -> None:
    for label in ("hat", "tie"):
        touch_photos(tmp_path / "in" / label, [f"{n}.jpg" for n in range(30)])
    for n in range(15):
        copy = (tmp_path / f"in/hat/{n}.jpg").read_bytes()
        (tmp_path / f"in/tie/{n}.jpg").write_bytes(copy)
    options = ImportOptions(splits=(0.6, 0.2, 0.2))
    report = import_dataset("folders", tmp_path / "in", tmp_path / "m.parquet", options)
    assert report.copies == 15
    frame = read_manifest(report.out).frame
    split_of = dict(zip(frame["image"], frame["split"], strict=True))
    assert all(split_of[f"in/hat/{n}.jpg"] == split_of[f"in/tie/{n}.jpg"] for n in range(15))


def test_splits_do_not_hang_on_the_order_of_the_source(tmp_path: Path) -> None:
    rows = [(f"{n}.jpg", "hat|tie" if n % 3 else "tie") for n in range(40)]
    touch_photos(tmp_path, [name for name, _ in rows])
    columns = ["image", "labels"]
    manifests = []
    for number, order in enumerate((rows, rows[::-1])):
        path = write_sheet(tmp_path / f"{number}.csv", order, columns)
        report = import_dataset("table", path, tmp_path / "m.parquet", ImportOptions(seed=5))
        manifests.append(read_manifest(report.out))
    assert manifests[0].fingerprint == manifests[1].fingerprint


def test_the_report_counts_what_the_manifest_holds(tmp_path: Path) -> None:
    rows = [(f"{n}.jpg", "tie|hat" if n else "", "") for n in range(10)]
    rows[3] = ("3.jpg", "tie|veil", "")
    path = write_sheet(tmp_path / "t.csv", rows, ["image", "labels", "source"])
    touch_photos(tmp_path, [name for name, _, _ in rows])
    options = ImportOptions(min_photos=2)
    report = import_dataset("table", path, tmp_path / "new/folder/m.parquet", options)
    assert report.splits == {"train": 8, "val": 1, "test": 1}
    assert (report.photos, report.labels, report.labels_given) == (10, 2, 17)
    assert report.dropped == {"veil": 1}
    text = "\n".join(report.lines())
    assert "10 photos, 2 labels, 1.70 labels per photo" in text
    assert "1 label dropped, on too few photos: 'veil (1)'" in text
    assert json.loads(json.dumps(report.content()))["photos"] == 10


def test_a_csv_row_with_too_many_cells_moves_no_column(tmp_path: Path) -> None:
    path = tmp_path / "photos.csv"
    path.write_text("image,labels\na.jpg,shirt,blouse\n")
    with pytest.raises(FftagError, match="more cells than its header"):
        read_table(path)
