"""iMaterialist (Fashion) 2019 and 2020: `train.csv`, one row per segment."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from fftag.base.csv_columns import csv_columns, csv_header
from fftag.base.errors import FftagError, first_line
from fftag.base.tables import FIRST_ROW
from fftag.data.reading import (
    ImportOptions,
    Photo,
    Reading,
    categories_of,
    need_folder,
    read_json,
    with_suffix,
)


def read_2019(source: Path, options: ImportOptions) -> Reading:
    """Reads the 2019 form: `ClassId` is a category, then its attributes: `33` or `6_4_56`.

    Args:
        source: the folder with `train.csv`, `label_descriptions.json` and `train/`.

    Raises:
        FftagError: a file or column is missing, or a ClassId is malformed or unknown.
    """
    return _read(source, options, attributes_within=True)


def read_2020(source: Path, options: ImportOptions) -> Reading:
    """Reads the 2020 form: `ClassId` is a category; attributes have a column of their own.

    Args and errors are those of `read_2019`.
    """
    return _read(source, options, attributes_within=False)


def _read(source: Path, options: ImportOptions, attributes_within: bool) -> Reading:
    need_folder(source, "give the folder with train.csv, label_descriptions.json and train/")
    table, descriptions = source / "train.csv", source / "label_descriptions.json"
    names, label_set = categories_of(read_json(descriptions), descriptions)
    names_of_class: dict[str, str] = {}
    labels: dict[str, dict[str, None]] = {}
    for row, (image, class_id) in enumerate(_segments(table, attributes_within), FIRST_ROW):
        name = names_of_class.get(class_id)
        if name is None:
            category = class_id.partition("_")[0] if attributes_within else class_id
            if not category.isdecimal() or int(category) not in names:
                form = "33 or 6_4_56" if attributes_within else "33"
                raise FftagError(
                    f"{table}, row {row}: ClassId {class_id!r} is no category of "
                    f"{descriptions.name} (such as {form}): download both files again"
                )
            name = names_of_class[class_id] = names[int(category)]
        if not image:
            raise FftagError(f"{table}, row {row}: ImageId is empty: download the file again")
        labels.setdefault(image, {})[name] = None
    photos = [Photo(Path(with_suffix(image)), tuple(found)) for image, found in labels.items()]
    return Reading(photos, options.label_set(label_set), options.photos or source / "train")


def _segments(table: Path, attributes_within: bool) -> Iterator[tuple[str, str]]:
    """ImageId and ClassId of every row, read in blocks: the file is gigabytes of masks."""
    try:
        _check_header(table, csv_header(table), attributes_within)
        for image_ids, class_ids in csv_columns(table, ["ImageId", "ClassId"]):
            yield from zip(image_ids, class_ids, strict=True)
    except FileNotFoundError as error:
        raise FftagError(
            f"there is no {table}: give the folder that train/download_imaterialist.py filled"
        ) from error
    except (OSError, csv.Error, pa.ArrowException) as error:
        reason = first_line(error)[:200]
        raise FftagError(f"{table} cannot be read: {reason}; download it again") from error


def _check_header(table: Path, header: list[str], attributes_within: bool) -> None:
    for column in ("ImageId", "ClassId"):
        if column not in header:
            raise FftagError(
                f"{table} has no column {column!r}: it is no train.csv of iMaterialist"
            )
    if attributes_within and "AttributesIds" in header:
        raise FftagError(
            f"{table} has a column 'AttributesIds', as iMaterialist 2020 has: "
            "use the format imaterialist2020"
        )
    if not attributes_within and "AttributesIds" not in header:
        raise FftagError(
            f"{table} has no column 'AttributesIds', as iMaterialist 2019 has none: "
            "use the format imaterialist2019"
        )
