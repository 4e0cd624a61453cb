"""A decoding process: tasks come by a pipe, records go back by it, pixels by shared memory."""

import math
import mmap
import resource
import signal
import sys
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from fftag.base.machine import keep_freed_memory
from fftag.photos.decode import InputSpec, Limits
from fftag.photos.record import read_photo
from fftag.photos.sources.base import Source

READY = "ready"
Shape = tuple[int, int, int, int, int]
AT = np.dtype(np.uint32)


@dataclass(frozen=True)
class Setup:
    """What a decoding process is told first.

    Attributes:
        source: where the photos are.
        spec: the input size to decode to.
        limits: what is too large.
        workers: how many such processes there are.
        shape: of the slots: uint8 [slots, batch, height, width, 3].
        memory: bytes of address space that it may use, beside the slots.
        exact: see `fftag.photos.record.read_photo`.
        number: which of the processes this is.
    """

    source: Source
    spec: InputSpec
    limits: Limits
    workers: int
    shape: Shape
    memory: int
    exact: bool
    number: int = 0


@dataclass(frozen=True)
class Task:
    """Photos to decode, each into its place of one slot.

    Attributes:
        slot: which batch of the shared memory.
        photos: place in the batch, and row of the listing.
    """

    slot: int
    photos: list[tuple[int, dict[str, Any]]]


def size_of_shared(workers: int, shape: Shape) -> int:
    """Bytes of what the processes share: see `shared`."""
    return workers * AT.itemsize + math.prod(shape)


def shared(memory: mmap.mmap, workers: int, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """What the processes share.

    Returns:
        uint32 [workers], the number within its task of the photo that each is at; and the slots
        for pixels: uint8 of the shape given.
    """
    at = np.frombuffer(memory, AT, workers)
    return at, np.frombuffer(memory, np.uint8, offset=at.nbytes).reshape(shape)


def serve(connection: Connection, memory: int) -> None:
    """Works off tasks until the other end of the pipe is closed.

    Args:
        connection: gives a `Setup`, then `Task`s; takes `READY`, and for each task the records of
            its photos, in their order.
        memory: descriptor of the shared memory.
    """
    setup: Setup = connection.recv()
    if sys.platform == "linux":
        most = setup.memory + size_of_shared(setup.workers, setup.shape)
        _, allowed = resource.getrlimit(resource.RLIMIT_AS)
        if allowed != resource.RLIM_INFINITY:
            most = min(most, allowed)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    at, slots = shared(mmap.mmap(memory, 0), setup.workers, setup.shape)
    with closing(setup.source.reader()) as reader:
        connection.send(READY)
        while True:
            task: Task = connection.recv()
            records = []
            for number, (place, entry) in enumerate(task.photos):
                at[setup.number] = number  # who replaces this process looks here for the culprit
                record, pixels = read_photo(reader, entry, setup.spec, setup.limits, setup.exact)
                slots[task.slot, place] = 0 if pixels is None else pixels
                records.append(record)
            connection.send(records)


def main() -> None:
    """Runs until the run that started it ends or is gone."""
    # Ctrl-C and a service manager signal every process of a group. The run finishes its batch
    # first, and closes the pipe then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keep_freed_memory()
    try:
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
    except (EOFError, ConnectionError):
        sys.exit(0)


if __name__ == "__main__":
    main()
