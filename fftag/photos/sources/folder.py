"""A folder of files."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from fftag.base.errors import FftagError
from fftag.photos.listing import GONE, Listing, ListingMaker, Selection
from fftag.photos.sources.base import may_pass, retried
from fftag.photos.sources.local import LocalReader, identity_of

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
        """See `fftag.photos.sources.base.Source.list`."""
        maker = ListingMaker(selection)
        try:
            _Walk(self, maker).run()
        except (FileNotFoundError, NotADirectoryError) as error:
            what = "does not exist" if isinstance(error, FileNotFoundError) else "is no folder"
            raise FftagError(
                f"{self.root} {what}: give a folder of photos, a list (@photos.txt), archives "
                "(shard.tar, 'shards/*.tar', photos.zip) or a URL (s3://bucket/photos)"
            ) from error
        except OSError as error:
            raise FftagError(
                f"cannot list {self.root}: {error.strerror}: is it mounted, and may this user "
                "read it?"
            ) from error
        return maker.finish()

    def reader(self) -> LocalReader:
        """See `fftag.photos.sources.base.Source.reader`."""
        return LocalReader.of(self.root, self.follow)


class _Walk:
    """One walk through a folder."""

    def __init__(self, folder: Folder, maker: ListingMaker) -> None:
        self.base = os.fspath(folder.root)
        self.prefix = len(os.path.join(self.base, ""))  # noqa: PTH118 (a Path drops the separator)
        self.real = os.path.realpath(self.base)
        self.follow = folder.follow
        self.maker = maker
        self.own = self._own(maker.selection.ignore)
        self.identity = identity_of(self.base)
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
        """Adds what there is.

        Raises:
            OSError: the folder itself cannot be listed, or is not the same in the end.
        """
        while self.pending:
            folder, chain = self.pending.pop()
            try:
                self._look_into(folder, chain)
            except OSError as error:
                if folder == self.base:
                    raise
                if isinstance(error, FileNotFoundError | NotADirectoryError):
                    self.maker.leave_out(GONE)
                else:
                    reason = error.strerror or str(error)
                    self.maker.leave_unread(folder[self.prefix :], reason)
                self._check_root()
        self._check_root()

    def _check_root(self) -> None:
        """A share that went away takes all with it: that is no fault of one folder or file."""
        if identity_of(self.base) != self.identity:
            raise OSError(errno.ESTALE, "another folder was put in its place", self.base)

    def _look_into(self, folder: str, chain: tuple[str, ...]) -> None:
        with retried(lambda: os.scandir(folder), may_pass) as entries:
            for entry in entries:
                if entry.path in self.own:
                    continue
                try:
                    self._take(entry, chain)
                except FileNotFoundError:
                    self.maker.leave_out(GONE)
                except PermissionError:
                    raise  # no entry of this folder may be looked at
                except OSError:
                    if self.maker.wants(path := entry.path[self.prefix :]):
                        self.maker.add_unseen(path)

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
            if self.maker.enters(entry.name):
                self.pending.append((entry.path, chain))
        elif not entry.is_file(follow_symlinks=self.follow):
            self.maker.leave_out("special files (pipes, sockets, devices)")
        elif self.maker.wants(path := entry.path[self.prefix :]):
            status = entry.stat(follow_symlinks=self.follow)
            self.maker.add(path, status.st_size, status.st_mtime_ns)
