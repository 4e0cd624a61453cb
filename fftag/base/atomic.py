"""Publication of files: whole or not at all, and never in the place of something else."""

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fftag.base.errors import FftagError

GENERATOR = b'<meta name="generator" content="fftag">'  # in the head of every page
HEAD = 4096  # bytes by which a kind of file is known


@dataclass(frozen=True)
class Kind:
    """A kind of file that is written.

    Attributes:
        name: with its article, as messages have it.
        knows: whether a file that is there is one, by what it holds.
    """

    name: str
    knows: Callable[[Path], bool]


def begins(start: bytes, at: int = 0) -> Callable[[Path], bool]:
    """Whether a file has these bytes at that place."""
    return lambda path: head_of(path)[at : at + len(start)] == start


def has_keys(*keys: str) -> Callable[[Path], bool]:
    """Whether a file is a JSON object with at least these keys."""

    def knows(path: Path) -> bool:
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            return False
        return isinstance(content, dict) and content.keys() >= set(keys)

    return knows


def _is_text(path: Path) -> bool:
    head = head_of(path)
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(head) < HEAD or error.start < len(head) - 4:  # not merely cut within a character
            return False
    return b"\0" not in head and head[:15].lower() != b"<!doctype html>"


def _is_json(path: Path) -> bool:
    return _is_text(path) and head_of(path).lstrip()[:1] in (b"{", b"[")


PARQUET = Kind("a Parquet file", begins(b"PAR1"))
DATABASE = Kind("a DuckDB database", begins(b"DUCK", at=8))
PNG = Kind("a PNG picture", begins(b"\x89PNG\r\n\x1a\n"))
TEXT = Kind("a text", _is_text)
PAGE = Kind("a page that fftag wrote", lambda path: GENERATOR in head_of(path))
JSON = Kind("a JSON file", _is_json)


def target_of(path: Path) -> Path:
    """The file that a name means: where it is a symbolic link, the file that the link leads to.

    Raises:
        FftagError: the link leads in a circle, or cannot be looked at.
    """
    try:
        return path.resolve() if path.is_symlink() else path
    except RuntimeError as error:
        raise FftagError(f"cannot write {path}: its symbolic link leads in a circle") from error
    except OSError as error:
        raise FftagError(f"cannot write {path}: {error.strerror}") from error


def refuse_other(path: Path, kind: Kind) -> None:
    """Sees that writing a file loses nothing else: what is there already is of its kind, or empty.

    Raises:
        FftagError: it is a folder, a device or a pipe, or a file of another kind; or its name is
            no UTF-8, which Parquet and DuckDB cannot write to.
    """
    target = target_of(path)
    try:
        os.fspath(target).encode()
    except UnicodeEncodeError as error:
        raise FftagError(
            f"cannot write {path}: this name, or that of a folder above, is no UTF-8: give another"
        ) from error
    try:
        there = target.stat()
        if not stat.S_ISREG(there.st_mode):
            what = "a folder" if stat.S_ISDIR(there.st_mode) else "no regular file"
            raise FftagError(f"{path} is {what}: give the name of a file to write")
        known = there.st_size == 0 or kind.knows(target)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FftagError(f"cannot write {path}: {error.strerror or error}") from error
    if not known:
        raise FftagError(
            f"{path} is there and is not {kind.name}: move it away, or give another name"
        )


@contextmanager
def replacing(path: Path, kind: Kind | None = None) -> Iterator[Path]:
    """Yields a temporary path; on leaving without an error it becomes `path`.

    A symbolic link stays one: the file that it leads to is written. A file that is replaced leaves
    its mode, and as far as the system allows its owner, to the new one; any other gets the mode
    that the umask leaves it. Folders that are missing are made. The content and the rename reach
    the disk (fsync) before this returns; after an error the temporary file is removed and what
    stood at `path` before still stands.

    Args:
        path: the file to write.
        kind: what is written: see `refuse_other`. None for a name that only fftag gives, in a
            folder of its own.

    Raises:
        FftagError: the folder cannot be made or written, or `refuse_other` refuses.
    """
    if kind is not None:
        refuse_other(path, kind)
    target = target_of(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode_of_new(temporary)
        yield temporary
        if target.exists():
            mode = _take_owner(target, temporary)
        temporary.chmod(mode)
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        own = (temporary, target, *target.parents)
        if error.filename is None or str(error.filename) in map(str, own):
            raise FftagError(f"cannot write {path}: {error.strerror or error}") from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Waits until nobody else who asks likewise changes a file of that folder; keeps others out.

    For whoever reads a file to put another in its place: between the two nobody else does. The
    folder carries the lock, and a process that dies gives it up. A share that cannot lock folders
    leaves it at the last one to write.

    Raises:
        FftagError: the folder is missing.
    """
    try:
        descriptor = os.open(target_of(path).parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FftagError(f"cannot write {path}: {error.strerror}") from error
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes, kind: Kind | None = None) -> None:
    """Writes a file atomically; see `replacing`."""
    with replacing(path, kind) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str, kind: Kind | None = None) -> None:
    """Writes UTF-8 text atomically; see `replacing`."""
    write_bytes(path, text.encode(), kind)


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, where it is not there.

    Raises:
        FftagError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FftagError(f"cannot make the folder {path}: {error.strerror}") from error


def head_of(path: Path) -> bytes:
    """The bytes by which a file is known, at most `HEAD`."""
    with path.open("rb") as file:
        return file.read(HEAD)


def _mode_of_new(path: Path) -> int:
    """The mode that a new file gets there; some libraries give theirs another."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        path.unlink()  # DuckDB, for one, takes an empty file for a damaged one


def _take_owner(of: Path, to: Path) -> int:
    """Gives a file the owner and group of another, as far as the system allows; its mode."""
    there = of.stat()
    for owner in (there.st_uid, -1):
        with suppress(OSError):
            os.chown(to, owner, there.st_gid)
            break
    return stat.S_IMODE(there.st_mode)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
