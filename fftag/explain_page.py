"""Heat maps as files: a picture of one photo, a page of many."""

from collections.abc import Sequence
from pathlib import Path

from fftag.atomic import replacing
from fftag.errors import FftagError
from fftag.explain import Explainer, draw, read
from fftag.page import Section, write_page
from fftag.progress import progress
from fftag.sources import Folder, list_source


def write_picture(explainer: Explainer, photo: Path, labels: Sequence[str], out: Path) -> None:
    """Writes the heat maps of one photo as a PNG.

    Raises:
        FftagError: see `fftag.explain.Explainer`.
    """
    picture = draw(explainer(read(photo), labels))
    with replacing(out) as temporary:
        temporary.write_bytes(picture)


def write_folder(explainer: Explainer, photos: Path, labels: Sequence[str], folder: Path) -> Path:
    """Writes one page with the heat maps of every photo; returns its path.

    A photo that cannot be explained stands there with its reason.

    Raises:
        FftagError: there is no photo, no such label, or networks of this kind have no maps.
    """
    if photos.is_dir():
        entries = list_source(Folder(photos)).files.to_pylist()
        files = {entry["image"]: photos / entry["image"] for entry in entries}
    else:
        files = {photos.name: photos}
    sections, failed, last = [], 0, None
    with progress(len(files), "explaining", "photo") as bar:
        for name, path in files.items():
            try:
                explained = explainer(read(path), labels)
                said = ", ".join(
                    f"{label} {score:.2f}" for label, score in explained.scores.items()
                )
                sections.append(Section(name, [said], [(draw(explained), "")]))
            except FftagError as error:
                failed, last = failed + 1, error
                sections.append(Section(name, [str(error)]))
            bar.update(1)
    if last is not None and failed == len(files):
        raise last
    lead = f"{len(files) - failed:,} photos by {explainer.bundle.path.name}."
    if failed:
        lead += f" {failed:,} could not be explained."
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    write_page(page, "Why these labels", sections, lead)
    return page
