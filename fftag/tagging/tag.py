"""The whole way of a catalogue: list, plan, decode, predict, write, publish."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.atomic import replacing, target_of
from fftag.base.errors import INTERRUPTED, TOO_MANY_FAILED, FftagError
from fftag.base.interrupt import deferred
from fftag.base.progress import progress, say
from fftag.models.devices import Device, choose_devices
from fftag.models.folder import Bundle
from fftag.models.scorers import scores_id
from fftag.models.side_by_side import batches_held, scored
from fftag.photos.listing import Listing
from fftag.photos.pool import batches
from fftag.photos.sources.base import Source
from fftag.photos.sources.choose import list_source
from fftag.tagging.options import TagOptions, batches_at_once, info_of, run_info, scorer_for
from fftag.tagging.parts import PartStore, locked
from fftag.tagging.plan import Contents, Plan, make_plan
from fftag.tagging.previous import (
    KnownRows,
    TagsRows,
    check_removals,
    differences,
    open_published,
    share_of,
    with_unseen,
)
from fftag.tagging.publish import ROWS_PER_GROUP, merged, retagged
from fftag.tagging.scored_rows import ScoredRows
from fftag.tagging.summary import TagSummary
from fftag.tagging.tags_file import (
    TAGS,
    WRITTEN,
    RunInfo,
    open_tags_file,
    read_batches,
    read_run,
    tags_schema,
)
from fftag.tagging.work import Engine, Reach, Work

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
    also where files came, went or changed meanwhile; and what stood at `out` before stands until
    the new file is whole.

    Args:
        source: where the photos are.
        out: the Parquet file to write.
        bundle: the model.
        options: how.
        engine: what reads and scores; this machine where it is None.

    Raises:
        FftagError: nothing to tag, an output that cannot be written, an interrupted run of another
            kind, an interruption, a source that went away, or more failures or removals than the
            options allow.
    """
    engine, out = engine or Here(), target_of(out)
    with locked(out):
        listing, published = listed_and_published(source, out, options)
        run = engine.describe(source.name, bundle, options)
        store = PartStore(out, run.run_id)
        before = what_is_there(listing, published, store, run, options)
        known = before.known
        plan = make_plan(listing, known, options.retry_failed)
        summary = TagSummary(len(listing), str(out), run.model_id, counts(plan), listing.left_out)
        summary.screen, summary.resumed = run.screen, plan.resumed
        store.begin(before.parts)
        if before.parts:
            say(_going_on(plan))
        started = time.monotonic()
        try:
            engine.read(Work(source, listing, plan, bundle, store, run, options, summary))
        finally:
            summary.seconds = time.monotonic() - started
        if (there := before.published) and is_result(there, plan, run):
            say(f"nothing to do: {out} is up to date")
            for _, table in there.blocks(ROWS_PER_GROUP):
                summary.add(table)
        else:
            _publish(listing, plan, known, store, run, options, summary)
        store.clear()
    return summary


@dataclass(frozen=True)
class Before:
    """What is there before a run and may stand beside its rows.

    Attributes:
        published: the tags file; None where there is none, or none that may.
        parts: those that an interrupted run has left.
    """

    published: TagsRows | None
    parts: list[TagsRows]

    @property
    def known(self) -> KnownRows:
        return KnownRows(self.published, self.parts)


def is_result(there: TagsRows, plan: Plan, run: RunInfo) -> bool:
    """Whether what is published is what a run would publish."""
    if len(plan.pending) or plan.removed or plan.resumed or there.damaged or there.run is None:
        return False
    # The id of a model covers its thresholds.
    return there.run.model_id == run.model_id


def listed_and_published(
    source: Source, out: Path, options: TagOptions
) -> tuple[Listing, TagsRows | None]:
    """What a source holds, and what is published of it at an output; see `with_unseen`.

    Raises:
        FftagError: the source cannot be listed, or what is published is no tags file.
    """
    listing = list_source(source, options.selection)
    published = open_published(out, options.force)
    if published is not None and published.run is not None:
        listing = with_unseen(listing, published)
    return listing, published


def what_is_there(
    listing: Listing,
    published: TagsRows | None,
    store: PartStore,
    run: RunInfo,
    options: TagOptions,
) -> Before:
    """What a run can keep of what stands at its output; says why where that is nothing.

    Raises:
        FftagError: what is published is of another shard, an interrupted run was of another kind,
            or too many files are gone.
    """
    out = store.out
    last = published.run if published is not None else None
    parts = store.left(last.run_id if last is not None else None)
    for part in () if options.restart else parts:
        if differing := differences(part.run, run):
            raise FftagError(
                f"an interrupted run into {out} had another {' and '.join(differing)}: run it "
                "again as it was, or add --restart to throw away the "
                f"{sum(one.rows for one in parts):,} files that it did"
            )
    if last is not None and share_of(last) != share_of(run) and not options.force:
        raise FftagError(
            f"{out} has the rows of {share_of(last)}, not of {share_of(run)}: give each shard an "
            "--out of its own, or write this one anew with --force"
        )
    there = [published, *parts] if published is not None else parts
    check_removals(listing.files["image"], "the source", out, there, options.max_removal_rate)
    if options.restart:
        parts = []
    if published is None or options.force:
        return Before(None, parts)
    if differing := differences(last, run):
        say(f"{out} is of another {' and '.join(differing)}: every file is tagged anew")
        return Before(None, parts)
    for where in published.damaged.values():
        say(f"{out} is damaged in {where}: its photos are read again")
    return Before(published, parts)


def _going_on(plan: Plan) -> str:
    """What an interrupted run has left, in words."""
    total = plan.resumed + len(plan.pending)
    said = f"going on with an interrupted run: {plan.resumed:,} of {total:,} files are done"
    if plan.outdated:
        said += f"; {plan.outdated:,} more that it did are gone, or are read again"
    return said


def counts(plan: Plan) -> dict[str, int]:
    """How many files are what."""
    names = ("new", "changed", "retried", "unchanged", "removed")
    return {name: getattr(plan, name) for name in names}


class Here:
    """This machine as an engine: see `fftag.tagging.work.Engine`."""

    def device(self, name: str) -> Device:
        return choose_devices(name)[0]

    def describe(self, source: str, bundle: Bundle, options: TagOptions) -> RunInfo:
        return run_info(source, bundle, options)

    def read(self, work: Work) -> None:
        _read(work)


def _read(work: Work) -> None:
    """Reads and scores what is pending; writes parts."""
    plan, store, run = work.plan, work.store, work.run
    options, summary = work.options, work.summary
    if not work.batches:
        return
    made = ScoredRows()
    reach = Reach()

    def write_part(first: int, stop: int, scored_rows: ScoredRows) -> None:
        store.write(first, stop, scored_rows.table(run))

    numbers = range(work.batches)
    planned = (
        (n, entries_of(work.listing, plan.contents, work.pending(n, n + 1))) for n in numbers
    )
    with (
        progress(work.to_do, "tagging", "photo", initial=plan.resumed) as bar,
        deferred() as interruption,
        ThreadPoolExecutor(1, "opening") as opening,
        _one_at_a_time(write_part) as write,
        closing(
            batches(
                work.source,
                planned,
                work.bundle.config.input,
                options,
                batches_held(batches_at_once(options)),
            )
        ) as decoded,
    ):
        # The model is opened while the processes start and decode their first photos.
        opened = opening.submit(scorer_for, work.bundle, options)
        first = next(decoded)
        scorer = opened.result()
        for batch, scores in scored(chain([first], decoded), scorer, len(run.labels)):
            made.add(batch.photos, scores)
            summary.recognised += sum(record.known for record in batch.photos)
            bar.update(len(batch.photos))
            reach.note_records(batch.photos)
            after = batch.number + 1
            whole = after % work.batches_per_part == 0 or after == work.batches
            if whole or interruption.asked or reach.lost:
                write(after - made.batches, after, made)
                made = ScoredRows()
            if interruption.asked and bar.n < work.to_do:
                raise FftagError(
                    f"interrupted: {bar.n:,} of {work.to_do:,} files are done and kept; "
                    "the same command goes on",
                    INTERRUPTED,
                )
            if reach.lost and bar.n < work.to_do:
                raise reach.refusal(work.source.name, bar.n, work.to_do)


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


def entries_of(listing: Listing, contents: Contents, chosen: np.ndarray) -> list[dict[str, Any]]:
    """Rows of the listing by number, each with the digests under which it may be known."""
    entries: list[dict[str, Any]] = listing.rows(chosen).to_pylist()
    return [entry | {"known": contents.of_size(entry["size"])} for entry in entries]


def _publish(
    listing: Listing,
    plan: Plan,
    known: KnownRows,
    store: PartStore,
    run: RunInfo,
    options: TagOptions,
    summary: TagSummary,
) -> None:
    """Joins what stays and what was made into the output, atomically."""
    with replacing(store.out, TAGS) as temporary:
        with pq.ParquetWriter(temporary, tags_schema(run), **WRITTEN) as writer:
            for table in merged(listing, plan, known, store, run):
                summary.add(table)
                writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        written = pq.read_metadata(temporary).num_rows
        if written != len(listing):
            raise FftagError(f"{written:,} rows for {len(listing):,} files: nothing was published")
        if summary.failed > options.max_failure_rate * summary.files:
            store.forget_failed()
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
    with locked(tags), open_tags_file(tags) as file:
        there = read_run(tags, file.schema_arrow)
        scores = scores_id(bundle, there.settings.get("precision", ""))
        run = info_of(there.source, bundle, scores, there.settings)
        differing = differences(there, run)
        if differing:
            raise FftagError(
                f"the scores in {tags} are not those of {bundle.path} (another "
                f"{' and '.join(differing)}): run `fftag tag` with it, which reads the photos"
            )
        with (
            replacing(tags, TAGS) as temporary,
            pq.ParquetWriter(temporary, tags_schema(run), **WRITTEN) as writer,
        ):
            for batch in read_batches(tags, file, rows=ROWS_PER_GROUP):
                rows = retagged(pa.Table.from_batches([batch]), run)
                writer.write_table(rows, row_group_size=ROWS_PER_GROUP)
        return int(file.metadata.num_rows)


def _too_many_failures(summary: TagSummary, allowed: float) -> FftagError:
    return FftagError(
        f"{summary.failed:,} of {summary.files:,} files failed ({summary.failures()}), more than "
        f"the {allowed:.0%} that --max-failure-rate allows: nothing was published to "
        f"{summary.out}; mend the files, or accept them with --max-failure-rate 1",
        TOO_MANY_FAILED,
    )
