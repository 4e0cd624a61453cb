"""What both download scripts need: room on the disk, and archives unpacked resumably."""

import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


def stop(message: str) -> NoReturn:
    """Ends the script with a message and exit code 1."""
    print(message, file=sys.stderr)
    raise SystemExit(1)


def need_space(folder: Path, gigabytes: float) -> None:
    """Stops unless the disk of `folder` has so much room."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        stop(
            f"{folder} has {free:.0f} GB free, and this needs about {gigabytes:.0f} GB (archive "
            "and photos lie side by side for a while): make room, name another folder, or set "
            "--need-gb if you know better"
        )


def is_unpacked(archive: Path) -> bool:
    """Whether an earlier run unpacked it to the end."""
    return _mark(archive).exists()


def unpack(archive: Path, folder: Path, wanted: Callable[[str], bool], keep: bool) -> None:
    """Unpacks the wanted files into `folder`, going on where an interrupted run stopped.

    A file that is there in full size is not written again. Afterwards the archive goes, unless
    `keep`, and a mark stays that says it was unpacked.
    """
    print(f"unpacking {archive.name}", file=sys.stderr)
    try:
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                if member.is_dir() or not wanted(member.filename):
                    continue
                target = folder / member.filename
                if not (target.is_file() and target.stat().st_size == member.file_size):
                    content.extract(member, folder)
    except (zipfile.BadZipFile, EOFError) as error:
        stop(f"{archive} is damaged ({error}): delete it, and run this again")
    except OSError as error:
        stop(f"cannot unpack {archive}: {error}")
    _mark(archive).touch()
    if not keep:
        archive.unlink()


def _mark(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.unpacked")
