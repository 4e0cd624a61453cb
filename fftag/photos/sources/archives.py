"""Tar archives and zip files, read where they lie."""

import errno
import glob
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fftag.base.errors import FftagError
from fftag.photos.decode import Failure
from fftag.photos.listing import GONE, Listing, ListingMaker, Selection, unescape
from fftag.photos.sources.base import NETWORK, Content, is_of_network, may_pass, retried

SUFFIXES = (".tar", ".zip")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
MOST_OPEN = 4
BY_WHO_ASKS = os.access in os.supports_effective_ids
CHANGED = "the archive was replaced or changed since it was listed"


@dataclass(frozen=True)
class Archives:
    """The files in one archive, or in all that a pattern names, such as `shards/*.tar`.

    Attributes:
        given: path or pattern. With a pattern, a file's path begins with that of its archive,
            relative to the last folder that the pattern names in full.
    """

    given: str

    @property
    def name(self) -> str:
        return self.given

    @property
    def root(self) -> Path | None:
        """What the archives' paths are relative to; None where there is one archive alone."""
        if os.path.isfile(self.given) or not glob.has_magic(self.given):  # noqa: PTH113
            return None
        parts = Path(self.given).parts
        fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
        return Path(*parts[:fixed])

    def list(self, selection: Selection = Selection()) -> Listing:
        """See `fftag.photos.sources.base.Source.list`."""
        maker = ListingMaker(selection)
        root = self.root
        for path in self._paths(root, maker):
            name = "" if root is None else path.relative_to(root).as_posix()
            try:
                _add_members(path, f"{name}/" if name else "", maker)
            except (OSError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
                said = " ".join(str(error).split())[:200] or type(error).__name__
                if isinstance(error, FileNotFoundError):
                    maker.leave_out(GONE)
                elif name:
                    maker.leave_unread(name, said)
                else:
                    raise FftagError(
                        f"cannot list {path}: {said}: copy it again from its source"
                    ) from error
        return maker.finish()

    def _paths(self, root: Path | None, maker: ListingMaker) -> Sequence[Path]:
        if root is None:
            found = [Path(self.given)]
        else:
            found = sorted(Path(path) for path in glob.glob(self.given, recursive=True))  # noqa: PTH207
            found = [path for path in found if maker.enters(path.relative_to(root).as_posix())]
            self._note_closed_folders(root, maker)
        for path in found:
            if path.name.lower().endswith(COMPRESSED):
                raise FftagError(
                    f"{path} is compressed as a whole, so that no photo in it can be read without "
                    "all before it: unpack it to a plain .tar (photos do not shrink anyway)"
                )
            if not path.name.lower().endswith(SUFFIXES):
                raise FftagError(f"{path} is neither a .tar nor a .zip: name such archives only")
            if not os.path.isfile(path):  # noqa: PTH113 (whatever the name is)
                raise FftagError(f"{path} does not exist, or is no file that may be read")
        if not found:
            raise FftagError(f"no archive is named like {self.given}")
        return found

    def _note_closed_folders(self, root: Path, maker: ListingMaker) -> None:
        """Counts folders that a pattern leads into and that may not be read: glob passes them over
        without a word."""
        parts = Path(self.given).parts[len(root.parts) : -1]
        for count in range(len(parts) + 1):
            for folder in glob.glob(os.path.join(root, *parts[:count], ""), recursive=True):  # noqa: PTH207, PTH118
                if not os.access(folder, os.R_OK | os.X_OK, effective_ids=BY_WHO_ASKS):
                    if count == 0:
                        raise FftagError(f"cannot list {root}: may this user read it?")
                    name = Path(folder).relative_to(root).as_posix()
                    if name not in maker.unread:
                        maker.leave_unread(name, os.strerror(errno.EACCES))

    def reader(self) -> "ArchiveReader":
        """See `fftag.photos.sources.base.Source.reader`."""
        return ArchiveReader(Path(self.given), self.root)


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        name: as the archive spells it.
        size: in bytes, unpacked.
        offset: where its bytes begin; None where they are compressed.
        unfit: why it is left out; None of what is a file.
    """

    name: str
    size: int
    offset: int | None
    unfit: str | None


def _add_members(path: Path, before: str, maker: ListingMaker) -> None:
    modified = path.stat().st_mtime_ns
    for member in _opened(path):
        inside = _normal(member.name)
        if member.unfit is not None:
            maker.leave_out(member.unfit)
        elif maker.wants(inside):
            maker.add(before + inside, member.size, modified, member.offset)


def _normal(name: str) -> str:
    """A member's path without `.` and empty parts."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _opened(path: Path) -> Iterator[Member]:
    return _in_tar(path) if path.name.lower().endswith(".tar") else _in_zip(path)


def _in_tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r:") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined] # it would keep each one
            if member.isdir():
                continue
            unfit = None if member.isreg() else "links and special files in archives"
            if member.issparse():
                unfit = "sparse files in archives"
            yield Member(member.name, member.size, member.offset_data, unfit)
        # tarfile takes a damaged header, or none, for the end of the archive.
        with path.open("rb") as file:
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                raise tarfile.ReadError(f"it is damaged or cut at byte {archive.offset:,}")


def _in_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                link = stat.S_ISLNK(member.external_attr >> 16)
                unfit = "links and special files in archives" if link else None
                yield Member(member.filename, member.file_size, None, unfit)


class _Opened(Protocol):
    """An archive that is held open for reading."""

    def read(self, path: str, entry: dict[str, Any], limit: int) -> bytes:
        """At most `limit + 1` bytes of one file in it."""

    def stamp(self) -> tuple[int, int]:
        """Modification time (nanoseconds since the epoch) and size (bytes) of the archive."""

    def close(self) -> None:
        """Closes it."""


class _Tar:
    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def read(self, path: str, entry: dict[str, Any], limit: int) -> bytes:
        return os.pread(self._file.fileno(), min(entry["size"], limit + 1), entry["offset"])

    def stamp(self) -> tuple[int, int]:
        return _stamp(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class _Zip:
    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            self._archive = zipfile.ZipFile(self._file)
        except BaseException:
            self._file.close()
            raise
        # Of a path that is there twice, the later one counts, as in the listing.
        self._members = {_normal(one.filename): one for one in self._archive.infolist()}

    def read(self, path: str, entry: dict[str, Any], limit: int) -> bytes:
        with self._archive.open(self._members[path]) as member:
            return member.read(limit + 1)

    def stamp(self) -> tuple[int, int]:
        return _stamp(self._file.fileno())

    def close(self) -> None:
        self._archive.close()
        self._file.close()


def _stamp(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_mtime_ns, status.st_size


@dataclass
class ArchiveReader:
    """Reads files in archives; keeps some archives open.

    Attributes:
        path: of the one archive; not looked at where there is a root.
        root: see `Archives.root`.
    """

    path: Path
    root: Path | None
    _open: dict[Path, _Opened] = field(default_factory=dict)

    def read(self, entry: dict[str, Any], limit: int) -> Content | Failure:
        """See `fftag.photos.sources.base.Reader.read`."""
        try:
            return retried(lambda: self._read(entry, limit), may_pass)
        except FileNotFoundError:
            return Failure("vanished", "its archive is gone since it was listed")
        except KeyError:
            return Failure("vanished", CHANGED)
        except Exception as error:
            # zipfile raises BadZipFile, RuntimeError (a password), NotImplementedError (a way of
            # compressing), zlib.error and more: each means that this file cannot be read.
            said = " ".join(str(error).split())[:200]
            if is_of_network(error):
                return Failure("unreadable", NETWORK + said)
            return Failure("unreadable", f"in its archive: {said or type(error).__name__}")

    def close(self) -> None:
        """See `fftag.photos.sources.base.Reader.close`."""
        while self._open:
            self._open.popitem()[1].close()

    def _read(self, entry: dict[str, Any], limit: int) -> Content | Failure:
        path, inside = self._split(unescape(entry["image"]))
        archive = self._open.pop(path, None)
        if archive is None:
            archive = _Tar(path) if path.name.lower().endswith(".tar") else _Zip(path)
        self._open[path] = archive
        if len(self._open) > MOST_OPEN:
            self._open.pop(next(iter(self._open))).close()
        modified = archive.stamp()[0]
        if modified != entry["modified_ns"] or modified != path.stat().st_mtime_ns:
            self._open.pop(path).close()
            return Failure("vanished", CHANGED)
        data = archive.read(inside, entry, limit)
        if len(data) != min(entry["size"], limit + 1):
            return Failure("truncated", "its archive ends before it does")
        return Content(data, entry["size"], modified)

    def _split(self, image: str) -> tuple[Path, str]:
        """A listed path -> the archive, and the path in it."""
        if self.root is None:
            return self.path, image
        parts = image.split("/")
        for count in range(1, len(parts)):
            path = self.root.joinpath(*parts[:count])
            if path in self._open or path.is_file():
                return path, "/".join(parts[count:])
        raise FileNotFoundError(image)
