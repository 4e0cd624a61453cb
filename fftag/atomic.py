"""Atomic publication: a file is there whole, or not at all."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fftag.errors import FftagError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on leaving without an error it becomes `path`.

    The content and the rename reach the disk (fsync) before this returns; after an error the
    temporary file is removed and what stood at `path` before still stands.

    Raises:
        FftagError: the folder is missing or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        if error.filename in (str(temporary), os.fspath(path), None):
            raise FftagError(f"cannot write {path}: {error.strerror or error}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


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
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FftagError(f"cannot write {path}: {error.strerror}") from error
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
