"""What every importer takes and gives: the options, the photos read, and where photos lie."""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fftag.base.errors import FftagError
from fftag.base.tables import FIRST_ROW, is_file, need_columns
from fftag.data.manifest import optional_text
from fftag.models.labels import LabelSet, load_taxonomy
from fftag.photos.companions import is_companion, is_companion_folder

PHOTO_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif")
)


MOST_STRATA = 100
"""Different values of a column to stratify by: each is balanced like one more label."""


@dataclass(frozen=True)
class ImportOptions:
    """How to import; not every format has a use for every option.

    Attributes:
        taxonomy: a built-in taxonomy's name or a TOML file, instead of the dataset's own labels.
        photos: the folder of photos, where it is not the format's own.
        min_photos: labels on fewer photos than this are dropped.
        splits: shares of train, val and test; they add up to 1.
        seed: of the split.
        allow_missing: leave photos out that are not there, instead of refusing.
        image_column, labels_column, separator: of the `table` format.
        stratify: what is spread over the splits like a label: the photos' source, or a column of
            the `table` and `sheet` formats.
        near_duplicates: look for photos of one scene, and keep them in one split.
        near_distance: see `fftag.data.near_duplicates.near_duplicates`.
        near_model: a model folder whose embeddings are compared as well.
        near_similarity: the cosine similarity from which two embeddings are of one scene.
    """

    taxonomy: Path | str | None = None
    photos: Path | None = None
    min_photos: int = 0
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    allow_missing: bool = False
    image_column: str = "image"
    labels_column: str = "labels"
    separator: str = "|"
    stratify: str = "source"
    near_duplicates: bool = True
    near_distance: int = 34
    near_model: Path | None = None
    near_similarity: float = 0.98

    def label_set(self, own: LabelSet) -> LabelSet:
        """The taxonomy asked for, or the dataset's own label set."""
        return load_taxonomy(self.taxonomy) if self.taxonomy is not None else own


@dataclass(frozen=True)
class Photo:
    """One photo as a dataset describes it.

    Attributes:
        path: as the dataset gives it, relative to the dataset's folder of photos or absolute.
        labels: its label names, each once.
        source: how or where it was annotated, None where there is but one way.
        split: train, val or test where the dataset says so.
        stratum: what the column to stratify by says of it, where that is not the source.
    """

    path: Path
    labels: tuple[str, ...]
    source: str | None = None
    split: str | None = None
    stratum: str | None = None


@dataclass(frozen=True)
class Reading:
    """A dataset, read.

    Attributes:
        photos: every photo of the dataset.
        labels: the label set.
        folder: where the photos' paths start from.
        notes: what the reader left out or decided, one line each.
    """

    photos: list[Photo]
    labels: LabelSet
    folder: Path
    notes: tuple[str, ...] = ()


def images_of(frame: pd.DataFrame, column: str, path: Path) -> list[str]:
    """A column of paths, as they are written.

    Raises:
        FftagError: a cell of it is empty.
    """
    images = optional_text(frame, column)
    for row, image in enumerate(images, FIRST_ROW):
        if image is None or not image.strip():
            raise FftagError(f"{path}, row {row}: {column} is empty: give the photo's path")
    return [image for image in images if image is not None]


def strata_of(frame: pd.DataFrame, path: Path, options: ImportOptions) -> list[str | None]:
    """The column to stratify by, None where a cell is empty; all None where it is the source.

    Raises:
        FftagError: there is no such column, or it has too many different values.
    """
    if options.stratify == "source":
        return [None] * len(frame)
    need_columns(frame, [options.stratify], path, "name one of them with --stratify")
    values = optional_text(frame, options.stratify)
    different = len(set(values))
    if different > MOST_STRATA:
        raise FftagError(
            f"column {options.stratify!r} of {path} has {different} different values: "
            f"stratify by one with at most {MOST_STRATA}, such as a season or a shop"
        )
    return values


Importer = Callable[[Path, ImportOptions], Reading]


def need_folder(folder: Path, what: str) -> Path:
    """Returns the folder.

    Raises:
        FftagError: it is not there.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 (Path.is_dir raises on some names)
        raise FftagError(f"there is no folder {folder}: {what}")
    return folder


def read_json(path: Path, without: Iterable[str] = ()) -> Any:
    """Reads JSON, dropping the keys `without` from every object as soon as it is parsed.

    Annotation files are mostly polygons: dropping them while parsing keeps memory near twice
    the size of the file, where it would be many times that.

    Raises:
        FftagError: the file is not there, or is no JSON; names the line.
    """
    unwanted = frozenset(without)

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key not in unwanted}

    try:
        with path.open(encoding="utf-8") as stream:
            return json.load(stream, object_pairs_hook=keep)
    except OSError as error:
        raise FftagError(f"cannot read {path}: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise FftagError(
            f"{path} is no JSON (line {error.lineno}: {error.msg}): download it again"
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise FftagError(f"{path} is no JSON ({error}): download it again") from error


def categories_of(content: Any, path: Path) -> tuple[dict[int, str], LabelSet]:
    """The `categories` of a COCO or iMaterialist JSON.

    Returns:
        Names by id, and the label set: names in the order of their ids, grouped by supercategory.

    Raises:
        FftagError: there are none, or they lack id or name.
    """
    try:
        categories = sorted(content["categories"], key=lambda category: int(category["id"]))
        names = {int(category["id"]): str(category["name"]) for category in categories}
        groups = [category.get("supercategory") or None for category in categories]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FftagError(
            f"{path} lacks categories, each with id, name and supercategory: "
            "give the dataset's own file"
        ) from error
    if len(names) != len(categories):
        raise FftagError(f"{path}: a category id stands twice")
    return names, LabelSet.of(names.values(), groups)


def with_suffix(image_id: str) -> str:
    """The file name of an ImageId: iMaterialist's of 2019 have `.jpg`, those of 2020 have not."""
    return image_id if Path(image_id).suffix.lower() in PHOTO_SUFFIXES else f"{image_id}.jpg"


@dataclass(frozen=True)
class Found:
    """Where photos of a dataset lie.

    Attributes:
        photos: those that are there, each with its whole path.
        missing: of those that lie nowhere, where they were expected.
        ambiguous: names that several files have, with those.
        companions: files of other programs that the dataset names like photos.
    """

    photos: list[Photo]
    missing: list[str]
    ambiguous: list[str]
    companions: list[str]


def find_photos(photos: Sequence[Photo], folder: Path) -> Found:
    """Finds photos by the paths that a dataset gives.

    A photo lies at its path below the folder. Where the dataset gives no path but names alone, it
    may lie in any folder below, if no other file there has its name. Nothing else is tried: the
    photo of that name in another folder may be another photo.

    Args:
        photos: as the dataset gives them.
        folder: where its paths start from.

    Raises:
        FftagError: a folder in which the photo might be cannot be listed.
    """
    names_alone = not any(re.search(r"[/\\]", str(photo.path)) for photo in photos)
    below: dict[str, list[Path]] | None = None
    found = Found([], [], [], [])
    for photo in photos:
        places = [folder / photo.path]
        if is_companion(os.path.relpath(places[0], folder)):
            found.companions.append(str(photo.path))
            continue
        if not is_file(places[0]) and names_alone:
            below = _files_below(folder) if below is None else below
            places = below.get(photo.path.name, places)
        if len(places) > 1:
            shown = " and ".join(str(place) for place in places[:3])
            found.ambiguous.append(f"{photo.path} ({shown}{', ...' if len(places) > 3 else ''})")
        elif is_file(places[0]):
            found.photos.append(replace(photo, path=places[0]))
        else:
            found.missing.append(str(places[0]))
    return found


def _files_below(folder: Path) -> dict[str, list[Path]]:
    """Every file below a folder by its name."""
    found: dict[str, list[Path]] = {}

    def refuse(error: OSError) -> None:
        raise FftagError(
            f"cannot look for photos in {error.filename}: {error.strerror}: say where they lie "
            "with --photos"
        ) from error

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not is_companion_folder(name))
        for name in files:
            found.setdefault(name, []).append(Path(parent, name))
    return found
