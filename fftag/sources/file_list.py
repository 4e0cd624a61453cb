"""A list of files: text, CSV or Parquet."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from fftag.errors import FftagError
from fftag.listing import Listing, ListingMaker, unescape
from fftag.sources.base import NOT_INCLUDED, Selection
from fftag.sources.local import LocalReader

BYTES_AT_ONCE = 2**20


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
        """See `fftag.sources.base.Source.list`."""
        if not self.root.is_dir():
            raise FftagError(f"--root {self.root} is no folder: give the one that holds the photos")
        maker = ListingMaker()
        base = os.fspath(self.root)
        try:
            for number, path in enumerate(self._paths(), 1):
                relative = self._below_root(path, number)
                if not selection.includes(os.path.basename(relative)):  # noqa: PTH119
                    maker.leave_out(NOT_INCLUDED)
                    continue
                maker.add(relative, *_status(os.path.join(base, relative), self.follow))  # noqa: PTH118
        except (OSError, pa.ArrowException, UnicodeError) as error:
            said = " ".join(str(error).split())[:200]
            raise FftagError(f"cannot read the list {self.path}: {said}") from error
        return maker.finish()

    def reader(self) -> LocalReader:
        """See `fftag.sources.base.Source.reader`."""
        return LocalReader(self.root, self.follow)

    def _paths(self) -> Iterator[str]:
        match self.path.suffix.lower():
            case ".parquet":
                yield from self._column(pq.ParquetFile(self.path))
            case ".csv":
                yield from self._column(csv.open_csv(self.path, **_AS_TEXT))
            case _:
                yield from _lines(self.path)

    def _column(self, table: pq.ParquetFile | csv.CSVStreamingReader) -> Iterator[str]:
        with table:
            schema = table.schema_arrow if isinstance(table, pq.ParquetFile) else table.schema
            name = next((name for name in ("path", "image") if name in schema.names), None)
            if name is None:
                raise FftagError(
                    f"{self.path} has neither a column `path` nor `image`, but "
                    f"{', '.join(schema.names)}"
                )
            is_parquet = isinstance(table, pq.ParquetFile)
            for batch in table.iter_batches(columns=[name]) if is_parquet else table:
                for value in batch.column(name).cast(pa.string()).to_pylist():
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


_AS_TEXT = {
    "convert_options": csv.ConvertOptions(
        column_types={"path": pa.string(), "image": pa.string()}, strings_can_be_null=False
    ),
    "parse_options": csv.ParseOptions(newlines_in_values=True),
}


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


def _status(path: str, follow: bool) -> tuple[int | None, int | None]:
    try:
        status = os.stat(path, follow_symlinks=follow)  # noqa: PTH116 (a million of them)
    except OSError:
        return None, None  # its row says why when its turn comes
    return status.st_size, status.st_mtime_ns
