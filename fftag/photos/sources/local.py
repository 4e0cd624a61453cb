"""Files of this machine: all below a folder, or those that a list names."""

from __future__ import annotations

import csv
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.csv_columns import csv_columns, csv_header
from fftag.base.errors import FftagError
from fftag.photos.decode import Failure
from fftag.photos.listing import GONE, Listing, ListingMaker, Selection, unescape
from fftag.photos.sources.base import NETWORK, Content, is_of_network, may_pass, retried

LINKS = "symbolic links"
LINKS_OUT = "symbolic links that lead out of the folder, in circles or nowhere"
BYTES_AT_ONCE = 2**20  # of a list
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Whatever the name stands for by now, opening it does not block.
FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
LINK_ERRORS = {errno.ELOOP, errno.EMLINK}


@dataclass(frozen=True)
class Folder:
    """Every regular file below a folder.

    Attributes:
        root: the folder.
        follow: whether symbolic links are followed; those only that lead to what is below the
            folder, and not back to where they lie in.
    """

    root: Path
    follow: bool = False

    @property
    def name(self) -> str:
        return str(self.root)

    def list(self, selection: Selection = Selection()) -> Listing:
        """See `fftag.photos.sources.base.Source.list`."""
        maker = ListingMaker(selection)
        try:
            _Walk(self, maker).run()
        except (FileNotFoundError, NotADirectoryError) as error:
            what = "does not exist" if isinstance(error, FileNotFoundError) else "is no folder"
            raise FftagError(
                f"{self.root} {what}: give a folder of photos, a list (@photos.txt), archives "
                "(shard.tar, 'shards/*.tar', photos.zip) or a URL (s3://bucket/photos)"
            ) from error
        except OSError as error:
            raise FftagError(
                f"cannot list {self.root}: {error.strerror}: is it mounted, and may this user "
                "read it?"
            ) from error
        return maker.finish()

    def reader(self) -> LocalReader:
        """See `fftag.photos.sources.base.Source.reader`."""
        return LocalReader.of(self.root, self.follow)


class _Walk:
    """One walk through a folder."""

    def __init__(self, folder: Folder, maker: ListingMaker) -> None:
        self.base = os.fspath(folder.root)
        self.prefix = len(os.path.join(self.base, ""))  # noqa: PTH118 (a Path drops the separator)
        self.real = os.path.realpath(self.base)
        self.follow = folder.follow
        self.maker = maker
        self.own = self._own(maker.selection.ignore)
        self.identity = identity_of(self.base)
        # Folders to look into, each with the real folders that links led through to it.
        self.pending: list[tuple[str, tuple[str, ...]]] = [(self.base, ())]

    def _own(self, ignore: tuple[Path, ...]) -> set[str]:
        """What to pass over, as scandir spells it."""
        here = Path(self.real)
        return {
            os.path.join(self.base, path.resolve().relative_to(here))  # noqa: PTH118
            for path in ignore
            if path.resolve().is_relative_to(here)
        }

    def run(self) -> None:
        """Adds what there is.

        Raises:
            OSError: the folder itself cannot be listed, or is not the same in the end.
        """
        while self.pending:
            folder, chain = self.pending.pop()
            try:
                self._look_into(folder, chain)
            except OSError as error:
                if folder == self.base:
                    raise
                if isinstance(error, FileNotFoundError | NotADirectoryError):
                    self.maker.leave_out(GONE)
                else:
                    reason = error.strerror or str(error)
                    self.maker.leave_unread(folder[self.prefix :], reason)
                self._check_root()
        self._check_root()

    def _check_root(self) -> None:
        """A share that went away takes all with it: that is no fault of one folder or file."""
        if identity_of(self.base) != self.identity:
            raise OSError(errno.ESTALE, "another folder was put in its place", self.base)

    def _look_into(self, folder: str, chain: tuple[str, ...]) -> None:
        with retried(lambda: os.scandir(folder), may_pass) as entries:
            for entry in entries:
                if entry.path in self.own:
                    continue
                try:
                    self._take(entry, chain)
                except FileNotFoundError:
                    self.maker.leave_out(GONE)
                except PermissionError:
                    raise  # no entry of this folder may be looked at
                except OSError:
                    if self.maker.wants(path := entry.path[self.prefix :]):
                        self.maker.add_unseen(path)

    def _take(self, entry: os.DirEntry[str], chain: tuple[str, ...]) -> None:
        if entry.is_symlink():
            if not self.follow:
                self.maker.leave_out(LINKS)
                return
            real = os.path.realpath(entry.path)
            inside = real == self.real or real.startswith(self.real + os.sep)
            here = os.path.realpath(os.path.dirname(entry.path))  # noqa: PTH120
            circle = real in chain or here == real or here.startswith(real + os.sep)
            if not inside or circle or not os.path.exists(real):  # noqa: PTH110
                self.maker.leave_out(LINKS_OUT)
                return
            chain = (*chain, here, real)
        if entry.is_dir(follow_symlinks=self.follow):
            if self.maker.enters(entry.name):
                self.pending.append((entry.path, chain))
        elif not entry.is_file(follow_symlinks=self.follow):
            self.maker.leave_out("special files (pipes, sockets, devices)")
        elif self.maker.wants(path := entry.path[self.prefix :]):
            status = entry.stat(follow_symlinks=self.follow)
            self.maker.add(path, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class FileList:
    """The files that a list names, below one folder.

    A text file names one per line, or, where it holds a NUL byte, one before each NUL (as
    `find -print0` writes them). A CSV or Parquet file names them in a column `path`, or in a column
    `image`, which is spelled as in a tags file. A file that does not exist is listed all the same,
    and has its row.

    Attributes:
        path: of the list.
        root: the folder that relative paths start from and that every path has to be below.
        follow: see `Folder`.
    """

    path: Path
    root: Path
    follow: bool = False

    @property
    def name(self) -> str:
        return f"@{self.path}"

    def list(self, selection: Selection = Selection()) -> Listing:
        """See `fftag.photos.sources.base.Source.list`."""
        if not os.path.exists(self.path):  # noqa: PTH110 (whatever the name is)
            raise FftagError(f"the list {self.path} does not exist")
        if not os.path.isdir(self.root):  # noqa: PTH112
            raise FftagError(f"--root {self.root} is no folder: give the one that holds the photos")
        maker = ListingMaker(selection)
        base = os.fspath(self.root)
        try:
            for number, path in enumerate(self._paths(), 1):
                relative = self._below_root(path, number)
                if maker.wants(relative):
                    self._add(relative, os.path.join(base, relative), maker)  # noqa: PTH118
        except (OSError, pa.ArrowException, csv.Error, UnicodeError) as error:
            said = " ".join(str(error).split())[:200]
            raise FftagError(f"cannot read the list {self.path}: {said}") from error
        return maker.finish()

    def _add(self, relative: str, path: str, maker: ListingMaker) -> None:
        try:
            status = os.stat(path, follow_symlinks=self.follow)  # noqa: PTH116 (a million of them)
        except (FileNotFoundError, NotADirectoryError):
            maker.add(relative, None, None)  # its row says so when its turn comes
        except OSError:
            maker.add_unseen(relative)
        else:
            maker.add(relative, status.st_size, status.st_mtime_ns)

    def reader(self) -> LocalReader:
        """See `fftag.photos.sources.base.Source.reader`."""
        return LocalReader.of(self.root, self.follow)

    def _paths(self) -> Iterator[str]:
        match self.path.suffix.lower():
            case ".parquet":
                with pq.ParquetFile(self.path) as file:
                    name = self._column_of_paths(file.schema_arrow.names)
                    batches = file.iter_batches(columns=[name])
                    cells = (batch.column(name).cast(pa.string()).to_pylist() for batch in batches)
                    yield from self._cells(name, cells)
            case ".csv":
                name = self._column_of_paths(csv_header(self.path))
                yield from self._cells(name, (cells for (cells,) in csv_columns(self.path, [name])))
            case _:
                yield from _lines(self.path)

    def _column_of_paths(self, columns: Sequence[str]) -> str:
        name = next((name for name in ("path", "image") if name in columns), None)
        if name is None:
            raise FftagError(
                f"{self.path} has neither a column `path` nor `image`, but "
                f"{', '.join(columns) or 'no column'}"
            )
        if columns.count(name) > 1:
            raise FftagError(f"{self.path} has two columns `{name}`: leave the one that counts")
        return name

    def _cells(self, name: str, blocks: Iterable[Sequence[str | None]]) -> Iterator[str]:
        for value in chain.from_iterable(blocks):
            if not value:
                raise FftagError(f"{self.path} has a row without a {name}")
            yield unescape(value) if name == "image" else value

    def _below_root(self, path: str, number: int) -> str:
        """A path of the list, relative to the root and without `.` and `..`."""
        relative = os.path.relpath(os.path.join(self.root, path), self.root)  # noqa: PTH118
        if Path(relative).parts[:1] in ((), (os.pardir,)) or "\0" in path:
            raise FftagError(
                f"entry {number:,} of {self.path}, {path!r}, is not below {self.root}: --root "
                "names the folder that all of them are below"
            )
        return relative


def _lines(path: Path) -> Iterator[str]:
    """The entries of a text file, some at a time; empty lines are none."""
    with path.open("rb") as file:
        nul = any(b"\0" in block for block in iter(lambda: file.read(BYTES_AT_ONCE), b""))
        file.seek(0)
        rest = b""
        for block in iter(lambda: file.read(BYTES_AT_ONCE), b""):
            *entries, rest = (rest + block).split(b"\0" if nul else b"\n")
            yield from _names(entries, nul)
        yield from _names([rest], nul)


def _names(entries: list[bytes], nul: bool) -> Iterator[str]:
    for entry in entries:
        name = entry if nul else entry.removesuffix(b"\r")
        if name:
            yield os.fsdecode(name)


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
    def of(cls, root: Path, follow: bool = False) -> LocalReader:
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
