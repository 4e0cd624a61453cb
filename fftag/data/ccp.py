"""Clothing Co-Parsing (Yang, Luo, Lin, CVPR 2014): MATLAB annotations, masks or tags per photo."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from fftag.base.errors import FftagError
from fftag.base.progress import progress
from fftag.data.reading import ImportOptions, Photo, Reading, need_folder
from fftag.models.labels import LabelSet

NO_APPAREL = ("null", "hair", "skin")
"""Background, and what is the wearer's own."""

KINDS = (("pixel", "pixel-level", "groundtruth"), ("image", "image-level", "tags"))
"""How a photo was annotated; where; and the variable in its file."""


def read(source: Path, options: ImportOptions) -> Reading:
    """Reads the data set as its makers publish it; `source` says how a photo was annotated.

    Masks and tags hold positions in `label_list.mat`, counted from 0.

    Args:
        source: the folder with `label_list.mat`, `annotations/` and `photos/`.

    Raises:
        FftagError: a file is missing or damaged, or holds a number beyond the label list.
    """
    names = _label_names(source / "label_list.mat")
    files = [
        (file, kind, variable)
        for kind, subfolder, variable in KINDS
        for file in sorted((source / "annotations" / subfolder).glob("*.mat"))
    ]
    if not files:
        need_folder(source / "annotations", "give the folder that holds annotations/ and photos/")
        raise FftagError(f"there are no .mat files in {source / 'annotations'}/*-level")
    photos: dict[str, Photo] = {}
    with progress(len(files), "reading annotations", "photo") as bar:
        for file, kind, variable in files:
            if file.stem in photos:
                raise FftagError(f"photo {file.stem} is annotated twice: remove {file}")
            numbers = np.unique(_variable(file, variable))
            if numbers.size and not 0 <= numbers[0] <= numbers[-1] < len(names):
                raise FftagError(
                    f"{file} names label number {numbers[-1]}, but label_list.mat ends at "
                    f"{len(names) - 1}: take both from the same release"
                )
            labels = tuple(names[int(n)] for n in numbers if names[int(n)] not in NO_APPAREL)
            photos[file.stem] = Photo(Path(f"{file.stem}.jpg"), labels, source=kind)
            bar.update()
    own = LabelSet.of(name for name in names if name not in NO_APPAREL)
    folder = options.photos or source / "photos"
    return Reading(list(photos.values()), options.label_set(own), folder)


def _label_names(path: Path) -> list[str]:
    cells = _variable(path, "label_list").ravel()
    names = [str(cell.item()) for cell in map(np.asarray, cells) if cell.size == 1]
    if len(names) != len(cells):
        raise FftagError(f"{path} has a label without a name: download the data set again")
    return names


def _variable(path: Path, name: str) -> Any:
    if not path.is_file():
        raise FftagError(
            f"there is no {path}: give the folder of Clothing Co-Parsing that holds "
            "label_list.mat, annotations/ and photos/"
        )
    try:
        content = loadmat(path, variable_names=[name], appendmat=False)
    except Exception as error:  # a damaged .mat raises nearly anything in SciPy's reader
        raise FftagError(f"{path} is damaged ({error}): download the data set again") from error
    if name not in content:
        raise FftagError(f"{path} has no variable {name!r}: it is no file of Clothing Co-Parsing")
    return content[name]
