"""Fashionpedia, and any other photos with categories in COCO JSON."""

from pathlib import Path
from typing import Any

from fftag.base.errors import FftagError
from fftag.data.reading import (
    ImportOptions,
    Photo,
    Reading,
    categories_of,
    read_json,
)

TRAIN, VAL = "instances_attributes_train2020.json", "instances_attributes_val2020.json"
GEOMETRY = ("segmentation", "bbox", "attribute_ids")


def read(source: Path, options: ImportOptions) -> Reading:
    """Reads one COCO JSON, or a folder with Fashionpedia's two.

    From a folder, Fashionpedia's own validation photos become the split `test`: they are what
    other people's numbers are measured on, and its test photos have no public annotations.

    Args:
        source: a JSON file, or the folder with `instances_attributes_train2020.json`, `..._val...`
            and the folders of photos.

    Raises:
        FftagError: a file is missing or malformed, or an annotation points at no photo or category.
    """
    if source.is_file():
        return _read_file(source, options.photos or source.parent, options, None)
    train, val = source / TRAIN, source / VAL
    if not train.is_file():
        raise FftagError(
            f"there is no {train}: give the folder that train/download_fashionpedia.py filled, "
            "or a COCO JSON file"
        )
    folder = options.photos or source
    fitted = _read_file(train, folder, options, None)
    if not val.is_file():
        return fitted
    held_out = _read_file(val, folder, options, "test")
    if fitted.labels != held_out.labels:
        raise FftagError(f"{TRAIN} and {VAL} have different categories: download both again")
    note = f"split test is Fashionpedia's own validation set ({VAL})"
    return Reading(fitted.photos + held_out.photos, fitted.labels, folder, (note,))


def _read_file(path: Path, folder: Path, options: ImportOptions, split: str | None) -> Reading:
    content = read_json(path, without=GEOMETRY)
    names, own = categories_of(content, path)
    images = _images(content, path)
    labels: dict[int, dict[str, None]] = {image: {} for image in images}
    for position, annotation in enumerate(_records(content, "annotations", path)):
        where = f"{path}, annotation {annotation.get('id', f'at position {position}')}"
        image, category = annotation.get("image_id"), annotation.get("category_id")
        if not isinstance(image, int) or image not in labels:
            raise FftagError(f"{where}: there is no image with id {image!r}; download it again")
        if not isinstance(category, int) or category not in names:
            raise FftagError(
                f"{where}: there is no category with id {category!r}; download it again"
            )
        labels[image][names[category]] = None
    photos = [
        Photo(Path(name), tuple(labels[image]), split=split) for image, name in images.items()
    ]
    return Reading(photos, options.label_set(own), folder)


def _images(content: dict[str, Any], path: Path) -> dict[int, str]:
    """File names by image id."""
    images: dict[int, str] = {}
    for position, image in enumerate(_records(content, "images", path)):
        if not isinstance(image.get("id"), int) or not isinstance(image.get("file_name"), str):
            raise FftagError(f"{path}: the image at position {position} lacks id or file_name")
        if image["id"] in images:
            raise FftagError(f"{path}: image id {image['id']} stands twice")
        images[image["id"]] = image["file_name"]
    return images


def _records(content: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    records = content.get(key)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise FftagError(f"{path} has no list of {key}: it is no COCO JSON with annotations")
    return records
