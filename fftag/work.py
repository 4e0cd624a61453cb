"""One run's work, as an engine is given it: what to read, with what, and where it goes."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from fftag.bundle import Bundle
from fftag.devices import Device
from fftag.listing import Listing
from fftag.parts import PartStore
from fftag.plan import Plan
from fftag.progress import say
from fftag.sources import Source
from fftag.store import RunInfo
from fftag.tag_options import TagOptions
from fftag.tag_summary import TagSummary


class Left(NamedTuple):
    """What of the batches of a run is done.

    Attributes:
        total: how many batches there are.
        done: numbers of those that are in a part.
        missing: numbers of the others, rising.
    """

    total: int
    done: set[int]
    missing: list[int]


@dataclass
class Work:
    """What one run has to read, with what, and where it goes.

    Attributes:
        source: where the photos are.
        listing: of it.
        plan: which of the listed files are read.
        bundle: the model.
        store: takes the parts.
        run: what the rows say of the run.
        options: how.
        summary: is told what was done.
    """

    source: Source
    listing: Listing
    plan: Plan
    bundle: Bundle
    store: PartStore
    run: RunInfo
    options: TagOptions
    summary: TagSummary

    def pending(self, first: int, stop: int) -> np.ndarray:
        """Rows of the listing of the batches `first` to `stop - 1`, int64."""
        size = self.options.batch_size
        return self.plan.pending[first * size : stop * size]

    @property
    def batches_per_part(self) -> int:
        return max(1, self.options.shard_size // self.options.batch_size)

    def missing(self) -> list[int]:
        """Numbers of the batches that are in no part yet, rising."""
        total = -(-len(self.plan.pending) // self.options.batch_size)
        done = {number for part in self.store.finished for number in range(part.first, part.stop)}
        return [number for number in range(total) if number not in done]

    def left(self) -> Left:
        """What an interrupted process has left to do; says so, and counts what it did."""
        missing = self.missing()
        total = -(-len(self.plan.pending) // self.options.batch_size)
        done = set(range(total)).difference(missing)
        self.summary.resumed = sum(len(self.pending(number, number + 1)) for number in done)
        if done:
            say(
                f"going on with an interrupted run: {self.summary.resumed:,} of "
                f"{len(self.plan.pending):,} files are done"
            )
        return Left(total, done, missing)


class Engine(Protocol):
    """What reads and scores photos: this machine, or a cluster."""

    def device(self, name: str) -> Device:
        """The kind of device on which a name, as the user gives it, makes it compute."""
        ...

    def describe(self, source: str, bundle: Bundle, options: TagOptions) -> RunInfo:
        """What a run says of itself; its scores are computed as that says."""
        ...

    def read(self, work: Work) -> None:
        """Reads and scores what is pending and not in a part yet; writes parts.

        Raises:
            FftagError: an interruption, or what no photo is to blame for.
        """
        ...
