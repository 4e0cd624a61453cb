"""Heat maps as files: a picture of one photo, a page of many."""

from collections.abc import Sequence
from pathlib import Path

from fftag.base.atomic import write_bytes
from fftag.base.errors import FftagError
from fftag.base.page import Section, write_page
from fftag.base.plots import PICTURE
from fftag.base.progress import progress
from fftag.explain.maps import Explainer, draw


def write_picture(explainer: Explainer, image: str, labels: Sequence[str], out: Path) -> None:
    """Writes the heat maps of one photo as a PNG.

    Raises:
        FftagError: see `fftag.explain.maps.Explainer`.
    """
    write_bytes(out, draw(explainer(image, labels)), PICTURE)


def write_page_of(
    explainer: Explainer, images: Sequence[str], labels: Sequence[str], folder: Path
) -> Path:
    """Writes one page with the heat maps of photos; returns its path.

    A photo that cannot be explained stands there with its reason.

    Raises:
        FftagError: there is no photo, no such label, or networks of this kind have no maps.
    """
    sections, failed, last = [], 0, None
    with progress(len(images), "explaining", "photo") as bar:
        for image in images:
            try:
                explained = explainer(image, labels)
                said = ", ".join(
                    f"{label} {score:.2f}" for label, score in explained.scores.items()
                )
                sections.append(Section(image, [said], [(draw(explained), "")]))
            except FftagError as error:
                failed, last = failed + 1, error
                sections.append(Section(image, [str(error)]))
            bar.update(1)
    if last is not None and failed == len(images):
        raise last
    lead = f"{len(images) - failed:,} photos by {explainer.bundle.path.name}."
    if failed:
        lead += f" {failed:,} could not be explained."
    page = folder / "index.html"
    write_page(page, "Why these labels", sections, lead)
    return page
