"""Reading files below a folder, and nothing that is not below it."""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fftag.photos.decode import Failure
from fftag.photos.listing import unescape
from fftag.photos.sources.base import NETWORK, Content, is_of_network, may_pass, retried

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Whatever the name stands for by now, opening it does not block.
FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
LINK_ERRORS = {errno.ELOOP, errno.EMLINK}


@dataclass(frozen=True)
class LocalReader:
    """Reads files below a folder.

    Attributes:
        root: the folder.
        follow: whether symbolic links are followed that stay below it.
        identity: of the folder, see `identity_of`; another one is another share's, or none's.
    """

    root: Path
    follow: bool
    identity: tuple[int, int]

    @classmethod
    def of(cls, root: Path, follow: bool = False) -> "LocalReader":
        """A reader of a folder as it is now."""
        return cls(root, follow, identity_of(root))

    def read(self, entry: dict[str, Any], limit: int) -> Content | Failure:
        """See `fftag.photos.sources.base.Reader.read`."""
        path = unescape(entry["image"])
        try:
            return retried(lambda: self._read(path, limit), may_pass)
        except OSError as error:
            if is_of_network(error):
                return Failure("unreadable", NETWORK + _said(error))
            if not isinstance(error, FileNotFoundError):
                return Failure("unreadable", _said(error))
            if identity_of(self.root) != self.identity:
                return Failure("unreadable", f"{NETWORK}the folder of the photos itself is gone")
            return Failure("vanished", "there is no such file, or no longer")

    def close(self) -> None:
        """See `fftag.photos.sources.base.Reader.close`."""

    def _read(self, path: str, limit: int) -> Content:
        root, path = _resolved(self.root, path) if self.follow else (self.root, path)
        descriptor = open_below(root, path)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            # One byte more than allowed tells a file that is too large without reading it all.
            data = file.read(min(status.st_size, limit) + 1)
        return Content(data, status.st_size, status.st_mtime_ns)


def identity_of(folder: str | os.PathLike[str]) -> tuple[int, int]:
    """Device and number of a folder; zeroes where there is none. They tell a share from the empty
    folder that it was mounted on."""
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def open_below(root: Path, path: str) -> int:
    """Opens a file below a folder, part by part, following no link on the way.

    A folder that is replaced by a link while a run goes on does not lead out of the root.

    Args:
        root: the folder; it may itself be a link.
        path: relative to it, `/`-separated, without `..`.

    Returns:
        A descriptor to read from.

    Raises:
        OSError: it cannot be opened, or a part of its path is a link.
    """
    *folders, name = path.split("/")
    at = os.open(root, FOLDER)
    try:
        for folder in folders:
            below = os.open(folder, FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, FILE, dir_fd=at)
    finally:
        os.close(at)


def _resolved(root: Path, path: str) -> tuple[Path, str]:
    """A path with its links resolved, relative to the root with its own resolved."""
    real_root = root.resolve()
    real = (real_root / path).resolve()
    if not real.is_relative_to(real_root):
        raise OSError(errno.ELOOP, "a symbolic link that leads out of the folder")
    return real_root, real.relative_to(real_root).as_posix()


def _said(error: OSError) -> str:
    if error.errno in LINK_ERRORS and error.filename is not None:
        return "a symbolic link"
    if error.errno == errno.ENOTDIR:
        return "a part of its path is a symbolic link, or no folder"
    return error.strerror or str(error)
