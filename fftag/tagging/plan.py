"""What a run has to read, and what it can keep of what is there before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag.base.errors import TOO_MANY_FAILED, FftagError
from fftag.photos.listing import Listing
from fftag.tagging.keys import key_database, load_known, load_listed, one_row
from fftag.tagging.known import KnownRows, TagsRows
from fftag.tagging.options import TagOptions
from fftag.tagging.tags_file import ROWS_AT_ONCE, RunInfo

if TYPE_CHECKING:
    import duckdb

# So many contents of one size are looked for; uncompressed pictures are all of one.
CONTENTS_OF_A_SIZE = 512
NONE = -1

# Each known row of a listed file. It is trusted where the file is as it was when it was read, or
# could not be looked at this time.
MATCHES = """
    create temp table matches as
    select
        ordinal, number, published, ok, whole, read_us,
        coalesce(
            stands and known.file_size = listed.file_size
                and known.modified_us = listed.modified_us,
            false
        )
        or published and whole and $agreeing and image in (select image from unseen) as trusted
    from known join listed using (image)
"""
# Of each file one row: the newest, and of equally new ones the last.
KEPT = """
    create temp table kept as
    select ordinal, number from matches where trusted and whole
    qualify row_number() over (partition by ordinal order by read_us desc, number desc) = 1
"""
# Photos with scores that have the size of a file of which no row is kept, each content once.
CONTENTS = """
    create temp table contents as
    select file_size, digest, min(number) as number
    from known
    where ok and whole and stands and octet_length(digest) = 32
        and file_size in (select file_size from listed anti join kept using (ordinal))
    group by all
"""
# Rows of photos that were recognised by their content, each with the row of their scores.
RECOGNISED = """
    select ordinal, matches.number as number, contents.number as scored
    from matches join known on matches.number = known.number
        join contents on contents.digest = known.digest
        anti join kept on kept.ordinal = matches.ordinal
    where trusted and not matches.whole
    qualify row_number() over (
        partition by ordinal order by matches.read_us desc, matches.number desc
    ) = 1
"""
# Of each file of which no row was kept, the row that was made: one that has the size and time that
# were listed first, then the newest, then the last.
MADE = """
    select ordinal, known.number as number, contents.number as scored
    from known join listed using (image) left join contents on
        contents.digest = known.digest and not known.whole
    where ordinal in (select ordinal from pending) and (whole or contents.number is not null)
    qualify row_number() over (
        partition by ordinal
        order by
            coalesce(
                known.file_size = listed.file_size and known.modified_us = listed.modified_us,
                false
            ) desc,
            read_us desc, known.number desc
    ) = 1
"""


@dataclass
class Contents:
    """Photos with scores, one for each content, sorted by size.

    Attributes:
        sizes: int64.
        digests: void of 32 bytes.
        numbers: int64, of the known rows.
    """

    sizes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    digests: np.ndarray = field(default_factory=lambda: np.empty(0, "V32"))
    numbers: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def of_size(self, size: int | None) -> tuple[str, ...]:
        """The digests of photos of a size; none where they are too many to look for."""
        if size is None or not len(self.sizes):
            return ()
        low, high = np.searchsorted(self.sizes, [size, size + 1])
        if high - low > CONTENTS_OF_A_SIZE:
            return ()
        return tuple(digest.tobytes().hex() for digest in self.digests[low:high])

    def table(self) -> pa.Table:
        """Columns `digest` and `number`."""
        digests = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), len(self.digests), [None, pa.py_buffer(self.digests.tobytes())]
        )
        return pa.table({"digest": digests.cast(pa.binary()), "number": self.numbers})


@dataclass
class Plan:
    """What is to be done with each listed file.

    Attributes:
        listing: the files.
        known: the rows that are there.
        kept: int64 [listed files]: the number of the row that stays or was made; -1 where the file
            is to be read.
        scored: int64 [listed files]: where that row is of a photo that was recognised by its
            content, the number of the row with its scores; else -1.
        new, changed, retried, unchanged: how many files are which, beside what is published;
            `retried` failed there.
        removed: published rows whose file is no longer listed.
        resumed: how many of the rows that stay are in parts.
        outdated: rows in parts that do not stay.
        contents: photos whose content may turn up again.
    """

    listing: Listing
    known: KnownRows
    kept: np.ndarray
    scored: np.ndarray
    new: int = 0
    changed: int = 0
    retried: int = 0
    unchanged: int = 0
    removed: int = 0
    resumed: int = 0
    outdated: int = 0
    contents: Contents = field(default_factory=Contents)

    @property
    def pending(self) -> np.ndarray:
        """int64: the files to read, by their numbers in the listing, rising."""
        return np.flatnonzero(self.kept == NONE)

    @property
    def counts(self) -> dict[str, int]:
        """How many files are what."""
        names = ("new", "changed", "retried", "unchanged", "removed")
        return {name: getattr(self, name) for name in names}

    @property
    def going_on(self) -> str:
        """What an interrupted run has left, in words."""
        total = self.resumed + len(self.pending)
        said = f"going on with an interrupted run: {self.resumed:,} of {total:,} files are done"
        if self.outdated:
            said += f"; {self.outdated:,} more that it did are gone, or are read again"
        return said

    def batches(self, chosen: np.ndarray, size: int) -> Iterator[list[dict[str, Any]]]:
        """Files some at a time, each a row of the listing and, under `known`, the digests under
        which its content may be known.

        Args:
            chosen: int64: numbers of files, rising.
            size: most files of a batch.
        """
        for start in range(0, len(chosen), size):
            rows = self.listing.rows(chosen[start : start + size]).to_pylist()
            yield [row | {"known": self.contents.of_size(row["size"])} for row in rows]


def make_plan(
    listing: Listing, known: KnownRows, run: RunInfo, options: TagOptions, out: Path
) -> Plan:
    """Only what is new, changed or failed before is read.

    A file is unchanged where its size and its modification time (in microseconds) are those that
    were read, and that time was not too fresh then to be trusted. One that could not be seen this
    time keeps its published row, whatever that says. Of rows that failed those in parts stay until
    they are published; files that could not be reached are read again in any case. Which rows
    another setting reads again is said by `fftag.tagging.keys.LOAD`.

    Args:
        listing: of the source, now.
        known: what is there.
        run: the one that is to stand beside it.
        options: whether failed files are read again, and how many may be gone.
        out: where the rows go.

    Raises:
        FftagError: too many files are gone.
    """
    nothing = np.full(len(listing), NONE, np.int64)
    plan = Plan(listing, known, nothing, nothing.copy(), new=len(listing))
    if not known.files and not known.discarded:
        return plan
    with key_database(out) as keys:
        load_listed(keys, listing)
        load_known(keys, known, run, options.retry_failed)
        check_removals(keys, "the source", out, len(listing), options.max_removal_rate)
        keys.execute(MATCHES, {"agreeing": known.agreeing})
        keys.execute(KEPT)
        for batch in keys.sql("from kept").to_arrow_reader(ROWS_AT_ONCE):
            plan.kept[batch["ordinal"]] = batch["number"]
        if len(plan.pending):
            keys.execute(CONTENTS)
            plan.contents = _contents(keys)
            _keep(plan, keys.sql(RECOGNISED).to_arrow_table())
        _count(keys, plan)
    return plan


def with_made(plan: Plan, parts: Sequence[TagsRows], run: RunInfo, out: Path) -> Plan:
    """The plan with the rows that were made since in the place of what was to be read.

    Args:
        plan: as it was made.
        parts: that were written since.
        run: that wrote them.
        out: where the rows go.

    Raises:
        FftagError: a file has no row: nothing may be published.
    """
    if len(plan.pending):
        first = sum(file.rows for file in plan.known.files)
        known = plan.known.with_parts(parts)
        plan = replace(plan, known=known, kept=plan.kept.copy(), scored=plan.scored.copy())
        with key_database(out) as keys:
            load_listed(keys, plan.listing)
            load_known(keys, KnownRows(None, parts), run, False, first)
            keys.register("pending", pa.table({"ordinal": plan.pending}))
            keys.register("contents", plan.contents.table())
            _keep(plan, keys.sql(MADE).to_arrow_table())
    if missing := len(plan.pending):
        raise FftagError(
            f"{missing:,} of {len(plan.listing):,} files have no row: nothing was published; the "
            "same command reads them again"
        )
    return plan


def _keep(plan: Plan, rows: pa.Table) -> None:
    """Keeps rows: columns `ordinal`, `number` and `scored`."""
    ordinals = rows["ordinal"].to_numpy()
    plan.kept[ordinals] = rows["number"].to_numpy()
    plan.scored[ordinals] = pc.fill_null(rows["scored"], NONE).to_numpy()


def _contents(keys: duckdb.DuckDBPyConnection) -> Contents:
    found = keys.sql("from contents order by file_size").to_arrow_table()
    fixed = found["digest"].cast(pa.binary(32))
    digests = [
        np.frombuffer(chunk.buffers()[1], "V32", len(chunk), 32 * chunk.offset)
        for chunk in fixed.chunks
        if len(chunk)
    ]
    return Contents(
        found["file_size"].to_numpy(),
        np.concatenate([np.empty(0, "V32"), *digests]),
        found["number"].to_numpy(),
    )


def check_removals(
    keys: duckdb.DuckDBPyConnection, given: str, out: Path, listed: int, allowed: float
) -> None:
    """Sees that no more than a share of the files that have rows are gone.

    Args:
        keys: with `known` and `listed`.
        given: where the listed files are from, in words.
        out: where the rows go.
        listed: how many files there are.
        allowed: the largest share that may be gone.

    Raises:
        FftagError: more are gone.
    """
    known, there, unnamed = one_row(
        keys,
        """
        with images as (select distinct image from known where image is not null)
        select count(*), count(ordinal), (select count(*) from known where image is null)
        from images left join listed using (image)
        """,
    )
    # Of rows whose path is lost only so much is known: files without any other row may have them.
    lost = max(0, unnamed - (listed - there))
    gone, total = known - there + lost, known + unnamed
    if gone > allowed * total:
        raise FftagError(
            f"{gone:,} of the {total:,} files in {out} are gone from {given}, more than "
            f"the {allowed:.0%} that --max-removal-rate allows: is all of it there? "
            "Accept it with --max-removal-rate 1",
            TOO_MANY_FAILED,
        )


def _count(keys: duckdb.DuckDBPyConnection, plan: Plan) -> None:
    """Counts what is to be done with the files, and with the rows."""
    published = plan.known.published
    own = published.rows if published is not None else 0
    plan.unchanged = int(((plan.kept != NONE) & (plan.kept < own)).sum())
    plan.resumed = int((plan.kept >= own).sum())
    rows, named, there = one_row(
        keys,
        """
        select count(*) filter (not published), count(image) filter (published),
            (select count(*) from matches where published)
        from known
        """,
    )
    plan.outdated = rows - plan.resumed
    if plan.known.agreeing:
        plan.new, plan.removed = len(plan.listing) - there, named - there
        plan.changed, plan.retried = one_row(
            keys,
            """
            select count(*) filter (ok), count(*) filter (not ok)
            from (select ordinal, coalesce(ok, false) as ok from matches where published)
            anti join (from kept where number < $own) using (ordinal)
            """,
            {"own": own},
        )
