"""A tagging run on disk: finished batches are part files; resuming is listing them."""

import fcntl
import glob
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fftag.atomic import refuse_other, replacing, write_text
from fftag.errors import FftagError
from fftag.progress import say
from fftag.store import TAGS

RECORD = "run.json"
# A process that was killed may hold it until the processes that it was starting are there.
SECONDS_TO_WAIT_FOR_THE_LOCK = 1.0
NAME = re.compile(r"part-(\d+)-(\d+)-([0-9a-f]{16})\.parquet")


@dataclass(frozen=True, order=True)
class Part:
    """A file with the rows of some batches.

    Attributes:
        first: number of its first batch.
        stop: number after its last one.
        digest: the first 16 hex digits of its SHA-256.
    """

    first: int
    stop: int
    digest: str

    @property
    def file_name(self) -> str:
        return f"part-{self.first:08d}-{self.stop:08d}-{self.digest}.parquet"


class PartStore:
    """The part files of one run into one output, `<out>.parts/` beside it.

    Attributes:
        run_id: of the run; after a resume, that of the run gone on with.
        finished: the parts that are there, in order.
    """

    def __init__(self, out: Path, run_id: str, identity: dict[str, Any]) -> None:
        """Describes the run; nothing is written before `open`.

        Args:
            out: where the finished tags file goes.
            run_id: given to a run that begins.
            identity: what must be the same for parts of two processes to be parts of one result,
                in words a user knows.
        """
        self.out = out
        self.folder = out.with_name(out.name + ".parts")
        self.run_id = run_id
        self.identity = json.loads(json.dumps(identity))
        self.finished: list[Part] = []

    def take_up(self, restart: bool = False, published: str | None = None) -> None:
        """Goes on with an interrupted run of the same kind, or begins; the output is `locked`.

        Args:
            restart: throw away what an interrupted run left.
            published: id of the run whose rows stand in the output, where something does.

        Raises:
            FftagError: what is there is of a run with another listing, model or settings.
        """
        record = self.folder / RECORD
        there = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        # A run that was killed between its publication and its end has left its parts.
        if restart or there.get("run_id") in (None, published):
            self.clear()
        parts = self._whole_parts()
        if not parts:
            write_text(record, json.dumps({**self.identity, "run_id": self.run_id}, indent=1))
            return
        differing = [name for name, value in self.identity.items() if there.get(name) != value]
        if differing:
            raise FftagError(
                f"an interrupted run into {self.out} had another {' and '.join(differing)}: "
                "run it again as it was, or add --restart to throw away what it did"
            )
        self.run_id = there["run_id"]
        self.finished = parts

    def join(self) -> None:
        """Sees that this run goes on, for a process that writes parts of a run begun elsewhere.

        Raises:
            FftagError: its folder is not there, or is another run's by now.
        """
        record = self.folder / RECORD
        try:
            there = json.loads(record.read_text(encoding="utf-8"))
        except OSError as error:
            raise FftagError(
                f"{socket.gethostname()} does not see {record} ({error.strerror}): --out has to be "
                "on storage that all machines share, under the same path"
            ) from error
        if there.get("run_id") != self.run_id:
            raise FftagError(f"{self.folder} is another run's by now: this one was given up")

    def clear(self) -> None:
        """Removes all files; the record last, as parts without one are nobody's."""
        record = self.folder / RECORD
        for path in self.folder.iterdir():
            if path != record:
                path.unlink(missing_ok=True)  # one of a machine that was given up may go by itself
        record.unlink(missing_ok=True)

    def _whole_parts(self) -> list[Part]:
        """The parts whose bytes are those that were written, each batch once; others are removed,
        as are leftovers of a killed process."""
        whole: list[Part] = []
        for path in sorted(self.folder.iterdir()):
            if path.name == RECORD:
                continue
            if named := NAME.fullmatch(path.name):
                part = Part(int(named[1]), int(named[2]), named[3])
                # Where a machine was lost or given up, another may have written its part again.
                twice = bool(whole) and part.first < whole[-1].stop
                if not twice and _digest(path.read_bytes()) == part.digest:
                    whole.append(part)
                    continue
                if not twice:
                    say(f"{path} is damaged: its photos are read again")
            path.unlink()
        return whole

    def found(self, first: int, stop: int) -> Part | None:
        """A whole part of the batches `first` to `stop - 1` that some process has published."""
        for path in sorted(self.folder.iterdir()):
            named = NAME.fullmatch(path.name)
            if named and (int(named[1]), int(named[2])) == (first, stop):
                with suppress(FileNotFoundError):
                    if _digest(path.read_bytes()) == named[3]:
                        return Part(first, stop, named[3])
        return None

    def write(self, first: int, stop: int, table: pa.Table) -> None:
        """Publishes the rows of the batches `first` to `stop - 1`.

        Raises:
            FftagError: it cannot be written.
        """
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        content = buffer.getvalue().to_pybytes()
        part = Part(first, stop, _digest(content))
        with replacing(self.folder / part.file_name) as temporary:
            temporary.write_bytes(content)
        self.finished.append(part)

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

    def discard(self, part: Part) -> None:
        """Removes a part, so that its photos are read again by the next run."""
        (self.folder / part.file_name).unlink()
        self.finished.remove(part)


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FftagError(f"cannot write {error.filename or out}: {error.strerror}") from error
    try:
        deadline = time.monotonic() + SECONDS_TO_WAIT_FOR_THE_LOCK
        while not _lock(descriptor, folder):
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            raise FftagError(
                f"another fftag is writing {out}: wait for it, or choose another --out"
            )
        for leftover in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
            leftover.unlink()  # of a process that was killed while it published
        try:
            yield
        finally:
            with suppress(OSError):  # an interrupted run has left parts
                folder.rmdir()
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # A run that ended in between took the folder away: the lock would be on nothing.
    return folder.exists() and folder.stat().st_ino == os.fstat(descriptor).st_ino


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
