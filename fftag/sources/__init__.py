"""Sources of photos: a folder, a list of files, archives, a bucket."""

import glob
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fftag.errors import FftagError
from fftag.listing import Listing
from fftag.sources.archives import COMPRESSED, SUFFIXES, Archives
from fftag.sources.base import Content, Reader, Selection, Source
from fftag.sources.file_list import FileList
from fftag.sources.folder import Folder

__all__ = ["Content", "Folder", "Reader", "Selection", "Source", "choose_source", "list_source"]


def choose_source(given: str, root: Path | None = None, follow: bool = False) -> Source:
    """What the user names -> the source that it is.

    Args:
        given: a folder, `@` and the path of a list, a tar or zip archive or a pattern of them, or a
            URL.
        root: of a list: the folder that its paths are below; the list's own where it is None.
        follow: of a folder or a list: whether symbolic links are followed.

    Raises:
        FftagError: there is no such source, or `root` or `follow` mean nothing to it.
    """
    if given.startswith("@"):
        path = Path(given[1:])
        if not path.is_file():
            raise FftagError(f"the list {path} does not exist")
        return FileList(path, root or path.parent, follow)
    if root is not None:
        raise FftagError("--root is for lists (@photos.txt): other sources are their own root")
    if given.startswith("file://"):
        given = unquote(urlsplit(given).path)
    if Path(given).is_dir():
        return Folder(Path(given), follow)
    is_archive = given.lower().endswith((*SUFFIXES, *COMPRESSED)) and "://" not in given
    if "://" not in given and not is_archive and not glob.has_magic(given):
        return Folder(Path(given), follow)
    if follow:
        raise FftagError("--follow-symlinks is for folders and lists: other sources have no links")
    if "://" not in given:
        return Archives(given)
    from fftag.sources.remote import Remote  # its library takes a while to load

    return Remote(given)


def list_source(source: Source, selection: Selection = Selection()) -> Listing:
    """Lists a source that has to hold something; the shard asked for may have nothing of it.

    Raises:
        FftagError: the source is missing, cannot be read, or holds no file to tag.
    """
    listing = source.list(selection)
    if not len(listing):
        seen = ", ".join(f"{count} {reason}" for reason, count in listing.left_out.items())
        raise FftagError(
            f"no files to tag in {source.name}" + (f" (left out: {seen})" if seen else "")
        )
    return selection.shard.of(listing) if selection.shard is not None else listing
