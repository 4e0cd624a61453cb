"""A folder of folders: each sub-folder's name is the label of the photos in it."""

from pathlib import Path

from fftag.datasets.reading import PHOTO_SUFFIXES, ImportOptions, Photo, Reading, need_folder
from fftag.datasets.tables import examples
from fftag.errors import FftagError
from fftag.labels import LabelSet


def read(source: Path, options: ImportOptions) -> Reading:
    """Reads `source/LABEL/photo.jpg`; every photo has one label.

    Args:
        source: the folder of class folders.

    Raises:
        FftagError: there are no class folders, or no photos in them.
    """
    need_folder(source, "give the folder that holds one folder per label")
    classes = sorted(path for path in source.iterdir() if path.is_dir() and not _hidden(path))
    if not classes:
        raise FftagError(f"{source} holds no folders: make one per label, with its photos in it")
    photos: list[Photo] = []
    others = [str(path.relative_to(source)) for path in source.iterdir() if path not in classes]
    for folder in classes:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix.lower() in PHOTO_SUFFIXES and not _hidden(path):
                photos.append(Photo(path, (folder.name,)))
            else:
                others.append(str(path.relative_to(source)))
    if not photos:
        raise FftagError(f"the folders in {source} hold no photos")
    notes = (
        (f"{len(others)} entries are no photos in a class folder: {examples(sorted(others))}",)
        if others
        else ()
    )
    own = LabelSet.of(folder.name for folder in classes)
    return Reading(photos, options.label_set(own), notes)


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")
