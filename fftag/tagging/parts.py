"""A tagging run on disk: finished batches are part files, small tags files of their own."""

import fcntl
import glob
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.base.atomic import refuse_other, replacing, write_text
from fftag.base.errors import FftagError
from fftag.base.progress import say
from fftag.tagging.previous import TagsRows
from fftag.tagging.tags_file import TAGS, WRITTEN, open_tags_file, read_run

RECORD = "run.json"
# A process that was killed may hold it until the processes that it was starting are there.
SECONDS_TO_WAIT_FOR_THE_LOCK = 1.0
NAME = re.compile(r"part-([0-9a-f]{8})-(\d+)-(\d+)-([0-9a-f]{16})\.parquet")


@dataclass(frozen=True, order=True)
class Part:
    """A file with the rows of some batches.

    Attributes:
        run: the first 8 characters of the id of the run that wrote it.
        first: number of its first batch.
        stop: number after its last one.
        digest: the first 16 hex digits of its SHA-256.
    """

    run: str
    first: int
    stop: int
    digest: str

    @property
    def file_name(self) -> str:
        return f"part-{self.run}-{self.first:08d}-{self.stop:08d}-{self.digest}.parquet"

    @classmethod
    def of(cls, path: Path) -> "Part | None":
        """The part that a file is by its name and, to the last byte, by what it holds."""
        named = NAME.fullmatch(path.name)
        if named is None or _digest(path.read_bytes()) != named[4]:
            return None
        return cls(named[1], int(named[2]), int(named[3]), named[4])


class PartStore:
    """The part files of runs into one output, `<out>.parts/` beside it.

    Attributes:
        run_id: of this run.
        finished: the parts of this run that are there, in the order they were written.
    """

    def __init__(self, out: Path, run_id: str) -> None:
        """Describes the run; nothing is written before `begin`.

        Args:
            out: where the finished tags file goes.
            run_id: of this run.
        """
        self.out = out
        self.folder = out.with_name(out.name + ".parts")
        self.run_id = run_id
        self.finished: list[Part] = []

    def left(self, published: str | None) -> list[TagsRows]:
        """The whole parts that interrupted runs have left; says which are damaged.

        Args:
            published: id of the run whose rows stand in the output, where something does: a run
                that was killed between its publication and its end has left parts that are
                published.
        """
        if published is not None and self._last_run() == published:
            return []
        found = []
        for path in self._files():
            try:
                if Part.of(path) is None:
                    raise FftagError("it is not what was written")
                with open_tags_file(path) as file:
                    run = read_run(path, file.schema_arrow)
                    found.append(TagsRows(path, run, file.metadata.num_rows))
            except (FftagError, OSError):
                say(f"{path} is damaged, or of another fftag: its photos are read again")
        return found

    def begin(self, kept: Sequence[TagsRows] = ()) -> None:
        """Begins this run, on an output that is `locked`.

        Args:
            kept: parts that stay; all others go.
        """
        stay = {part.path for part in kept}
        for path in self._files():
            if path not in stay:
                path.unlink()
        for leftover in self.folder.glob(".*.tmp"):
            leftover.unlink()
        write_text(self.folder / RECORD, json.dumps({"run_id": self.run_id}))

    def join(self) -> None:
        """Sees that this run goes on, for a process that writes parts of a run begun elsewhere.

        Raises:
            FftagError: its folder is not there, or is another run's by now.
        """
        record = self.folder / RECORD
        try:
            record.stat()
        except OSError as error:
            raise FftagError(
                f"{socket.gethostname()} does not see {record} ({error.strerror}): --out has to be "
                "on storage that all machines share, under the same path"
            ) from error
        if self._last_run() != self.run_id:
            raise FftagError(f"{self.folder} is another run's by now: this one was given up")

    def clear(self) -> None:
        """Removes all files; the record last, which tells whose the others are."""
        for path in self._files():
            path.unlink(missing_ok=True)  # one of a machine that was given up may go by itself
        (self.folder / RECORD).unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _last_run(self) -> str | None:
        """The run that began last; None where that cannot be told."""
        try:
            content = json.loads((self.folder / RECORD).read_bytes())
        except (OSError, ValueError):
            return None
        return content.get("run_id") if isinstance(content, dict) else None

    def found(self, first: int, stop: int) -> Part | None:
        """A whole part of the batches `first` to `stop - 1` of this run that some process has
        published."""
        for path in self.folder.glob(f"part-{self.run_id[:8]}-{first:08d}-{stop:08d}-*.parquet"):
            with suppress(FileNotFoundError):
                if part := Part.of(path):
                    return part
        return None

    def write(self, first: int, stop: int, table: pa.Table) -> None:
        """Publishes the rows of the batches `first` to `stop - 1`.

        Raises:
            FftagError: it cannot be written.
        """
        self.finished.append(self._written(self.run_id[:8], first, stop, table))

    def _written(self, run: str, first: int, stop: int, table: pa.Table) -> Part:
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, **WRITTEN)
        content = buffer.getvalue().to_pybytes()
        part = Part(run, first, stop, _digest(content))
        with replacing(self.folder / part.file_name) as temporary:
            temporary.write_bytes(content)
        return part

    def read(self, part: Part) -> pa.Table:
        """The rows of a part.

        Raises:
            FftagError: its bytes are not those that were written.
        """
        path = self.folder / part.file_name
        content = path.read_bytes()
        if _digest(content) != part.digest:
            raise FftagError(f"{path} is damaged: the same command reads its photos again")
        return pq.read_table(pa.BufferReader(content))

    def forget_failed(self) -> None:
        """Leaves photos that failed out of the parts, so that the next run reads them again."""
        for path in self._files():
            if (part := Part.of(path)) is None:
                continue  # damaged since: the next run says so
            rows = self.read(part)
            ok = rows.filter(pc.equal(rows["status"].cast(pa.string()), "ok"))
            if len(ok) < len(rows):
                if len(ok):
                    self._written(part.run, part.first, part.stop, ok)
                path.unlink()


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Makes `<out>.parts/` and locks it until the block is left or the process dies.

    Left empty, the folder is removed.

    Raises:
        FftagError: what is there is no tags file, the folder cannot be written, or another process
            has the lock.
    """
    refuse_other(out, TAGS)
    folder = out.with_name(out.name + ".parts")
    deadline = time.monotonic() + SECONDS_TO_WAIT_FOR_THE_LOCK
    try:
        while (descriptor := _lock(folder)) is None:
            if time.monotonic() > deadline:
                raise FftagError(
                    f"another fftag is writing {out}: wait for it, or choose another --out"
                )
            time.sleep(0.05)
    except OSError as error:
        raise FftagError(f"cannot write {error.filename or out}: {error.strerror}") from error
    try:
        for leftover in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
            leftover.unlink()  # of a process that was killed while it published
        try:
            yield
        finally:
            with suppress(OSError):  # an interrupted run has left parts
                folder.rmdir()
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # processes forked meanwhile have the descriptor too
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """A descriptor of a folder, made if need be, that has the lock; None where another has it."""
    with suppress(FileExistsError):  # or one that another run takes away at this moment
        folder.mkdir(parents=True, exist_ok=True)
    with suppress(BlockingIOError, FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A run that ended in between took the folder away: the lock would be on nothing.
            if os.path.samestat(folder.stat(), os.fstat(descriptor)):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
