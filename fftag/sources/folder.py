"""A folder of files."""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fftag.decode import Failure
from fftag.errors import FftagError
from fftag.listing import Listing, ListingMaker, unescape
from fftag.sources.base import NOT_INCLUDED, Content, Selection, may_pass, retried


@dataclass(frozen=True)
class Folder:
    """Every regular file below a folder; symbolic links are not followed.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def name(self) -> str:
        return str(self.root)

    def list(self, selection: Selection = Selection()) -> Listing:
        """See `fftag.sources.base.Source.list`."""
        if not self.root.is_dir():
            what = "is a file, not a folder" if self.root.exists() else "does not exist"
            raise FftagError(f"{self.root} {what}: give the folder that holds the photos")
        maker = ListingMaker()
        base = os.fspath(self.root)
        prefix = len(os.path.join(base, ""))  # noqa: PTH118 (a Path would drop the separator)
        own = self._own(selection.ignore)
        pending = [base]
        try:
            while pending:
                with os.scandir(pending.pop()) as entries:
                    for entry in entries:
                        if entry.path in own:
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
                            continue
                        reason = _reason_to_leave_out(entry, selection)
                        if reason is not None:
                            maker.leave_out(reason)
                            continue
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            maker.leave_out("files that went away while they were listed")
                            continue
                        maker.add(entry.path[prefix:], status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise FftagError(f"cannot list {error.filename}: {error.strerror}") from error
        return maker.finish()

    def _own(self, ignore: tuple[Path, ...]) -> set[str]:
        """What to pass over, as scandir spells it."""
        here = self.root.resolve()
        return {
            os.path.join(self.root, path.resolve().relative_to(here))  # noqa: PTH118
            for path in ignore
            if path.resolve().is_relative_to(here)
        }

    def reader(self) -> "FolderReader":
        """See `fftag.sources.base.Source.reader`."""
        return FolderReader(self.root)


@dataclass(frozen=True)
class FolderReader:
    """Reads files below a folder."""

    root: Path

    def read(self, entry: dict[str, Any], limit: int) -> Content | Failure:
        """See `fftag.sources.base.Reader.read`."""
        path = self.root / unescape(entry["image"])
        try:
            return retried(lambda: _read(path, limit), may_pass)
        except FileNotFoundError:
            return Failure("vanished", "gone since the folder was listed")
        except OSError as error:
            return Failure("unreadable", error.strerror or str(error))


def _read(path: Path, limit: int) -> Content:
    # Whatever the name stands for by now, opening it neither blocks nor follows a link.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no longer a regular file")
        # One byte more than allowed tells a file that is too large without reading it all.
        data = file.read(min(status.st_size, limit) + 1)
    return Content(data, status.st_size, status.st_mtime_ns)


def _reason_to_leave_out(entry: "os.DirEntry[str]", selection: Selection) -> str | None:
    if entry.is_symlink():
        return "symbolic links"
    if not entry.is_file(follow_symlinks=False):
        return "special files (pipes, sockets, devices)"
    return None if selection.includes(entry.name) else NOT_INCLUDED
