"""Batches of decoded photos, in order, from processes that may crash, hang or be killed."""

import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from fftag.base.errors import FftagError
from fftag.photos.decode import Failure, InputSpec, Limits
from fftag.photos.listing import escape
from fftag.photos.pool_child import READY, Setup, Task, shared, size_of_shared
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.base import Source
from fftag.photos.sources.local import Folder

SLOTS_PER_WORKER = 2
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_START = 60.0


@dataclass(frozen=True)
class ReadOptions:
    """How files are read.

    Attributes:
        batch_size: photos per batch. Small ones stay in a core's cache.
        workers: decoding processes, at least one.
        limits: what is refused as too large.
        timeout: seconds that one photo may take, to read and to decode.
        worker_memory: bytes of address space that a decoding process may use (Linux).
        exact: decode JPEGs at their full size before they are made small.
    """

    batch_size: int = 16
    workers: int = 2
    limits: Limits = field(default_factory=Limits)
    timeout: float = 60.0
    worker_memory: int = 4 * 2**30
    exact: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise FftagError(f"{self.workers} workers decode nothing: take at least 1 of --workers")


@dataclass
class Batch:
    """Photos that travel together.

    Attributes:
        number: of the batch, as planned.
        pixels: uint8 [batch size, height, width, 3]; zero where a photo failed or is known, and
            behind the last one. Valid for as long as `batches` was told to hold it.
        photos: one record per photo, in the same order.
    """

    number: int
    pixels: np.ndarray
    photos: list[PhotoRecord]


def batches(
    source: Source,
    plan: Iterable[tuple[int, Sequence[dict[str, Any]]]],
    spec: InputSpec,
    options: ReadOptions,
    held: int = 1,
) -> Generator[Batch]:
    """Decodes batch after batch.

    A photo on which a decoding process dies is tried once more, alone; where that dies as well,
    the photo's status is `crashed`. One that takes longer than `options.timeout` is a `timeout`.
    Either costs no other photo anything, and the process is replaced.

    Args:
        source: where the photos are.
        plan: number of each batch and its rows of the listing, at most `options.batch_size`.
        spec: the model's input.
        options: how to read.
        held: how many batches are in use at once: the pixels of one are valid until so many
            further ones have been asked for.

    Raises:
        FftagError: decoding processes cannot be started.
    """
    pool = Pool(source, spec, options, held)
    try:
        yield from pool.work(iter(plan))
    finally:
        pool.dismiss()


Decoded = tuple[PhotoRecord, np.ndarray | None]
"""A photo's record, and its pixels: uint8 [height, width, 3], None where it failed."""


def decoded(
    paths: Sequence[Path], spec: InputSpec, options: ReadOptions
) -> Generator[Decoded, None, None]:
    """Decodes files, wherever they lie, in the order given.

    What `batches` says of photos that crash or hang holds here as well.

    Args:
        paths: of the files; symbolic links are followed.
        spec: the size to decode to.
        options: how to read; no more workers are started than there are batches.

    Raises:
        FftagError: decoding processes cannot be started.
    """
    anywhere = Folder(Path("/"), follow=True)
    names = [escape(str(path.absolute()).lstrip("/")) for path in paths]
    entries = [{"image": name, "size": None, "modified_ns": None} for name in names]
    size = options.batch_size
    plan = [(at, entries[at : at + size]) for at in range(0, len(entries), size)]
    if not plan:
        return
    few = replace(options, workers=min(options.workers, len(plan)))
    with closing(batches(anywhere, plan, spec, few)) as found:
        for batch in found:
            yield from _photos_of(batch)


def _photos_of(batch: Batch) -> Iterator[Decoded]:
    for photo, pixels in zip(batch.photos, batch.pixels, strict=False):
        yield photo, pixels.copy() if photo.has_pixels else None


class PoolOnDemand:
    """Photos of one source, decoded on demand by processes that stay.

    What `batches` says of photos that crash or hang holds here as well.
    Threads may ask at the same time; they are served one after the other.
    """

    def __init__(self, source: Source, spec: InputSpec, options: ReadOptions) -> None:
        """Starts nothing yet.

        Args:
            source: where the photos are.
            spec: the size to decode to.
            options: how to read; with at least one worker.
        """
        self._source, self._spec, self._options = source, spec, options
        self._pool: Pool | None = None
        self._turn = threading.Lock()

    def __call__(self, entries: Sequence[dict[str, Any]]) -> list[Decoded]:
        """Decodes photos.

        Args:
            entries: rows of a listing.

        Raises:
            FftagError: decoding processes cannot be started.
        """
        size = self._options.batch_size
        parts = [entries[at : at + size] for at in range(0, len(entries), size)]
        with self._turn:
            if self._pool is None:
                self._pool = Pool(self._source, self._spec, self._options, held=1)
            found: list[Decoded] = []
            try:
                for batch in self._pool.work(iter(enumerate(parts))):
                    found += _photos_of(batch)
            except BaseException:
                self._end()  # what it was at when it was stopped is not known
                raise
        return found

    def close(self) -> None:
        """Ends the processes; a further call starts new ones."""
        with self._turn:
            self._end()

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.dismiss()
            self._pool = None


@dataclass
class _Open:
    """A batch on its way: in a slot, with the records that have come so far."""

    number: int
    slot: int
    entries: Sequence[dict[str, Any]]
    records: dict[int, PhotoRecord] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return len(self.records) == len(self.entries)


@dataclass
class _Job:
    """Places of a batch that one process is to decode; `again` after a crash, one place alone."""

    batch: _Open
    places: list[int]
    again: bool = False


class _Worker:
    """A decoding process and what it is at."""

    def __init__(self, setup: Setup, memory: int, at: np.ndarray) -> None:
        """Starts it.

        Args:
            setup: what it is told first.
            memory: descriptor of what it shares with this process.
            at: uint32 [1] of that: the number, within its job, of the photo that it is at.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.process = subprocess.Popen(  # noqa: S603 (itself)
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "fftag.photos.pool_child",
                    str(theirs.fileno()),
                    str(memory),
                ],
                pass_fds=(theirs.fileno(), memory),
                stdin=subprocess.DEVNULL,
                # Arithmetic on one thread each: its threads' stacks count as address space.
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            self.connection = Connection(ours.detach())
        self.job: _Job | None = None
        self.ready = False
        self.since = time.monotonic()
        self._at = at
        self._seen_at = 0
        with suppress(BrokenPipeError, ConnectionResetError):  # dead already: `take` will tell
            self.connection.send(setup)

    @property
    def at(self) -> int:
        """The number, within its job, of the photo that it is at or died at."""
        return int(self._at[0])

    def give(self, job: _Job) -> None:
        self.job = job
        self.since = time.monotonic()
        self._at[0] = self._seen_at = 0
        photos = [(place, job.batch.entries[place]) for place in job.places]
        self.connection.send(Task(job.batch.slot, photos))

    def take(self) -> None:
        """Takes a message that has come.

        Raises:
            EOFError, OSError: the process is dead.
        """
        message = self.connection.recv()
        self.since = time.monotonic()
        if message == READY:
            self.ready = True
            return
        assert self.job is not None
        self.job.batch.records.update(zip(self.job.places, message, strict=True))
        self.job = None

    def is_late(self, timeout: float) -> bool:
        """Whether it has been at the same photo for more than so many seconds."""
        if self.job is None:
            return False
        if self.at != self._seen_at:
            self._seen_at, self.since = self.at, time.monotonic()
        return time.monotonic() - self.since > timeout + (0 if self.ready else SECONDS_TO_START)

    def end(self) -> str:
        """Kills the process where it still runs; returns how it ended, in a word.

        A process that waits for a dead share cannot be killed: it is left to its fate.
        """
        self.connection.close()
        self.process.kill()
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "stuck in the kernel"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


class Pool:
    """Workers, the slots that they decode into, and the batches on their way."""

    def __init__(
        self, source: Source, spec: InputSpec, options: ReadOptions, held: int = 1
    ) -> None:
        """Starts the processes; see `batches`."""
        count = options.workers * SLOTS_PER_WORKER + held
        self.held = held
        self.yielded: deque[int] = deque()
        shape = (count, options.batch_size, spec.height, spec.width, 3)
        self.memory = _shared_memory(size_of_shared(options.workers, shape))
        self.setup = Setup(
            source,
            spec,
            options.limits,
            options.workers,
            shape,
            options.worker_memory,
            options.exact,
        )
        self.at, self.slots = shared(mmap.mmap(self.memory, 0), options.workers, shape)
        self.options = options
        self.free = deque(range(count))
        self.open: deque[_Open] = deque()
        self.jobs: deque[_Job] = deque()
        self.failed_starts = 0
        self.workers: list[_Worker] = []
        try:
            for number in range(options.workers):
                self.workers.append(self._start(number))
        except OSError as error:
            self.dismiss()
            raise FftagError(
                f"{options.workers} decoding processes cannot be started ({error.strerror}): take "
                "fewer --workers"
            ) from error

    def _start(self, number: int) -> _Worker:
        return _Worker(
            replace(self.setup, number=number), self.memory, self.at[number : number + 1]
        )

    def dismiss(self) -> None:
        """Ends all processes."""
        for worker in self.workers:
            worker.end()
        os.close(self.memory)

    def work(self, plan: Iterator[tuple[int, Sequence[dict[str, Any]]]]) -> Iterator[Batch]:
        """The batches of the plan, in its order; may be called again when they are through."""
        while True:
            while self.free and (planned := next(plan, None)) is not None:
                number, entries = planned
                batch = _Open(number, self.free.popleft(), entries)
                self.slots[batch.slot, len(entries) :] = 0
                self.open.append(batch)
                self.jobs.append(_Job(batch, list(range(len(entries)))))
            if not self.open:
                return
            self._hand_out()
            first = self.open[0]
            if first.done:
                photos = [first.records[place] for place in range(len(first.entries))]
                self.open.popleft()
                self.yielded.append(first.slot)
                yield Batch(first.number, self.slots[first.slot], photos)
                if len(self.yielded) >= self.held:
                    self.free.append(self.yielded.popleft())
            else:
                self._look_after()

    def _hand_out(self) -> None:
        for worker in list(self.workers):
            if worker.job is None and self.jobs:
                job = self.jobs.popleft()
                try:
                    worker.give(job)
                except OSError:
                    self._replace(worker)

    def _look_after(self) -> None:
        """Waits for news of the workers, and replaces those that died or hang."""
        connections = [worker.connection for worker in self.workers]
        spoke = wait(connections, SECONDS_BETWEEN_LOOKS)
        for worker in list(self.workers):
            if worker.connection in spoke:
                try:
                    worker.take()
                except (EOFError, OSError):
                    self._replace(worker)
            elif worker.is_late(self.options.timeout):
                self._replace(worker, hung=True)

    def _replace(self, worker: _Worker, hung: bool = False) -> None:
        """Puts a new process in a worker's place, and settles what it was at."""
        ended = worker.end()
        job = worker.job
        self.failed_starts = 0 if worker.ready else self.failed_starts + 1
        if self.failed_starts > 2 * len(self.workers) + 2:
            raise FftagError(
                f"decoding processes end as soon as they start ({ended}): `fftag doctor` looks "
                "for the reason"
            )
        number = self.workers.index(worker)
        at = worker.at
        self.workers[number] = self._start(number)
        if job is None:
            return
        if not worker.ready:  # it never got to its photos
            self.jobs.appendleft(job)
            return
        # What crashed may have written anywhere.
        culprit = job.places.pop(min(at, len(job.places) - 1))
        if job.places:
            self.jobs.appendleft(_Job(job.batch, job.places))
        if hung:
            failure = Failure("timeout", f"took over {self.options.timeout:g} s")
            self._fail(job.batch, culprit, failure)
        elif job.again:
            failure = Failure("crashed", f"the decoding process died ({ended})")
            self._fail(job.batch, culprit, failure)
        else:
            self.jobs.appendleft(_Job(job.batch, [culprit], again=True))

    def _fail(self, batch: _Open, place: int, failure: Failure) -> None:
        self.slots[batch.slot, place] = 0
        batch.records[place] = PhotoRecord.of_listed(batch.entries[place]).fail(failure)


def _shared_memory(size: int) -> int:
    """A descriptor of so many bytes that processes can share; nothing of it outlives them.

    Raises:
        FftagError: there is not as much.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("fftag")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.truncate(descriptor, size)
    except OSError as error:
        os.close(descriptor)
        raise FftagError(
            f"no {size / 2**20:,.0f} MiB of shared memory for decoded photos ({error.strerror}): "
            "take a smaller --batch-size or fewer --workers"
        ) from error
    return descriptor
