"""A decoding process: tasks come by a pipe, records go back by it, pixels by shared memory."""

import mmap
import resource
import signal
import sys
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from fftag.decode import InputSpec, Limits
from fftag.reader import read_photo
from fftag.sources.base import Source

READY = "ready"


@dataclass(frozen=True)
class Setup:
    """What a decoding process is told first.

    Attributes:
        source: where the photos are.
        spec: the input size to decode to.
        limits: what is too large.
        shape: of the shared memory: uint8 [slots, batch, height, width, 3].
        memory: bytes of address space that it may use.
        exact: see `fftag.decode.decode`.
    """

    source: Source
    spec: InputSpec
    limits: Limits
    shape: tuple[int, int, int, int, int]
    memory: int
    exact: bool


@dataclass(frozen=True)
class Task:
    """Photos to decode, each into its place of one slot.

    Attributes:
        slot: which batch of the shared memory.
        photos: place in the batch, and row of the listing.
    """

    slot: int
    photos: list[tuple[int, dict[str, Any]]]


def serve(connection: Connection, memory: int) -> None:
    """Works off tasks until the other end of the pipe is closed.

    Args:
        connection: gives a `Setup`, then `Task`s; takes `READY`, and one record per photo, in
            their order.
        memory: descriptor of the shared memory.
    """
    setup: Setup = connection.recv()
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (setup.memory, setup.memory))
    shared = mmap.mmap(memory, 0)
    slots: np.ndarray = np.frombuffer(shared, dtype=np.uint8).reshape(setup.shape)
    with closing(setup.source.reader()) as reader:
        connection.send(READY)
        while True:
            task: Task = connection.recv()
            for place, entry in task.photos:
                record, pixels = read_photo(reader, entry, setup.spec, setup.limits, setup.exact)
                slots[task.slot, place] = 0 if pixels is None else pixels
                connection.send(record)


def main() -> None:
    """Runs until the run that started it ends or is gone."""
    # Ctrl-C and a service manager signal every process of a group. The run finishes its batch
    # first, and closes the pipe then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
    except (EOFError, ConnectionError):
        sys.exit(0)


if __name__ == "__main__":
    main()
