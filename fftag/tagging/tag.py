"""The whole way of a catalogue: list, plan, read, score, write, publish."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from fftag.base.atomic import target_of
from fftag.base.errors import INTERRUPTED, TOO_MANY_FAILED, FftagError
from fftag.base.interrupt import deferred
from fftag.base.progress import progress, say
from fftag.models.folder import Bundle
from fftag.models.scorers import scores_id
from fftag.photos.sources.base import Source
from fftag.photos.sources.choose import list_source
from fftag.tagging.agreement import Agreement
from fftag.tagging.known import KnownRows, TagsRows, header_of, open_published, usable, with_unseen
from fftag.tagging.options import TagOptions, info_of, run_info
from fftag.tagging.parts import Parts, locked
from fftag.tagging.plan import Plan, make_plan, with_made
from fftag.tagging.publish import decided_rows, publishing
from fftag.tagging.reach import Done, Reach
from fftag.tagging.score import score_here
from fftag.tagging.summary import TagSummary
from fftag.tagging.tags_file import RunInfo, open_tags_file, read_run

Score = Callable[[Source, Plan, Bundle, RunInfo, TagOptions, Parts], Generator[Done]]
"""Reads and scores what is pending, and writes parts: see `fftag.tagging.score.score_here`."""


def tag(
    source: Source,
    out: Path,
    bundle: Bundle,
    options: TagOptions = TagOptions(),
    score: Score = score_here,
    run: RunInfo | None = None,
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
        score: what reads and scores; by default this machine.
        run: what the run says of itself, where other machines compute.

    Raises:
        FftagError: nothing to tag, an output that cannot be written, an interruption, a source that
            went away, or more failures or removals than the options allow.
    """
    out = target_of(out)
    with locked(out):
        run = run or run_info(source.name, bundle, options)
        parts = Parts(out, Agreement.of(run))
        plan = plan_of(source, out, run, parts, options)
        summary = TagSummary(len(plan.listing), str(out), run.model_id, plan.counts)
        summary.left_out, summary.screen = plan.listing.left_out, run.screen
        summary.resumed = plan.resumed
        if plan.known.parts and (plan.resumed or plan.outdated):
            say(plan.going_on)
        with parts.begun(options.restart):
            if len(plan.pending):
                with (
                    _watched(source, plan, summary) as watch,
                    closing(score(source, plan, bundle, run, options, parts)) as scoring,
                ):
                    for done in scoring:
                        watch(done)
            plan = with_made(plan, parts.since(plan.known.parts), run, out)
            _publish(plan, out, run, parts, options, summary)
            parts.clear(plan.known.parts)
    return summary


def plan_of(source: Source, out: Path, run: RunInfo, parts: Parts, options: TagOptions) -> Plan:
    """Lists a source, and compares it with what is published and what lies in parts.

    Raises:
        FftagError: the source cannot be listed, what is published is no tags file or is of another
            shard, or too many files are gone.
    """
    listing = list_source(source, options.selection)
    published = open_published(out, options.force)
    if published is not None and published.run is not None:
        listing = with_unseen(listing, published)
    agreeing = usable(published, out, Agreement.of(run), options.force)
    there = parts.whole()
    if options.restart:
        known = KnownRows(published, [], agreeing, [*there, *parts.of_others()])
    else:
        parts.name_others()
        known = KnownRows(published, there, agreeing)
    return make_plan(listing, known, run, options, out)


@contextmanager
def _watched(source: Source, plan: Plan, summary: TagSummary) -> Iterator[Callable[[Done], None]]:
    """Shows how far a run is, counts, and ends it where it is asked to or the source went away."""
    total, reach, started = len(plan.pending) + plan.resumed, Reach(), time.monotonic()
    with (
        progress(total, "tagging", "photo", initial=plan.resumed) as bar,
        deferred() as interruption,
    ):

        def watch(done: Done) -> None:
            summary.recognised += done.recognised
            bar.update(done.photos)
            reach.note(done)
            if interruption.asked and bar.n < total:
                raise FftagError(
                    f"interrupted: {bar.n:,} of {total:,} files are done and kept; "
                    "the same command goes on",
                    INTERRUPTED,
                )
            if reach.lost and bar.n < total:
                raise reach.refusal(source.name, bar.n, total)

        try:
            yield watch
        finally:
            summary.seconds = time.monotonic() - started


def _publish(
    plan: Plan, out: Path, run: RunInfo, parts: Parts, options: TagOptions, summary: TagSummary
) -> None:
    """Joins what stays and what was made into the output, where that is not what it is already.

    Raises:
        FftagError: it cannot be written, or too many files failed: the next run reads these again.
    """
    published = plan.known.published
    if published is not None and _is_result(plan, run):
        say(f"nothing to do: {out} is up to date")
        for table in published.columns("status", "tags", "is_apparel", "apparel_score"):
            summary.add(table)
        return
    tables = decided_rows(
        plan.known.files, plan.kept, run, plan.listing.files["image"], plan.scored
    )
    with publishing(out, summary.counted(tables), run, published, options.keep_previous):
        if summary.failed > options.max_failure_rate * summary.files:
            parts.forget_failed()
            raise _too_many_failures(summary, options.max_failure_rate)


def _is_result(plan: Plan, run: RunInfo) -> bool:
    """Whether what is published is what a run would publish."""
    published = plan.known.published
    return (
        published is not None
        and published.run is not None
        and published.run.model_id == run.model_id  # which covers its thresholds
        and published.rows == len(plan.listing)
        and np.array_equal(plan.kept, np.arange(published.rows))
    )


def retag(tags: Path, bundle: Bundle, keep_previous: bool = True) -> int:
    """Decides the tags of a tags file anew, from its scores and a model's thresholds.

    Args:
        tags: the file; it is replaced atomically.
        bundle: a model with the same scores, and thresholds of its own.
        keep_previous: the file as it was stays beside it.

    Returns:
        How many rows it has.

    Raises:
        FftagError: it is no tags file, or its scores are another model's.
    """
    if not tags.exists():
        raise FftagError(f"{tags} does not exist: give a file that `fftag tag` wrote")
    tags = target_of(tags)
    with locked(tags):
        with open_tags_file(tags) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        there = TagsRows(tags, read_run(tags, schema), rows, header_of(schema))
        assert there.run is not None
        scores = scores_id(bundle, there.run.settings.get("precision", ""))
        run = info_of(there.run.source, bundle, scores, there.run.settings)
        if differing := Agreement.of(run).differences(Agreement.of(there.run)):
            raise FftagError(
                f"the scores in {tags} are not those of {bundle.path} (another "
                f"{' and '.join(differing)}): run `fftag tag` with it, which reads the photos"
            )
        tables = decided_rows([there], np.arange(rows), run)
        with publishing(tags, tables, run, there, keep_previous):
            return rows


def _too_many_failures(summary: TagSummary, allowed: float) -> FftagError:
    return FftagError(
        f"{summary.failed:,} of {summary.files:,} files failed ({summary.failures()}), more than "
        f"the {allowed:.0%} that --max-failure-rate allows: nothing was published to "
        f"{summary.out}; mend the files, or accept them with --max-failure-rate 1",
        TOO_MANY_FAILED,
    )
