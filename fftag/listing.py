"""A folder -> the sorted list of its files, as Arrow."""

import hashlib
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa

from fftag.errors import FftagError

ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\\\")
SCHEMA = pa.schema([("image", pa.string()), ("size", pa.int64()), ("modified_ns", pa.int64())])


@dataclass(frozen=True)
class Listing:
    """The files of a folder.

    Attributes:
        root: the folder.
        files: one row per file, sorted by the bytes of its path: `image` (string: path relative to
            the root, `/`-separated, escaped by `escape`), `size` (int64, bytes), `modified_ns`
            (int64, since the epoch).
        left_out: what was seen and not listed, by reason, such as symbolic links.
    """

    root: Path
    files: pa.Table
    left_out: dict[str, int]

    def __len__(self) -> int:
        return int(self.files.num_rows)

    def digest(self) -> str:
        """SHA-256 over paths, sizes and modification times."""
        sha = hashlib.sha256()
        for batch in self.files.to_batches(max_chunksize=65536):
            for image, size, modified in zip(*batch.to_pydict().values(), strict=True):
                sha.update(f"{image}\0{size}\0{modified}\n".encode())
        return sha.hexdigest()


def escape(name: str) -> str:
    r"""A file name as Python has it -> valid Unicode, reversibly.

    A backslash becomes two; a byte that is no UTF-8 becomes `\xNN`.

    >>> escape("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    if "\\" not in name and not any("\udc80" <= letter <= "\udcff" for letter in name):
        return name
    name = name.replace("\\", "\\\\")
    return "".join(
        f"\\x{ord(letter) - 0xDC00:02x}" if "\udc80" <= letter <= "\udcff" else letter
        for letter in name
    )


def unescape(image: str) -> str:
    """The inverse of `escape`."""
    return ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)) if match[1] else "\\", image)


def list_folder(
    root: Path, include: tuple[str, ...] = (), ignore: tuple[Path, ...] = ()
) -> Listing:
    """Lists every regular file below a folder; symbolic links are not followed.

    Args:
        root: the folder.
        include: glob patterns on the file's name, such as `*.jpg`; none means every file.
        ignore: files and folders to pass over: what the run itself writes, should it lie inside.

    Raises:
        FftagError: the folder is missing, cannot be read, or holds no file to tag.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise FftagError(f"{root} {what}: give the folder that holds the photos")
    base = os.fspath(root)
    prefix = len(os.path.join(base, ""))  # noqa: PTH118 (a Path would drop the separator)
    found: list[tuple[bytes, str, int, int]] = []
    left_out: dict[str, int] = {}
    pending = [base]
    here = root.resolve()
    own = {
        os.path.join(base, path.resolve().relative_to(here))  # noqa: PTH118 (as scandir spells it)
        for path in ignore
        if path.resolve().is_relative_to(here)
    }
    try:
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.path in own:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    reason = _reason_to_leave_out(entry, include)
                    if reason is None:
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            reason = "files that went away while they were listed"
                    if reason is not None:
                        left_out[reason] = left_out.get(reason, 0) + 1
                        continue
                    name = entry.path[prefix:]
                    found.append(
                        (os.fsencode(name), escape(name), status.st_size, status.st_mtime_ns)
                    )
    except OSError as error:
        raise FftagError(f"cannot list {error.filename}: {error.strerror}") from error
    if not found:
        seen = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise FftagError(f"no files to tag in {root}" + (f" (left out: {seen})" if seen else ""))
    found.sort()
    columns = [[row[position] for row in found] for position in (1, 2, 3)]
    return Listing(root, pa.table(columns, schema=SCHEMA), left_out)


def _reason_to_leave_out(entry: "os.DirEntry[str]", include: tuple[str, ...]) -> str | None:
    if entry.is_symlink():
        return "symbolic links"
    if not entry.is_file(follow_symlinks=False):
        return "special files (pipes, sockets, devices)"
    if include and not any(fnmatchcase(entry.name, pattern) for pattern in include):
        return "files that --include does not name"
    return None
