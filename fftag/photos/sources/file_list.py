"""A list of files: text, CSV or Parquet."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.csv_columns import csv_columns, csv_header
from fftag.base.errors import FftagError
from fftag.photos.listing import Listing, ListingMaker, Selection, unescape
from fftag.photos.sources.local import LocalReader

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
