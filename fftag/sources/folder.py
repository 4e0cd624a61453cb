"""A folder of files."""

import os
from dataclasses import dataclass
from pathlib import Path

from fftag.errors import FftagError
from fftag.listing import Listing, ListingMaker
from fftag.sources.base import NOT_INCLUDED, Selection
from fftag.sources.local import LocalReader

LINKS = "symbolic links"
LINKS_OUT = "symbolic links that lead out of the folder, in circles or nowhere"


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
        """See `fftag.sources.base.Source.list`."""
        if not self.root.is_dir():
            what = "is a file, not a folder" if self.root.exists() else "does not exist"
            raise FftagError(
                f"{self.root} {what}: give a folder of photos, a list (@photos.txt), archives "
                "(shard.tar, 'shards/*.tar', photos.zip) or a URL (s3://bucket/photos)"
            )
        maker = ListingMaker()
        try:
            _Walk(self, selection, maker).run()
        except OSError as error:
            raise FftagError(f"cannot list {error.filename}: {error.strerror}") from error
        return maker.finish()

    def reader(self) -> LocalReader:
        """See `fftag.sources.base.Source.reader`."""
        return LocalReader(self.root, self.follow)


class _Walk:
    """One walk through a folder."""

    def __init__(self, folder: Folder, selection: Selection, maker: ListingMaker) -> None:
        self.base = os.fspath(folder.root)
        self.prefix = len(os.path.join(self.base, ""))  # noqa: PTH118 (a Path drops the separator)
        self.real = os.path.realpath(self.base)
        self.follow = folder.follow
        self.selection = selection
        self.maker = maker
        self.own = self._own(selection.ignore)
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
        while self.pending:
            folder, chain = self.pending.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.path not in self.own:
                        self._take(entry, chain)

    def _take(self, entry: "os.DirEntry[str]", chain: tuple[str, ...]) -> None:
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
            self.pending.append((entry.path, chain))
        elif not entry.is_file(follow_symlinks=self.follow):
            self.maker.leave_out("special files (pipes, sockets, devices)")
        elif not self.selection.includes(entry.name):
            self.maker.leave_out(NOT_INCLUDED)
        else:
            try:
                status = entry.stat(follow_symlinks=self.follow)
            except FileNotFoundError:
                self.maker.leave_out("files that went away while they were listed")
                return
            self.maker.add(entry.path[self.prefix :], status.st_size, status.st_mtime_ns)
