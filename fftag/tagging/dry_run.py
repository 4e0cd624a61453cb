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
from fftag.tagging.options import TagOptions, run_info, scorer_for
from fftag.tagging.parts import PartStore
from fftag.tagging.plan import make_plan
from fftag.tagging.tag import counts, entries_of, listed_and_published, what_is_there
from fftag.tagging.work import Reach

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
    listing, published = listed_and_published(source, out, options)
    run = run_info(source.name, bundle, options)
    before = what_is_there(listing, published, PartStore(out, run.run_id), run, options)
    plan = make_plan(listing, before.known, options.retry_failed)
    chosen = np.unique(np.linspace(0, len(plan.pending) - 1, SAMPLE).astype(int))
    rate = None
    if len(plan.pending):
        size = options.batch_size
        # Not compiled: the sample would wait for it longer than it takes.
        scorer = scorer_for(bundle, replace(options, compiled=False))
        rows = plan.pending[chosen]
        planned = (
            (start, entries_of(listing, plan.contents, rows[start : start + size]))
            for start in range(0, len(rows), size)
        )
        reach, started = Reach(), time.monotonic()
        held = batches_held(replica_count(scorer))
        decoded = batches(source, planned, scorer.spec, options, held)
        for batch, _ in scored(decoded, scorer, len(run.labels)):
            reach.note_records(batch.photos)
            if reach.lost:
                raise FftagError(
                    f"{source.name} cannot be reached ({reach.error})", TOO_MANY_FAILED
                )
        rate = len(rows) / (time.monotonic() - started)
    bytes_needed = (len(listing) + len(plan.pending)) * (BYTES_PER_ROW + 4 * len(run.labels))
    return Ahead(len(listing), counts(plan), len(plan.pending), rate, bytes_needed)
