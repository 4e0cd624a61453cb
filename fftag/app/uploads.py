"""Photos that people upload, alone or in zip files: capped, and laid down to be decoded."""

import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Protocol

from fftag.base.errors import FftagError
from fftag.photos.companions import COMPANIONS, is_companion

MIB = 2**20
LOOKS_LIKE_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
READ_AT_ONCE = MIB
UNPACKING = (
    OSError,  # what bz2 raises on damage, too
    EOFError,
    ValueError,
    RuntimeError,  # a password is needed
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class Caps:
    """How much may be uploaded at once.

    Attributes:
        photos: in all.
        photo_bytes: of one photo.
        bytes: of all photos, unpacked.
        zip_entries: of one zip, folders and all.
        zip_ratio: how many times larger than it is packed a zip's entry may be.
    """

    photos: int = 200
    photo_bytes: int = 32 * MIB
    bytes: int = 256 * MIB
    zip_entries: int = 2000
    zip_ratio: int = 100


@dataclass(frozen=True)
class Upload:
    """One photo.

    Attributes:
        name: as it is shown: the file's, behind its zip's.
        data: the file.
    """

    name: str
    data: bytes


@dataclass
class Uploads:
    """What was taken, and what was not.

    Attributes:
        photos: in the order given.
        left_out: one line each.
    """

    photos: list[Upload] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


class File(Protocol):
    """What a browser sends: a file with a name and a size."""

    name: str
    size: int

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...


def take(files: Sequence[File], caps: Caps = Caps()) -> Uploads:
    """Takes photos out of files, zips unpacked, as far as the caps allow.

    Nothing is unpacked before its size as the zip states it has been found to fit, and no more is
    read of it than that.
    """
    uploads, total = Uploads(), 0
    for name, size, read in _offered(files, caps, uploads.left_out):
        if len(uploads.photos) == caps.photos:
            uploads.left_out.append(f"all after the first {caps.photos} photos")
            break
        if size > caps.photo_bytes:
            uploads.left_out.append(
                f"{name}: larger than {caps.photo_bytes / MIB:.0f} MiB, which is the most for one "
                "photo"
            )
        elif total + size > caps.bytes:
            uploads.left_out.append(f"{name}: all together exceed {caps.bytes / MIB:.0f} MiB")
        else:
            try:
                data = read(size)
            except UNPACKING as error:
                uploads.left_out.append(f"{name}: cannot be unpacked ({_said(error)})")
                continue
            total += len(data)
            uploads.photos.append(Upload(name, data))
    return uploads


def _offered(
    files: Sequence[File], caps: Caps, left_out: list[str]
) -> Iterator[tuple[str, int, Any]]:
    """Name and size in bytes of each photo, and what reads it."""
    for file in files:
        file.seek(0)
        is_zip = file.read(4) in LOOKS_LIKE_ZIP
        file.seek(0)
        if is_companion(file.name):
            left_out.append(f"{file.name}: one of the {COMPANIONS}")
            continue
        if not is_zip:
            yield file.name, file.size, file.read
            continue
        try:
            with zipfile.ZipFile(file) as archive:
                yield from _members(archive, file.name, caps, left_out)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            left_out.append(f"{file.name}: no zip that can be read ({_said(error)})")


def _members(
    archive: zipfile.ZipFile, name: str, caps: Caps, left_out: list[str]
) -> Iterator[tuple[str, int, Any]]:
    members = archive.infolist()
    if len(members) > caps.zip_entries:
        left_out.append(f"{name}: {len(members):,} entries, of which {caps.zip_entries:,} may be")
        return
    files = [member for member in members if not member.is_dir()]
    photos = [member for member in files if not is_companion(member.filename)]
    if len(photos) < len(files):
        left_out.append(f"{name}: {len(files) - len(photos)} {COMPANIONS}")
    for member in photos:
        shown = f"{name}/{member.filename}"
        if stat.S_ISLNK(member.external_attr >> 16):
            left_out.append(f"{shown}: a link")
            continue
        if member.file_size > caps.zip_ratio * max(member.compress_size, 1):
            left_out.append(f"{shown}: packed more than {caps.zip_ratio} to 1, as no photo is")
            continue

        def read(size: int, member: zipfile.ZipInfo = member) -> bytes:
            with archive.open(member) as packed:
                return _no_more_than(packed, size)

        yield shown, member.file_size, read


def _no_more_than(file: IO[bytes], size: int) -> bytes:
    """The whole of a file that says it has a size.

    Raises:
        ValueError: it has more.
    """
    parts, left = [], size
    while left > 0 and (part := file.read(min(left, READ_AT_ONCE))):
        parts.append(part)
        left -= len(part)
    if file.read(1):
        raise ValueError("it is larger than the zip says")
    return b"".join(parts)


@contextmanager
def laid_down(photos: Sequence[Upload], folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Photos as files with names of ours in a folder below `folder`, for as long as the block runs.

    Yields:
        A row of a listing per photo, in their order, with `image` relative to `folder`.

    Raises:
        FftagError: they cannot be written.
    """
    try:
        with TemporaryDirectory(dir=folder) as name:
            entries = []
            for number, photo in enumerate(photos):
                path = Path(name) / str(number)
                path.write_bytes(photo.data)
                image = path.relative_to(folder).as_posix()
                entries.append({"image": image, "size": len(photo.data), "modified_ns": None})
            yield entries
    except OSError as error:
        raise FftagError(f"cannot lay down uploaded photos: {error.strerror or error}") from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
