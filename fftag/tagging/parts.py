"""What a run has on disk before it is published: parts, small tags files of their own; a lock."""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.base.atomic import make_folder, refuse_other, replacing
from fftag.base.errors import FftagError
from fftag.base.progress import say
from fftag.tagging.agreement import Agreement
from fftag.tagging.known import TagsRows, header_of
from fftag.tagging.scored_rows import part_schema
from fftag.tagging.tags_file import TAGS, UNREADABLE, WRITTEN, open_tags_file, run_of

# A process that was killed may hold it until the processes that it was starting are there.
SECONDS_TO_WAIT_FOR_THE_LOCK = 1.0
NAME = re.compile(r"part-([0-9a-f]{16})\.parquet")
FOLDER = re.compile(r"[0-9a-f]{16}")  # named by the digest of an agreement


def beside(out: Path, what: str) -> Path:
    """`<out>.<what>`: what a run keeps beside its output (`parts`, `lock`, `previous`)."""
    return out.with_name(f"{out.name}.{what}")


def own_files(out: Path) -> tuple[Path, ...]:
    """All that a run writes: its output, and what it keeps beside it."""
    return out, *(beside(out, what) for what in ("parts", "lock", "previous"))


class Parts:
    """The parts of one agreement, in `<out>.parts/<its digest>/`.

    A part is written once, and named by its content: of two with the same rows, as a task that was
    tried again writes them, publication takes one.
    """

    def __init__(self, out: Path, agreement: Agreement) -> None:
        """Looks at nothing yet.

        Args:
            out: where the finished tags file goes.
            agreement: of the scores.
        """
        self.out = out
        self.all = beside(out, "parts")
        self.folder = self.all / agreement.digest
        self._damaged: set[Path] = set()

    def whole(self) -> list[TagsRows]:
        """Those that are there, in the order of their names; says which are damaged."""
        return list(self._whole(self.folder))

    def of_others(self) -> list[TagsRows]:
        """Those of other agreements."""
        return [part for folder in self._others() for part in self._whole(folder)]

    def since(self, before: Sequence[TagsRows]) -> list[TagsRows]:
        """Those that were written since others were looked at."""
        return list(self._whole(self.folder, {part.path for part in before}))

    def _whole(self, folder: Path, but: Collection[Path] = ()) -> Iterator[TagsRows]:
        for path in sorted({*folder.glob("part-*.parquet")}.difference(but)):
            try:
                yield _part(path)
            except (FftagError, *UNREADABLE):
                if path not in self._damaged:
                    say(f"{path} is damaged, or of another fftag: its photos are read again")
                self._damaged.add(path)

    def name_others(self) -> None:
        """Says which parts of other agreements there are, and how large they are."""
        for folder in self._others():
            size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
            say(
                f"{folder} has {size:,.1f} MB of another run that was interrupted, with another "
                "model or other settings: it goes on from there, or --restart throws it away"
            )

    def _others(self) -> list[Path]:
        folders = sorted(self.all.iterdir()) if self.all.is_dir() else []
        others = [one for one in folders if one != self.folder and one.is_dir()]
        return [one for one in others if FOLDER.fullmatch(one.name)]

    @contextmanager
    def begun(self, restart: bool) -> Iterator[None]:
        """Makes the folder; left empty, it goes with the block.

        Args:
            restart: whether all parts that are there go, of other agreements too.

        Raises:
            FftagError: it cannot be made.
        """
        for folder in [self.folder, *self._others()] if restart else ():
            self._empty(folder)
        make_folder(self.folder)
        for leftover in self.folder.glob(".*.tmp"):
            leftover.unlink()
        try:
            yield
        finally:
            with suppress(OSError):  # an interrupted run has left parts
                self.folder.rmdir()
                self.all.rmdir()

    def _empty(self, folder: Path) -> None:
        """Removes parts and what is left of unfinished ones; what else lies there stays."""
        for path in [*folder.glob("part-*.parquet"), *folder.glob(".part-*.tmp")]:
            path.unlink()
        with suppress(OSError):  # not empty, or not there
            folder.rmdir()

    def write(self, rows: pa.Table) -> None:
        """Publishes rows as a part.

        Args:
            rows: of `fftag.tagging.scored_rows.part_schema`, in listing order.

        Raises:
            FftagError: it cannot be written.
        """
        buffer = pa.BufferOutputStream()
        pq.write_table(rows, buffer, **WRITTEN)
        content = buffer.getvalue()
        with replacing(self.folder / f"part-{_digest(content)}.parquet") as temporary:
            temporary.write_bytes(content)

    def clear(self, parts: Sequence[TagsRows]) -> None:
        """Removes parts: those that were read for what was published, and damaged ones."""
        for path in [*(part.path for part in parts), *self._damaged]:
            path.unlink(missing_ok=True)

    def forget_failed(self) -> None:
        """Leaves photos that failed out of the parts, so that the next run reads them again."""
        for part in self.whole():
            rows = pq.read_table(part.path)
            ok = rows.filter(pc.equal(rows["status"].cast(pa.string()), "ok"))
            if len(ok) < len(rows):
                if len(ok):
                    self.write(ok)
                part.path.unlink()


def _part(path: Path) -> TagsRows:
    """A part that is, to the last byte, what was written.

    Raises:
        FftagError: it is not, or of another fftag.
    """
    named = NAME.fullmatch(path.name)
    if named is None or _digest(path.read_bytes()) != named[1]:
        raise FftagError(f"{path} is not what was written")
    with open_tags_file(path) as file:
        run, _ = run_of(file.schema_arrow)
        if run is None or not file.schema_arrow.equals(part_schema(run)):
            raise FftagError(f"{path} is of another fftag")
        return TagsRows(path, run, file.metadata.num_rows, header_of(file.schema_arrow))


def _digest(content: bytes | pa.Buffer) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds `<out>.lock` until the block is left or the process dies.

    Raises:
        FftagError: what is at `out` is no tags file, the lock cannot be written, or another process
            has it.
    """
    refuse_other(out, TAGS)
    path = beside(out, "lock")
    deadline = time.monotonic() + SECONDS_TO_WAIT_FOR_THE_LOCK
    try:
        while (descriptor := _lock(path)) is None:
            if time.monotonic() > deadline:
                raise FftagError(
                    f"another fftag is writing {out}: wait for it, or choose another --out"
                )
            time.sleep(0.05)
    except OSError as error:
        raise FftagError(f"cannot write {error.filename or out}: {error.strerror}") from error
    try:
        for leftover in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
            # Of a process that was killed while it planned or published.
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is given up: see `_lock`
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # processes forked meanwhile have the descriptor too
        os.close(descriptor)


def _lock(path: Path) -> int | None:
    """A descriptor of a file, made if need be, that has the lock; None where another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A run that ended in between took the file away: the lock would be on nothing.
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
