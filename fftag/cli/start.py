"""The process as a command needs it: what it imports, how it reads names, where it writes."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from fftag.base.errors import FftagError

SAFE_PATH, UTF8 = "PYTHONSAFEPATH", "PYTHONUTF8"


def prepare() -> None:
    """Makes this process, and all that it starts, such that where it is started changes nothing."""
    _open_descriptors()
    _import_nothing_from_the_working_folder()
    _read_names_as_utf8()
    results = os.dup(1)
    os.dup2(2, 1)  # what libraries and processes that are started say there is no result
    sys.stdout = _text(_Results(results, "w"))
    sys.stderr = _text(_Messages(2, "w", closefd=False), line_buffering=True)


def _open_descriptors() -> None:
    """Opens what was closed: the next file would get its number, and messages would go into it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _import_nothing_from_the_working_folder() -> None:
    """Folders that PYTHONPATH has relative to this one, as an empty entry is, are left out; and
    Python puts the working folder in front of no process that is started from here."""
    os.environ[SAFE_PATH] = "1"
    given = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in given if Path(entry).is_absolute()]
    if kept:
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    relative = {str(Path(entry).absolute()) for entry in given} - set(kept)
    sys.path[:] = [entry for entry in sys.path if entry not in relative]


def _read_names_as_utf8() -> None:
    """Begins anew in Python's UTF-8 mode where the locale has another encoding.

    The bytes of a path are the same everywhere; as text it has to be, too.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get(UTF8) != "1":
        os.environ[UTF8] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (itself)


class _Results(io.FileIO):
    """Standard output: who reads it may leave, but a disk that is full is an error, once."""

    lost = False

    def write(self, data: Any, /) -> int:
        if not self.lost:
            try:
                return super().write(data)
            except BrokenPipeError:
                self.lost = True
            except OSError as error:
                self.lost = True
                raise FftagError(
                    f"the result cannot be written to standard output: {error.strerror}"
                ) from error
        return memoryview(data).nbytes


class _Messages(io.FileIO):
    """Standard error: no work ends because nobody can be told of it."""

    def write(self, data: Any, /) -> int:
        with suppress(OSError):
            super().write(data)
        return memoryview(data).nbytes


def _text(raw: io.FileIO, line_buffering: bool = False) -> io.TextIOWrapper:
    # A name that is no text is shown with escapes.
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=line_buffering or raw.isatty(),
    )
