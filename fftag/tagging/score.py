"""Files -> parts: read, decoded, scored and written, by this machine or a task of a cluster."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from fftag.models.folder import Bundle
from fftag.models.scorers import Scorer
from fftag.models.side_by_side import batches_held, scored
from fftag.photos.pool import batches
from fftag.photos.sources.base import Source
from fftag.tagging.options import TagOptions, batches_at_once, scorer_for
from fftag.tagging.parts import Parts
from fftag.tagging.plan import Plan
from fftag.tagging.reach import Done
from fftag.tagging.scored_rows import ScoredRows
from fftag.tagging.tags_file import RunInfo


def score_here(
    source: Source, plan: Plan, bundle: Bundle, run: RunInfo, options: TagOptions, parts: Parts
) -> Generator[Done]:
    """Reads and scores on this machine what is pending; see `write_parts`."""
    with ThreadPoolExecutor(1, "opening") as opening:
        # The model is opened while the processes start and decode their first photos.
        scorer = opening.submit(scorer_for, bundle, options)
        files = plan.batches(plan.pending, options.batch_size)
        yield from write_parts(source, files, bundle, scorer, run, options, parts)


def write_parts(
    source: Source,
    files: Iterable[Sequence[dict[str, Any]]],
    bundle: Bundle,
    scorer: "Future[Scorer]",
    run: RunInfo,
    options: TagOptions,
    parts: Parts,
) -> Generator[Done]:
    """Reads files, scores them and writes parts of them.

    Closed before its end, it writes what it has.

    Args:
        source: where they are.
        files: batches of rows of a listing, each with digests, see `Plan.batches`.
        bundle: the model.
        scorer: it, ready to score by the time that the first photos are decoded.
        run: what the rows say of the run.
        options: how.
        parts: where they go.

    Yields:
        What became of each batch.

    Raises:
        FftagError: a part cannot be written, the model cannot be used, or a score is not finite.
    """
    size = max(1, options.shard_size // options.batch_size)
    made = ScoredRows()
    asked: dict[int, datetime] = {}  # when a batch was, before any of its files was opened

    def numbered() -> Iterator[tuple[int, Sequence[dict[str, Any]]]]:
        for number, entries in enumerate(files):
            asked[number] = datetime.now(UTC)
            yield number, entries

    held = batches_held(batches_at_once(options))
    with (
        _written_beside(parts, run) as write,
        closing(batches(source, numbered(), bundle.config.input, options, held)) as decoded,
    ):
        first = next(decoded)
        ready = chain([first], decoded)
        try:
            for batch, scores in scored(ready, scorer.result(), len(run.labels)):
                made.add(batch.photos, scores, asked.pop(batch.number))
                if made.batches == size:
                    write(made)
                    made = ScoredRows()
                yield Done.of(batch.photos)
        except GeneratorExit:
            write(made)
            raise
        write(made)


@contextmanager
def _written_beside(parts: Parts, run: RunInfo) -> Iterator[Callable[[ScoredRows], None]]:
    """Writes parts in a thread beside; a call waits for the one before, and has its error."""
    with ThreadPoolExecutor(1, "writer") as thread:
        before: Future[None] | None = None

        def write(made: ScoredRows) -> None:
            nonlocal before
            if before is not None:
                before.result()
            if len(made):
                before = thread.submit(lambda: parts.write(made.table(run)))

        try:
            yield write
        finally:
            if before is not None:
                before.result()
