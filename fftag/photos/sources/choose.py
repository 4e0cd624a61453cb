"""What a user names -> the source that it is, and what it holds."""

import glob
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fftag.base.errors import FftagError
from fftag.base.progress import say
from fftag.photos.listing import Listing, Selection
from fftag.photos.sources.archives import COMPRESSED, SUFFIXES, Archives
from fftag.photos.sources.base import Source
from fftag.photos.sources.local import FileList, Folder

WITHOUT_HOST = ("memory",)  # storage that is one place, whatever follows
NAMED = 5  # of the folders and archives that cannot be listed


def choose_source(
    given: str, root: Path | None = None, follow: bool = False, seconds: float = 60.0
) -> Source:
    """What the user names -> the source that it is.

    Args:
        given: a folder, `@` and the path of a list, a tar or zip archive or a pattern of them, or a
            URL.
        root: of a list: the folder that its paths are below; the list's own where it is None.
        follow: of a folder or a list: whether symbolic links are followed.
        seconds: that one photo may take; storage behind a URL has to answer before.

    Raises:
        FftagError: there is no such source, it names no bucket or host, or `root` or `follow`
            mean nothing to it.
    """
    if given.startswith("@"):
        path = Path(given[1:])
        return FileList(path, root or path.parent, follow)
    if root is not None:
        raise FftagError("--root is for lists (@photos.txt): other sources are their own root")
    protocol, is_url, _ = given.partition("://")
    if is_url:
        parts = urlsplit(given)
        if protocol == "file":
            if parts.netloc not in ("", "localhost") or not parts.path:
                raise FftagError(f"{given} names no folder: give its path, or file:///path/to/it")
            return Folder(Path(unquote(parts.path)), follow)
        if not parts.netloc and protocol not in WITHOUT_HOST:
            raise FftagError(
                f"{given} names no bucket or host: say which, such as {protocol}://NAME/photos"
            )
    elif os.path.isdir(given) or not (_names_archive(given) or glob.has_magic(given)):  # noqa: PTH112
        return Folder(Path(given), follow)
    if follow:
        raise FftagError("--follow-symlinks is for folders and lists: other sources have no links")
    if not is_url:
        return Archives(given)
    from fftag.photos.sources.remote import Remote  # its library takes a while to load

    return Remote(given, seconds)


def _names_archive(given: str) -> bool:
    return given.lower().endswith((*SUFFIXES, *COMPRESSED))


def list_source(source: Source, selection: Selection = Selection()) -> Listing:
    """Lists a source that has to hold something; the shard asked for may have nothing of it.

    Raises:
        FftagError: the source is missing, cannot be read, or holds no file to tag.
    """
    listing = source.list(selection)
    named = [f"{path} ({reason})" for path, reason in listing.unread.items()]
    unread = ", ".join(named[:NAMED]) + (", ..." if len(named) > NAMED else "")
    if not len(listing):
        seen = "; ".join(f"{count} {reason}" for reason, count in listing.left_out.items())
        left_out = "; ".join(filter(None, (seen, unread)))
        raise FftagError(
            f"no files to tag in {source.name}" + (f" (left out: {left_out})" if seen else "")
        )
    if unread:
        say(
            f"of {source.name}, {len(named):,} could not be listed: {unread}; what was published "
            "of it stays"
        )
    if len(listing.unseen):
        say(
            f"{len(listing.unseen):,} files of {source.name} cannot be looked at, such as "
            f"{listing.unseen[0]}; what was published of them stays"
        )
    return selection.shard.of(listing) if selection.shard is not None else listing
