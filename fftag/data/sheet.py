"""The student project's sheet: `ImageId`, `Category` (ids) and `CategoryName` (names)."""

from pathlib import Path

import pandas as pd

from fftag.base.errors import FftagError
from fftag.base.tables import FIRST_ROW, need_columns, read_table
from fftag.data.manifest import split_labels
from fftag.data.reading import (
    ImportOptions,
    Photo,
    Reading,
    images_of,
    strata_of,
    with_suffix,
)
from fftag.models.labels import LabelSet, load_taxonomy


def read(source: Path, options: ImportOptions) -> Reading:
    """Reads a CSV or Excel sheet with one row per photo.

    Ids are joined by commas (`0,28,31`), names by bars (`shirt, blouse|collar|sleeve`), for names
    contain commas. The label set is the names in the order of their ids. A sheet without
    `CategoryName` needs a taxonomy: an id is then a position in it, counted from 0.

    Args:
        source: the sheet; photos lie beside it, or anywhere below, unless `options.photos` is set.

    Raises:
        FftagError: a column is missing, or a row's ids and names disagree.
    """
    frame, _ = read_table(source)
    need_columns(frame, ["ImageId", "Category"], source, "the sheet has ImageId and Category")
    if "CategoryName" in frame.columns:
        names = _names_by_id(frame, source)
        own = LabelSet.of(names[number] for number in sorted(names))
    elif options.taxonomy is not None:
        own = load_taxonomy(options.taxonomy)
        names = dict(enumerate(own.names))
    else:
        raise FftagError(
            f"{source} has no column 'CategoryName': say what the ids mean with "
            "--taxonomy, such as --taxonomy fashionpedia"
        )
    photos = []
    strata = strata_of(frame, source, options)
    cells = zip(images_of(frame, "ImageId", source), frame["Category"], strata, strict=True)
    for row, (image, cell, stratum) in enumerate(cells, FIRST_ROW):
        numbers = _ids(cell, source, row)
        unknown = [number for number in numbers if number not in names]
        if unknown:
            raise FftagError(f"{source}, row {row}: category {unknown[0]} is not in the taxonomy")
        labels = tuple(dict.fromkeys(names[number] for number in numbers))
        photos.append(Photo(Path(with_suffix(image)), labels, stratum=stratum))
    return Reading(photos, options.label_set(own), options.photos or source.parent)


def _ids(cell: object, source: Path, row: int) -> list[int]:
    parts = split_labels(cell, ",")
    if not all(part.isdecimal() for part in parts):
        raise FftagError(
            f"{source}, row {row}: Category {cell!r} is no list of ids joined by commas, "
            "such as 0,28,31"
        )
    return [int(part) for part in parts]


def _names_by_id(frame: pd.DataFrame, source: Path) -> dict[int, str]:
    """What each id is called, all rows agreeing."""
    names: dict[int, str] = {}
    pairs = zip(frame["Category"], frame["CategoryName"], strict=True)
    for row, (ids, called) in enumerate(pairs, FIRST_ROW):
        numbers, words = _ids(ids, source, row), split_labels(called)
        if len(numbers) != len(words):
            raise FftagError(
                f"{source}, row {row}: {len(numbers)} ids in Category but {len(words)} names in "
                "CategoryName (ids are joined by commas, names by bars)"
            )
        for number, name in zip(numbers, words, strict=True):
            if names.setdefault(number, name) != name:
                raise FftagError(
                    f"{source}, row {row}: id {number} is {name!r} here and "
                    f"{names[number]!r} above: give it one name"
                )
    if not names:
        raise FftagError(f"no photo in {source} has any category")
    return names
