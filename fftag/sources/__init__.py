"""Sources of photos: a folder, a list of files, archives, a bucket."""

from pathlib import Path

from fftag.errors import FftagError
from fftag.listing import Listing
from fftag.sources.base import Content, Reader, Selection, Source
from fftag.sources.folder import Folder

__all__ = ["Content", "Folder", "Reader", "Selection", "Source", "choose_source", "list_source"]


def choose_source(given: str) -> Source:
    """What the user names -> the source that it is.

    Raises:
        FftagError: there is no such source.
    """
    return Folder(Path(given))


def list_source(source: Source, selection: Selection = Selection()) -> Listing:
    """Lists a source that has to hold something.

    Raises:
        FftagError: the source is missing, cannot be read, or holds no file to tag.
    """
    listing = source.list(selection)
    if not len(listing):
        seen = ", ".join(f"{count} {reason}" for reason, count in listing.left_out.items())
        raise FftagError(
            f"no files to tag in {source.name}" + (f" (left out: {seen})" if seen else "")
        )
    return listing
