"""A folder of folders: each sub-folder's name is the label of the photos in it."""

from pathlib import Path

from fftag.base.errors import FftagError
from fftag.base.tables import examples
from fftag.data.reading import PHOTO_SUFFIXES, ImportOptions, Photo, Reading, need_folder
from fftag.models.labels import LabelSet
from fftag.photos.companions import is_companion_folder


def read(source: Path, options: ImportOptions) -> Reading:
    """Reads `source/LABEL/photo.jpg`; every photo has one label.

    Args:
        source: the folder of class folders.

    Raises:
        FftagError: there are no class folders, or no photos in them.
    """
    need_folder(source, "give the folder that holds one folder per label")
    classes: list[Path] = []
    photos: list[Photo] = []
    others: list[str] = []
    try:
        for entry in sorted(source.iterdir()):
            if not entry.is_dir() or is_companion_folder(entry.name):
                others.append(entry.name)
                continue
            classes.append(entry)
            for path in sorted(entry.iterdir()):
                inside = path.relative_to(source)
                if path.is_file() and path.suffix.lower() in PHOTO_SUFFIXES:
                    photos.append(Photo(inside, (entry.name,)))
                else:
                    others.append(str(inside))
    except OSError as error:
        raise FftagError(
            f"cannot list {error.filename}: {error.strerror}: its photos would be missing"
        ) from error
    if not classes:
        raise FftagError(f"{source} holds no folders: make one per label, with its photos in it")
    if not photos:
        raise FftagError(f"the folders in {source} hold no photos")
    notes = (
        (f"{len(others)} entries are no photos in a class folder: {examples(sorted(others))}",)
        if others
        else ()
    )
    own = LabelSet.of(folder.name for folder in classes)
    return Reading(photos, options.label_set(own), source, notes)
