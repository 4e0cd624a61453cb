"""One run's work, as an engine is given it: what to read, with what, and where it goes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fftag.base.errors import TOO_MANY_FAILED, FftagError
from fftag.models.devices import Device
from fftag.models.folder import Bundle
from fftag.photos.listing import Listing
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.base import NETWORK, Source
from fftag.tagging.options import TagOptions
from fftag.tagging.parts import PartStore
from fftag.tagging.plan import Plan
from fftag.tagging.summary import TagSummary
from fftag.tagging.tags_file import RunInfo

# A store that restarts is waited for; one that is gone would be asked for each file of it.
SECONDS_WITHOUT_A_FILE = 60.0
FILES_IN_A_ROW = 32


@dataclass
class Reach:
    """Whether the source can still be reached, by the batches read last.

    Attributes:
        failed: files in a row, batch by batch, that could not be reached.
        unreached: all files that could not be reached.
        since: when a file was read last.
        error: of one of those that failed.
    """

    failed: int = 0
    unreached: int = 0
    since: float = field(default_factory=time.monotonic)
    error: str = ""

    def note(self, photos: int, unreached: int, error: str = "") -> None:
        """Takes a batch: how many photos it has, how many of them could not be reached, and why."""
        self.unreached += unreached
        if unreached < photos:
            self.failed, self.since = 0, time.monotonic()
        else:
            self.failed, self.error = self.failed + unreached, error

    def note_records(self, records: Sequence[PhotoRecord]) -> None:
        """Takes a batch."""
        errors = [one.error for one in records if one.error and one.error.startswith(NETWORK)]
        self.note(len(records), len(errors), errors[-1] if errors else "")

    @property
    def lost(self) -> bool:
        """Whether so many files in a row failed, for so long, that the others will too."""
        waited = time.monotonic() - self.since
        return self.failed >= FILES_IN_A_ROW and waited >= SECONDS_WITHOUT_A_FILE

    def refusal(self, source: str, done: int, total: int) -> FftagError:
        """What ends the run.

        Args:
            source: its name.
            done: how many files have been taken, with those that could not be reached.
            total: how many there are.
        """
        return FftagError(
            f"{source} cannot be reached: the last {self.failed:,} files failed, for "
            f"{time.monotonic() - self.since:,.0f} s ({self.error.removeprefix(NETWORK)}); "
            f"{done - self.unreached:,} of {total:,} files are done and kept, and the same command "
            "goes on once it is there again",
            TOO_MANY_FAILED,
        )


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

    @property
    def batches(self) -> int:
        """How many batches there are."""
        return -(-len(self.plan.pending) // self.options.batch_size)

    @property
    def to_do(self) -> int:
        """How many files this run and an interrupted one have to read together."""
        return len(self.plan.pending) + self.plan.resumed

    def missing(self) -> list[int]:
        """Numbers of the batches that are in no part yet, rising."""
        done = {number for part in self.store.finished for number in range(part.first, part.stop)}
        return [number for number in range(self.batches) if number not in done]


class Engine(Protocol):
    """What reads and scores photos: this machine, or a cluster."""

    def device(self, name: str) -> Device:
        """The kind of device on which a name, as the user gives it, makes it compute."""
        ...

    def describe(self, source: str, bundle: Bundle, options: TagOptions) -> RunInfo:
        """What a run says of itself; its scores are computed as that says."""
        ...

    def read(self, work: Work) -> None:
        """Reads and scores what is pending; writes parts.

        Raises:
            FftagError: an interruption, a source that went away, or what no photo is to blame for.
        """
        ...
