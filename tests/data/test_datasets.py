"""Importers of whole files: iMaterialist, Fashionpedia, Clothing Co-Parsing, and what all share."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from fftag.base.errors import FftagError
from fftag.data.importers import IMPORTERS, ImportOptions, ImportReport, import_dataset
from fftag.data.manifest import Manifest, check_files, read_manifest
from fftag.models.labels import load_taxonomy

SHARED = Path(__file__).parents[3] / "shared" / "data"
ALL_TRAIN = ImportOptions(splits=(1, 0, 0))
CATEGORIES = [
    {"id": 4, "name": "shirt, blouse", "supercategory": "upperbody", "level": 2},
    {"id": 6, "name": "pants", "supercategory": "lowerbody", "level": 2},
    {"id": 0, "name": "hat", "supercategory": "head", "level": 2},
]


def touch_photos(folder: Path, names: list[str]) -> None:
    """Files that stand for photos, each of its own content."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f"photo {folder}/{name}")


def load(report: ImportReport) -> tuple[Manifest, dict[str, list[str]]]:
    """The manifest, and labels by file name."""
    manifest = read_manifest(report.out)
    check_files(manifest)
    pairs = zip(manifest.frame["image"], manifest.frame["labels"], strict=True)
    return manifest, {Path(image).name: sorted(names) for image, names in pairs}


def imaterialist(folder: Path, rows: str, year: int = 2019) -> Path:
    folder.mkdir(exist_ok=True)
    columns = "ImageId,EncodedPixels,Height,Width,ClassId"
    (folder / "train.csv").write_text(
        f"{columns}{',AttributesIds' if year == 2020 else ''}\n{rows}"
    )
    descriptions = {"categories": CATEGORIES, "attributes": []}
    (folder / "label_descriptions.json").write_text(json.dumps(descriptions))
    touch_photos(folder / "train", ["a.jpg", "b.jpg"])
    return folder


def test_imaterialist_2019_reads_the_category_before_the_attributes(tmp_path: Path) -> None:
    source = imaterialist(
        tmp_path / "imat", "a.jpg,1 2 9 4,80,60,6_4_56\na.jpg,5 6,80,60,6\nb.jpg,1 2,80,60,4\n"
    )
    report = import_dataset("imaterialist2019", source, source / "m.parquet", ALL_TRAIN)
    manifest, labels = load(report)
    assert labels == {"a.jpg": ["pants"], "b.jpg": ["shirt, blouse"]}
    assert manifest.labels.names == ("hat", "shirt, blouse", "pants")
    assert manifest.labels.groups == ("head", "upperbody", "lowerbody")
    assert manifest.frame["image"].tolist() == ["train/a.jpg", "train/b.jpg"]


def test_imaterialist_2020_adds_the_suffix_and_leaves_attributes_alone(tmp_path: Path) -> None:
    rows = 'a,1 2 9 4,80,60,6,"115,136"\na,5 6,80,60,0,\nb,1 2,80,60,4,4\n'
    source = imaterialist(tmp_path / "imat", rows, year=2020)
    report = import_dataset("imaterialist2020", source, tmp_path / "m.parquet", ALL_TRAIN)
    assert load(report)[1] == {"a.jpg": ["hat", "pants"], "b.jpg": ["shirt, blouse"]}


@pytest.mark.parametrize(
    ("year", "rows", "says"),
    [
        (2019, "a.jpg,1 2,8,6,6\nb.jpg,1 2,8,6,x_4\n", r"train.csv, row 3: ClassId 'x_4'"),
        (2019, "a.jpg,1 2,8,6,99\n", "row 2: ClassId '99' is no category"),
        (2019, "a.jpg,1 2,8,6,\n", "row 2: ClassId ''"),
        (2019, ",1 2,8,6,6\n", "row 2: ImageId is empty"),
        (2019, "a.jpg,1 2,8\n", "train.csv cannot be read: .*Expected 5 columns, got 3"),
        (2020, "a,1 2,8,6,6_4,\n", "row 2: ClassId '6_4'"),
    ],
)
def test_a_bad_imaterialist_row_is_named(tmp_path: Path, year: int, rows: str, says: str) -> None:
    source = imaterialist(tmp_path / "imat", rows, year)
    with pytest.raises(FftagError, match=says) as caught:
        import_dataset(f"imaterialist{year}", source, tmp_path / "m.parquet", ALL_TRAIN)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m.parquet").exists()


@pytest.mark.parametrize(("year", "other"), [(2019, 2020), (2020, 2019)])
def test_the_wrong_year_of_imaterialist_is_noticed(tmp_path: Path, year: int, other: int) -> None:
    source = imaterialist(tmp_path / "imat", "", year)
    with pytest.raises(FftagError, match=f"use the format imaterialist{year}"):
        import_dataset(f"imaterialist{other}", source, tmp_path / "m.parquet", ALL_TRAIN)


def test_memory_for_imaterialist_does_not_grow_with_its_masks(tmp_path: Path) -> None:
    """A gigabyte-like file: 240 MB of masks, read in a process allowed far less than that."""
    source = imaterialist(tmp_path / "imat", "")
    mask = "123 45 " * 600_000
    with (source / "train.csv").open("a") as stream:
        for number in range(60):
            stream.write(f"{'ab'[number % 2]}.jpg,{mask},8,6,{(4, 6)[number % 2]}_7\n")
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from fftag.data.reading import ImportOptions\n"
        "from fftag.data.imaterialist import read_2019\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "reading = read_2019(Path(sys.argv[1]), ImportOptions())\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(len(reading.photos), (after - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(source)], capture_output=True, text=True, check=True
    )
    photos, megabytes = map(int, done.stdout.split())
    assert photos == 2
    assert megabytes < 180


def coco(**changes: Any) -> dict[str, Any]:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 10, "image_id": 1, "category_id": 6, "segmentation": [[1.5, 2.5]]},
            {"id": 11, "image_id": 1, "category_id": 0, "segmentation": [[1.5, 2.5]]},
            {"id": 12, "image_id": 1, "category_id": 6, "segmentation": [[1.5, 2.5]]},
        ],
        "categories": CATEGORIES,
    }
    return content | changes


def test_coco_annotations_become_each_photo_s_set_of_labels(tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(json.dumps(coco()))
    touch_photos(tmp_path / "deep/below", ["a.jpg", "b.jpg"])
    report = import_dataset(
        "fashionpedia", tmp_path / "coco.json", tmp_path / "m.parquet", ALL_TRAIN
    )
    manifest, labels = load(report)
    assert labels == {"a.jpg": ["hat", "pants"], "b.jpg": []}
    assert manifest.labels.names == ("hat", "shirt, blouse", "pants")
    assert report.unlabelled == 1
    assert "1 photo without any label, kept" in report.lines()


def test_fashionpedia_s_own_validation_photos_become_the_test_split(tmp_path: Path) -> None:
    def part(names: list[str], first: int) -> str:
        images = [{"id": first + n, "file_name": name} for n, name in enumerate(names)]
        annotations = [{"image_id": image["id"], "category_id": 6} for image in images]
        return json.dumps(coco(images=images, annotations=annotations))

    fitted, held_out = [f"t{n}.jpg" for n in range(18)], ["v0.jpg", "v1.jpg"]
    (tmp_path / "instances_attributes_train2020.json").write_text(part(fitted, 0))
    (tmp_path / "instances_attributes_val2020.json").write_text(part(held_out, 100))
    touch_photos(tmp_path / "train", fitted)
    touch_photos(tmp_path / "test", held_out)
    report = import_dataset("fashionpedia", tmp_path, tmp_path / "m.parquet", ImportOptions())
    manifest, _ = load(report)
    assert report.splits == {"train": 16, "val": 2, "test": 2}
    assert manifest.of_split("test").frame["image"].tolist() == ["test/v0.jpg", "test/v1.jpg"]
    assert any("Fashionpedia's own validation" in line for line in report.lines())

    (tmp_path / "train/t0.jpg").write_bytes((tmp_path / "test/v0.jpg").read_bytes())
    report = import_dataset("fashionpedia", tmp_path, tmp_path / "m.parquet", ImportOptions())
    assert report.splits["test"] == 3
    assert report.copies == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"images": [', "no JSON .line 1"),
        ("[]", "lacks categories"),
        (json.dumps(coco(categories=[{"id": 1}])), "lacks categories, each with id, name"),
        (json.dumps(coco(categories=[*CATEGORIES, CATEGORIES[0]])), "category id stands twice"),
        (json.dumps(coco(annotations=None)), "no list of annotations"),
        (json.dumps(coco(images=[{"id": 1}])), "position 0 lacks id or file_name"),
        (
            json.dumps(coco(annotations=[{"id": 7, "image_id": 9, "category_id": 6}])),
            "annotation 7: there is no image with id 9",
        ),
        (
            json.dumps(coco(annotations=[{"image_id": 1, "category_id": 5}])),
            "annotation at position 0: there is no category with id 5",
        ),
        (
            json.dumps(coco(annotations=[{"image_id": [1], "category_id": 6}])),
            r"there is no image with id \[1\]",
        ),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_a_malformed_coco_file_is_one_clear_line(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "coco.json").write_text(content)
    with pytest.raises(FftagError, match=says) as caught:
        import_dataset("fashionpedia", tmp_path / "coco.json", tmp_path / "m.parquet", ALL_TRAIN)
    assert str(tmp_path / "coco.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_photos_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(json.dumps(coco()))
    touch_photos(tmp_path / "one", ["a.jpg", "b.jpg"])
    touch_photos(tmp_path / "two", ["a.jpg"])
    source, out = tmp_path / "coco.json", tmp_path / "m.parquet"
    with pytest.raises(
        FftagError,
        match=r"1 of 2 photos have the name of several files: .*one/a\.jpg and .*--photos",
    ):
        import_dataset("fashionpedia", source, out, ALL_TRAIN)
    report = import_dataset(
        "fashionpedia", source, out, ImportOptions(splits=(1, 0, 0), photos=tmp_path / "one")
    )
    assert report.photos == 2
    lenient = ImportOptions(splits=(1, 0, 0), allow_missing=True)
    (tmp_path / "coco.json").write_text(
        json.dumps(coco(annotations=[{"image_id": 2, "category_id": 6}]))
    )
    report = import_dataset("fashionpedia", source, out, lenient)
    assert load(report)[1] == {"b.jpg": ["pants"]} and report.missing == 1
    assert any("1 photo left out that have the name of several" in line for line in report.lines())


def test_a_photo_is_not_taken_from_another_folder_than_the_coco_file_says(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "train/1.jpg"}, {"id": 2, "file_name": "val/1.jpg"}]
    annotations = [
        {"id": 10, "image_id": 1, "category_id": 6},
        {"id": 11, "image_id": 2, "category_id": 0},
    ]
    (tmp_path / "coco.json").write_text(json.dumps(coco(images=images, annotations=annotations)))
    touch_photos(tmp_path / "train", ["1.jpg"])
    source, out = tmp_path / "coco.json", tmp_path / "m.parquet"
    with pytest.raises(FftagError, match=r"1 of 2 photos are missing: '.*val/1\.jpg'"):
        import_dataset("fashionpedia", source, out, ALL_TRAIN)
    lenient = ImportOptions(splits=(1, 0, 0), allow_missing=True)
    report = import_dataset("fashionpedia", source, out, lenient)
    assert load(report)[1] == {"1.jpg": ["pants"]}
    touch_photos(tmp_path / "val", ["1.jpg"])
    manifest, _ = load(import_dataset("fashionpedia", source, out, ALL_TRAIN))
    pairs = zip(manifest.frame["image"], manifest.frame["labels"], strict=True)
    assert {image: list(names) for image, names in pairs} == {
        "train/1.jpg": ["pants"],
        "val/1.jpg": ["hat"],
    }


@pytest.mark.skipif(not (SHARED / "fashionpedia").is_dir(), reason="the sample is not there")
def test_the_published_fashionpedia_sample_is_read(tmp_path: Path) -> None:
    source, out = SHARED / "fashionpedia/sample.json", tmp_path / "m.parquet"
    manifest, labels = load(import_dataset("fashionpedia", source, out, ALL_TRAIN))
    assert labels == {
        "000000009813.jpg": ["dress", "neckline", "shoe", "sleeve"],
        "000000010223.jpg": ["collar", "hat", "pants", "shirt, blouse", "sleeve"],
    }
    # The sample has two categories that the release dropped; a taxonomy brings it to the 46.
    released = load_taxonomy("fashionpedia")
    assert set(manifest.labels.names) - set(released.names) == {"earmuffs", "garment belt"}
    options = ImportOptions(splits=(1, 0, 0), taxonomy="fashionpedia")
    again, same = load(import_dataset("fashionpedia", source, out, options))
    assert again.labels == released
    assert same == labels
    assert all(Path(image).is_absolute() for image in again.frame["image"])


MakeCcp = Callable[..., Path]


@pytest.fixture
def make_ccp(tmp_path: Path) -> MakeCcp:
    """Files as the data set's own: masks for 0001, tags for 0002."""

    def make(tags: tuple[int, ...] = (0, 1, 4)) -> Path:
        root = tmp_path / "ccp"
        for kind in ("pixel", "image"):
            (root / f"annotations/{kind}-level").mkdir(parents=True)
        names = np.array([["null", "bag", "hair", "skin", "tie"]], dtype=object)
        savemat(root / "label_list.mat", {"label_list": names})
        mask = np.zeros((6, 4), dtype=np.uint8)
        mask[2:, 1:] = 4
        mask[0, 0] = 2
        savemat(root / "annotations/pixel-level/0001.mat", {"groundtruth": mask})
        marks = np.array([tags], dtype=np.uint8)
        savemat(root / "annotations/image-level/0002.mat", {"tags": marks})
        touch_photos(root / "photos", ["0001.jpg", "0002.jpg"])
        return root

    return make


def test_clothing_co_parsing_reads_masks_and_tags_without_the_wearer(
    tmp_path: Path, make_ccp: MakeCcp
) -> None:
    report = import_dataset("ccp", make_ccp(), tmp_path / "m.parquet", ALL_TRAIN)
    manifest, labels = load(report)
    assert labels == {"0001.jpg": ["tie"], "0002.jpg": ["bag", "tie"]}
    assert manifest.labels.names == ("bag", "tie")
    assert manifest.frame["source"].tolist() == ["pixel", "image"]


def test_damaged_clothing_co_parsing_files_are_named(tmp_path: Path, make_ccp: MakeCcp) -> None:
    root = make_ccp(tags=(0, 5))
    out = tmp_path / "m.parquet"
    with pytest.raises(FftagError, match=r"0002\.mat names label number 5, but .* ends at 4"):
        import_dataset("ccp", root, out, ALL_TRAIN)
    broken = root / "annotations/image-level/0002.mat"
    broken.write_bytes((root / "label_list.mat").read_bytes())
    with pytest.raises(FftagError, match=r"0002\.mat has no variable 'tags'"):
        import_dataset("ccp", root, out, ALL_TRAIN)
    broken.write_bytes(b"not MATLAB")
    with pytest.raises(FftagError, match=r"0002\.mat is damaged"):
        import_dataset("ccp", root, out, ALL_TRAIN)
    broken.rename(broken.with_name("0001.mat"))
    with pytest.raises(FftagError, match="photo 0001 is annotated twice"):
        import_dataset("ccp", root, out, ALL_TRAIN)
    (root / "label_list.mat").unlink()
    with pytest.raises(FftagError, match=r"there is no .*label_list\.mat"):
        import_dataset("ccp", root, out, ALL_TRAIN)


@pytest.mark.skipif(not (SHARED / "ccp").is_dir(), reason="Clothing Co-Parsing is not there")
def test_clothing_co_parsing_agrees_with_a_sheet_drawn_from_it(tmp_path: Path) -> None:
    sheet = read_manifest(SHARED / "ccp/tags.csv")
    rarer = ImportOptions(min_photos=20, near_duplicates=False)
    report = import_dataset("ccp", SHARED / "ccp", tmp_path / "m.parquet", rarer)
    manifest = read_manifest(report.out)
    assert (report.labels, len(report.dropped), report.dropped["clogs"]) == (48, 8, 16)
    drawn, kept = sheet.frame["labels"].explode().value_counts(), set(manifest.labels.names)
    assert kept < set(sheet.labels.names)
    for name in set(sheet.labels.names) - kept:
        assert report.dropped[name] == drawn[name]
    assert manifest.targets().sum(axis=0).min() >= 20

    def rows(of: Manifest) -> set[tuple[str, frozenset[str], str]]:
        columns = (of.frame["image"], of.frame["labels"], of.frame["source"])
        return {
            (Path(image).name, frozenset(names) & kept, source)
            for image, names, source in zip(*columns, strict=True)
        }

    assert rows(manifest) == rows(sheet)
    assert len(rows(sheet)) == 1498


def test_missing_photos_are_refused_or_on_request_left_out_and_counted(tmp_path: Path) -> None:
    source = imaterialist(tmp_path / "imat", "a.jpg,1,8,6,6\nb.jpg,1,8,6,4\nc.jpg,1,8,6,4\n")
    out = tmp_path / "m.parquet"
    with pytest.raises(
        FftagError, match=r"1 of 3 photos are missing: '.*c\.jpg'; .*--allow-missing"
    ):
        import_dataset("imaterialist2019", source, out, ALL_TRAIN)
    lenient = ImportOptions(splits=(1, 0, 0), allow_missing=True)
    report = import_dataset("imaterialist2019", source, out, lenient)
    assert (report.photos, report.missing) == (2, 1)
    said = [line for line in report.lines() if "1 photo left out that are missing" in line]
    assert len(said) == 1 and "c.jpg" in said[0]
    (tmp_path / "empty").mkdir()
    elsewhere = ImportOptions(splits=(1, 0, 0), allow_missing=True, photos=tmp_path / "empty")
    with pytest.raises(FftagError, match="3 of 3 photos are missing"):
        import_dataset("imaterialist2019", source, out, elsewhere)


def test_a_taxonomy_that_lacks_a_label_is_refused(tmp_path: Path) -> None:
    source = imaterialist(tmp_path / "imat", "a.jpg,1,8,6,6\nb.jpg,1,8,6,4\n")
    (tmp_path / "mine.toml").write_text('[[label]]\nname = "pants"\n')
    options = ImportOptions(splits=(1, 0, 0), taxonomy=tmp_path / "mine.toml")
    with pytest.raises(FftagError, match="1 labels of the dataset are not in the taxonomy: 'shirt"):
        import_dataset("imaterialist2019", source, tmp_path / "m.parquet", options)


def test_what_cannot_be_imported_is_said_before_anything_is_read(tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    with pytest.raises(FftagError, match="unknown format 'coco': use one of imaterialist2019"):
        import_dataset("coco", tmp_path, out, ALL_TRAIN)
    with pytest.raises(FftagError, match=r"let its name end in \.parquet"):
        import_dataset("folders", tmp_path, tmp_path / "m.csv", ALL_TRAIN)
    with pytest.raises(FftagError, match="add up to 1"):
        import_dataset("folders", tmp_path, out, ImportOptions(splits=(1, 1, 1)))


@pytest.mark.parametrize("format", sorted(IMPORTERS))
def test_a_wrong_source_is_one_clear_line_in_every_format(tmp_path: Path, format: str) -> None:  # noqa: A002
    for source in (tmp_path / "absent", tmp_path / ("x" * 5000), tmp_path):
        with pytest.raises(FftagError) as caught:
            import_dataset(format, source, tmp_path / "m.parquet", ALL_TRAIN)
        assert str(source) in str(caught.value)
        assert "\n" not in str(caught.value)
