"""The whole way of a catalogue: list, plan, decode, predict, write, publish."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.atomic import replacing, target_of
from fftag.backends import scores_id
from fftag.bundle import Bundle
from fftag.copies import Copies
from fftag.decoding import decoded_batches
from fftag.devices import Device, choose_devices
from fftag.errors import INTERRUPTED, TOO_MANY_FAILED, FftagError
from fftag.interrupt import deferred
from fftag.listing import Listing
from fftag.merge import ROWS_PER_GROUP, merged, retagged
from fftag.parts import PartStore, locked
from fftag.plan import Plan, plan_all, plan_changes
from fftag.previous import Previous, open_previous, published_run
from fftag.progress import progress, say
from fftag.replicas import scored
from fftag.scored_rows import ScoredRows
from fftag.sources import Source, list_source
from fftag.store import SAME_AS, TAGS, RunInfo, tags_schema
from fftag.tag_options import TagOptions, batches_at_once, info_of, run_info, scorer_for
from fftag.tag_summary import TagSummary
from fftag.work import Engine, Work

P = ParamSpec("P")


def tag(
    source: Source,
    out: Path,
    bundle: Bundle,
    options: TagOptions = TagOptions(),
    engine: Engine | None = None,
) -> TagSummary:
    """Tags every file of a source into one Parquet file, one row per file.

    Where `out` is there already, only new, changed and formerly failed files are read, and rows
    of files that are gone go. Interrupted at any moment, the same call goes on where it stopped,
    and what stood at `out` before stands until the new file is whole.

    Args:
        source: where the photos are.
        out: the Parquet file to write.
        bundle: the model.
        options: how.
        engine: what reads and scores; this machine where it is None.

    Raises:
        FftagError: nothing to tag, an output that cannot be written, an interrupted run of another
            kind, an interruption, or more failures or removals than the options allow.
    """
    engine, out = engine or Here(), target_of(out)
    with locked(out):
        listing = list_source(source, options.selection)
        run = engine.describe(source.name, bundle, options)
        previous, plan = make_plan(listing, out, run, options)
        summary = TagSummary(len(listing), str(out), run.model_id, counts(plan), listing.left_out)
        summary.screen = run.screen
        store = PartStore(out, run.run_id, _identity(listing, previous, run, options))
        store.take_up(options.restart, published_run(out))
        run = replace(run, run_id=store.run_id)
        started = time.monotonic()
        try:
            engine.read(Work(source, listing, plan, bundle, store, run, options, summary))
        finally:
            summary.seconds = time.monotonic() - started
        if previous is None or len(plan.pending) or plan.removed or previous.tags_differ(run):
            _publish(listing, plan, previous, store, run, options, summary)
        else:
            say(f"nothing to do: {out} is up to date")
            for table in previous.blocks(ROWS_PER_GROUP):
                summary.add(table)
        store.clear()
    return summary


def make_plan(
    listing: Listing, out: Path, run: RunInfo, options: TagOptions
) -> tuple[Previous | None, Plan]:
    """What there is to do, given what stands at `out`; says why if all is to be read again.

    Raises:
        FftagError: what is there is no tags file or that of another shard, or too many of its
            files are gone.
    """
    previous = None if options.force else open_previous(out)
    if previous is None:
        return None, plan_all(listing)
    previous.check_shard(run)
    differing = previous.differences(run)
    if differing:
        say(f"{out} is of another {' and '.join(differing)}: every file is tagged anew")
        return None, plan_all(listing)
    plan = plan_changes(listing, previous, options.retry_failed)
    if plan.removed > options.max_removal_rate * previous.rows:
        raise FftagError(
            f"{plan.removed:,} of the {previous.rows:,} files in {out} are gone from the source, "
            f"more than the {options.max_removal_rate:.0%} that --max-removal-rate allows: is all "
            "of it mounted? Accept it with --max-removal-rate 1",
            TOO_MANY_FAILED,
        )
    return previous, plan


def counts(plan: Plan) -> dict[str, int]:
    """How many files are what."""
    names = ("new", "changed", "retried", "unchanged", "removed")
    return {name: getattr(plan, name) for name in names}


class Here:
    """This machine as an engine: see `fftag.work.Engine`."""

    def device(self, name: str) -> Device:
        return choose_devices(name)[0]

    def describe(self, source: str, bundle: Bundle, options: TagOptions) -> RunInfo:
        return run_info(source, bundle, options)

    def read(self, work: Work) -> None:
        _read(work)


def _read(work: Work) -> None:
    """Reads and scores what is pending and not in a part yet; writes parts."""
    listing, plan, store, run = work.listing, work.plan, work.store, work.run
    options, summary = work.options, work.summary
    total, done, missing = work.left()
    if not missing:
        return
    copies = Copies(len(run.labels))
    for part in store.finished:
        copies.load(store.read(part))
    per_part = work.batches_per_part
    made = ScoredRows()

    def write_part(first: int, stop: int, scored_rows: ScoredRows) -> None:
        store.write(first, stop, scored_rows.table(run))

    planned = ((n, entries_of(listing, plan, copies, work.pending(n, n + 1))) for n in missing)
    with (
        progress(len(plan.pending), "tagging", "photo", initial=summary.resumed) as bar,
        deferred() as interruption,
        ThreadPoolExecutor(1, "opening") as opening,
        _one_at_a_time(write_part) as write,
        closing(
            decoded_batches(
                work.source, planned, work.bundle.config.input, options, batches_at_once(options)
            )
        ) as decoded,
    ):
        # The model is opened while the processes start and decode their first photos.
        opened = opening.submit(scorer_for, work.bundle, options, len(plan.pending))
        first = next(decoded)
        scorer = opened.result()
        for batch, scores in scored(chain([first], decoded), scorer, copies):
            photos = [_settled(record, plan) for record in batch.photos]
            made.add(photos, scores)
            summary.recognised += sum(record["known"] for record in batch.photos)
            bar.update(len(photos))
            after = batch.number + 1
            whole = after % per_part == 0 or after == total or after in done
            if whole or interruption.asked:
                write(after - made.batches, after, made)
                made = ScoredRows()
            if interruption.asked and bar.n < len(plan.pending):
                raise FftagError(
                    f"interrupted: {bar.n:,} of {len(plan.pending):,} files are done and kept; "
                    "the same command goes on",
                    INTERRUPTED,
                )


@contextmanager
def _one_at_a_time(function: Callable[P, None]) -> Iterator[Callable[P, None]]:
    """Runs a function in a thread beside; a call waits for the one before, and has its error."""
    with ThreadPoolExecutor(1, "writer") as thread:
        before: Future[None] | None = None

        def call(*args: P.args, **kwargs: P.kwargs) -> None:
            nonlocal before
            if before is not None:
                before.result()
            before = thread.submit(function, *args, **kwargs)

        try:
            yield call
        finally:
            if before is not None:
                before.result()


def entries_of(
    listing: Listing, plan: Plan, copies: Copies, chosen: np.ndarray
) -> list[dict[str, Any]]:
    """Rows of the listing by number, each with the digests under which it may be known."""
    entries: list[dict[str, Any]] = listing.rows(chosen).to_pylist()
    for entry in entries:
        size = entry["size"]
        entry["known"] = plan.known.of_size(size) + copies.of_size(size)
    return entries


def _settled(record: dict[str, Any], plan: Plan) -> dict[str, Any]:
    if not record["known"]:
        return record | {SAME_AS: None}
    return record | {SAME_AS: plan.known.row(record["file_size"], record["content_sha256"])}


def _publish(
    listing: Listing,
    plan: Plan,
    previous: Previous | None,
    store: PartStore,
    run: RunInfo,
    options: TagOptions,
    summary: TagSummary,
) -> None:
    """Joins what stays and what was made into the output, atomically."""
    with replacing(store.out, TAGS) as temporary:
        with pq.ParquetWriter(temporary, tags_schema(run), compression="zstd") as writer:
            for table in merged(listing, plan, previous, store, run):
                summary.add(table)
                writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        written = pq.read_metadata(temporary).num_rows
        if written != len(listing):
            raise FftagError(f"{written:,} rows for {len(listing):,} files: nothing was published")
        if summary.failed > options.max_failure_rate * summary.files:
            for part in list(store.finished):
                if pc.any(pc.not_equal(store.read(part)["status"].cast(pa.string()), "ok")).as_py():
                    store.discard(part)
            raise _too_many_failures(summary, options.max_failure_rate)


def retag(tags: Path, bundle: Bundle) -> int:
    """Decides the tags of a tags file anew, from its scores and a model's thresholds.

    Args:
        tags: the file; it is replaced atomically.
        bundle: a model with the same scores, and thresholds of its own.

    Returns:
        How many rows it has.

    Raises:
        FftagError: it is no tags file, or its scores are another model's.
    """
    if not tags.exists():
        raise FftagError(f"{tags} does not exist: give a file that `fftag tag` wrote")
    tags = target_of(tags)
    with locked(tags):
        previous = open_previous(tags)
        assert previous is not None
        settings = previous.run["settings"]
        scores = scores_id(bundle, settings["precision"])
        run = info_of(previous.run["source"], bundle, scores, settings)
        differing = previous.differences(run)
        if differing:
            raise FftagError(
                f"the scores in {tags} are not those of {bundle.path} (another "
                f"{' and '.join(differing)}): run `fftag tag` with it, which reads the photos"
            )
        with (
            replacing(tags, TAGS) as temporary,
            pq.ParquetWriter(temporary, tags_schema(run), compression="zstd") as writer,
        ):
            for table in previous.blocks(ROWS_PER_GROUP):
                writer.write_table(retagged(table, run), row_group_size=ROWS_PER_GROUP)
        return previous.rows


def _identity(
    listing: Listing, previous: Previous | None, run: RunInfo, options: TagOptions
) -> dict[str, Any]:
    """What must be the same for parts of two processes to be parts of one result."""
    return {
        "listing": listing.digest(),
        "model": run.model_id,
        "label set": list(run.labels),
        "thresholds": list(run.thresholds),
        "settings": run.settings,
        "run before": previous.run["run_id"] if previous else None,
        "format": run.format_version,
        "choice of failed files": options.retry_failed,
    }


def _too_many_failures(summary: TagSummary, allowed: float) -> FftagError:
    return FftagError(
        f"{summary.failed:,} of {summary.files:,} files failed ({summary.failures()}), more than "
        f"the {allowed:.0%} that --max-failure-rate allows: nothing was published to "
        f"{summary.out}; mend the files, or accept them with --max-failure-rate 1",
        TOO_MANY_FAILED,
    )
