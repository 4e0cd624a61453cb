"""What a run would do, and about how long it would take."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fftag.base.errors import TOO_MANY_FAILED, FftagError
from fftag.models.folder import Bundle
from fftag.models.side_by_side import batches_held, replica_count, scored
from fftag.photos.pool import batches
from fftag.photos.sources.base import Source
from fftag.tagging.agreement import Agreement
from fftag.tagging.options import TagOptions, run_info, scorer_for
from fftag.tagging.parts import Parts
from fftag.tagging.reach import Done, Reach
from fftag.tagging.tag import plan_of

SAMPLE = 256  # files read to estimate the rate
BYTES_PER_ROW = 250  # of a Parquet row without its scores, measured with short paths


@dataclass(frozen=True)
class Ahead:
    """What a run would do.

    Attributes:
        files: listed.
        plan: how many are new, changed, retried, unchanged, and how many rows would be removed.
        pending: files to read.
        files_per_second: of a sample of them, on this machine; None where there is none to read.
        bytes_needed: of disk, for parts and output together, about.
    """

    files: int
    plan: dict[str, int]
    pending: int
    files_per_second: float | None
    bytes_needed: int

    @property
    def seconds(self) -> float:
        return self.pending / self.files_per_second if self.files_per_second else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "files": self.files,
            "plan": self.plan,
            "pending": self.pending,
            "files_per_second": self.files_per_second,
            "seconds": self.seconds,
            "bytes_needed": self.bytes_needed,
        }

    def lines(self) -> Iterator[str]:
        yield f"{self.files:,} files"
        for what, count in self.plan.items():
            yield f"  {what:10} {count:,}"
        if self.files_per_second:
            yield (
                f"{self.pending:,} would be read, in about {self.seconds / 60:,.1f} minutes "
                f"({self.files_per_second:,.1f} files/s in a sample of them, start included)"
            )
        else:
            yield "nothing would be read"
        yield f"about {self.bytes_needed / 1e6:,.0f} MB of disk would be needed"


def look_ahead(source: Source, out: Path, bundle: Bundle, options: TagOptions) -> Ahead:
    """Lists and plans as a run would, tags a sample spread over what is to be read, writes nothing.

    Raises:
        FftagError: what a run would refuse before it reads, or the source went away.
    """
    run = run_info(source.name, bundle, options)
    plan = plan_of(source, out, run, Parts(out, Agreement.of(run)), options)
    pending, files = plan.pending, len(plan.listing)
    chosen = np.unique(np.linspace(0, len(pending) - 1, SAMPLE).astype(int))
    rate = None
    if len(pending):
        # Not compiled: the sample would wait for it longer than it takes.
        scorer = scorer_for(bundle, replace(options, compiled=False))
        sample = enumerate(plan.batches(pending[chosen], options.batch_size))
        reach, started = Reach(), time.monotonic()
        held = batches_held(replica_count(scorer))
        decoded = batches(source, sample, scorer.spec, options, held)
        for batch, _ in scored(decoded, scorer, len(run.labels)):
            reach.note(Done.of(batch.photos))
            if reach.lost:
                raise FftagError(
                    f"{source.name} cannot be reached ({reach.error})", TOO_MANY_FAILED
                )
        rate = len(chosen) / (time.monotonic() - started)
    bytes_needed = (files + len(pending)) * (BYTES_PER_ROW + 4 * len(run.labels))
    return Ahead(files, plan.counts, len(pending), rate, bytes_needed)
