"""The whole way of a catalogue: list, decode, predict, write, publish."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fftag import __version__
from fftag.bundle import Bundle
from fftag.errors import DONE, SOME_FILES_FAILED, TOO_MANY_FAILED, FftagError
from fftag.listing import Listing, list_folder
from fftag.parts import PartStore
from fftag.predict import Predictor, choose_device, choose_precision
from fftag.progress import progress, say
from fftag.reader import Batch, ReadOptions, batches
from fftag.store import RunInfo, rows


@dataclass(frozen=True)
class TagOptions(ReadOptions):
    """How to tag.

    Attributes:
        device: see `fftag.predict.choose_device`.
        precision: see `fftag.predict.choose_precision`.
        shard_size: photos per part file; what an interruption can cost.
        include: glob patterns on file names; none lists every file.
        ignore: files and folders that are the run's own, should they lie inside the source.
        restart: throw away what an interrupted run left.
        max_failure_rate: publish nothing when a larger share of the files failed.
    """

    device: str = "auto"
    precision: str = "auto"
    shard_size: int = 1024
    include: tuple[str, ...] = ()
    ignore: tuple[Path, ...] = ()
    restart: bool = False
    max_failure_rate: float = 0.5


@dataclass
class TagSummary:
    """What a run did.

    Attributes:
        files: how many were listed, which is how many rows there are.
        statuses: rows by status.
        tags: photos by label.
        resumed: files that an earlier, interrupted process had already done.
        seconds: spent on the rest.
        left_out: seen but not listed, by reason.
    """

    files: int
    out: str
    model_id: str
    resumed: int
    left_out: dict[str, int]
    statuses: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, table: pa.Table) -> int:
        """Counts the rows of one part; returns how many of them failed."""
        labels = pc.struct_field(pc.list_flatten(table["tags"]), "label")
        for counter, values in ((self.statuses, table["status"]), (self.tags, labels)):
            for pair in pc.value_counts(values).to_pylist():
                counter[pair["values"]] += pair["counts"]
        return int(table["tags"].null_count)

    def failures(self) -> str:
        """How many failed, by code."""
        return ", ".join(
            f"{count:,} {code}" for code, count in self.statuses.most_common() if code != "ok"
        )

    @property
    def failed(self) -> int:
        return self.files - self.statuses["ok"]

    @property
    def rate(self) -> float:
        """Files per second, of those done by this process."""
        return (self.files - self.resumed) / self.seconds if self.seconds else 0.0

    def exit_code(self, strict: bool) -> int:
        return SOME_FILES_FAILED if strict and self.failed else DONE

    def to_json(self) -> dict[str, Any]:
        return {
            "out": self.out,
            "files": self.files,
            "statuses": dict(self.statuses.most_common()),
            "failed": self.failed,
            "left_out": self.left_out,
            "resumed": self.resumed,
            "seconds": round(self.seconds, 3),
            "files_per_second": round(self.rate, 2),
            "tags": dict(self.tags.most_common()),
            "model_id": self.model_id,
        }

    def lines(self) -> Iterator[str]:
        done = self.files - self.resumed
        yield f"{self.files:,} files -> {self.out}"
        yield f"  tagged   {self.statuses['ok']:,}"
        yield f"  failed   {self.failed:,}" + (f" ({self.failures()})" if self.failed else "")
        for reason, count in self.left_out.items():
            yield f"  left out {count:,} {reason}"
        if self.resumed:
            yield f"  resumed  {self.resumed:,} were done by an earlier run"
        yield f"  rate     {self.rate:,.1f} files/s ({done:,} in {self.seconds:,.1f} s)"
        top = ", ".join(f"{label} {count:,}" for label, count in self.tags.most_common(8))
        yield f"  top tags {top or 'none'}"


def tag(source: Path, out: Path, bundle: Bundle, options: TagOptions = TagOptions()) -> TagSummary:
    """Tags every file below a folder into one Parquet file, one row per file.

    Interrupted at any moment, the same call goes on where it stopped, and what stood at `out`
    before stands until the new file is whole.

    Args:
        source: the folder of photos.
        out: the Parquet file to write.
        bundle: the model.
        options: how.

    Raises:
        FftagError: nothing to tag, an output that cannot be written, an interrupted run of another
            kind, or more failures than `options.max_failure_rate` allows.
    """
    listing = list_folder(source, options.include, options.ignore)
    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    settings = {
        "device": device.type,
        "precision": precision,
        "batch_size": options.batch_size,
        "limits": asdict(options.limits),
    }
    run = _run_info(source, bundle, settings)
    store = PartStore(out, run, listing.digest(), len(listing), options.shard_size)
    with store.open(options.restart):
        finished = store.finished()
        pending = [(n, store.range_of(n)) for n in range(store.shards) if n not in finished]
        resumed = len(listing) - sum(len(rows) for _, rows in pending)
        summary = TagSummary(len(listing), str(out), run.model_id, resumed, listing.left_out)
        if resumed:
            say(f"going on with an interrupted run: {resumed:,} of {len(listing):,} files are done")
        started = time.monotonic()
        if pending:
            predictor = Predictor(bundle.build(), bundle.config.input, device, precision)
            read = batches(listing, pending, predictor.spec, options)
            for shard, table in _tagged(read, predictor, store.run, listing, resumed):
                store.write(shard, table)
        summary.seconds = time.monotonic() - started
        with_failures = []
        for shard, table in enumerate(store.tables()):
            if summary.add(table):
                with_failures.append(shard)
        if summary.failed > options.max_failure_rate * summary.files:
            store.discard(with_failures)
            raise _too_many_failures(summary, options.max_failure_rate)
        store.publish()
    return summary


def _tagged(
    read: Iterator[Batch], predictor: Predictor, run: RunInfo, listing: Listing, resumed: int
) -> Iterator[tuple[int, pa.Table]]:
    """Batches -> one table per shard."""
    with progress(len(listing), "tagging", "photo", initial=resumed) as bar:
        for shard, members in groupby(read, key=lambda batch: batch.shard):
            tables = []
            for batch in members:
                scores = predictor(batch.pixels).scores
                tables.append(rows(batch.photos, scores, run, datetime.now(UTC)))
                bar.update(len(batch.photos))
            yield shard, pa.concat_tables(tables)


def _run_info(source: Path, bundle: Bundle, settings: dict[str, Any]) -> RunInfo:
    config = bundle.config
    return RunInfo(
        run_id=uuid.uuid4().hex,
        model_id=bundle.model_id,
        fftag_version=__version__,
        source=str(source),
        labels=config.labels.names,
        groups=config.labels.groups,
        thresholds=config.thresholds,
        validation=config.validation,
        settings=settings,
    )


def _too_many_failures(summary: TagSummary, allowed: float) -> FftagError:
    return FftagError(
        f"{summary.failed:,} of {summary.files:,} files failed ({summary.failures()}), more than "
        f"the {allowed:.0%} that --max-failure-rate allows: nothing was published to "
        f"{summary.out}; mend the files, or accept them with --max-failure-rate 1",
        TOO_MANY_FAILED,
    )
