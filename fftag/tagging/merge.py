"""Tags files of parts of a catalogue -> the one tags file of all of it."""

import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag import __version__
from fftag.base.atomic import target_of
from fftag.base.errors import FftagError
from fftag.base.progress import progress, say
from fftag.photos.listing import SHARD_SETTING, Shard, escape, keys_of, missing_shards
from fftag.photos.sources.base import Source
from fftag.tagging.agreement import Agreement
from fftag.tagging.keys import key_database
from fftag.tagging.known import MOST_OPEN, TagsRows, open_published
from fftag.tagging.parts import locked
from fftag.tagging.plan import check_removals
from fftag.tagging.publish import ROWS_PER_GROUP, decided_rows, publishing, write_rows
from fftag.tagging.tags_file import ROWS_AT_ONCE, RunInfo, open_tags_file, read_run
from fftag.tagging.validate import validate

if TYPE_CHECKING:
    import duckdb

MOST_NAMED = 8  # shards that are missing


@dataclass
class Merged:
    """What was joined.

    Attributes:
        out: the file written.
        parts: how many files went into it.
        model_id: of them all.
        statuses: rows by status.
        seconds: how long it took.
    """

    out: str
    parts: int
    model_id: str
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return self.statuses.total()

    def counted(self, tables: Iterable[pa.Table], total: int) -> Iterator[pa.Table]:
        """The same tables; counts their rows, and shows how far they are."""
        with progress(total, "merging", "row", show=total > ROWS_PER_GROUP) as bar:
            for table in tables:
                for pair in pc.value_counts(table["status"].cast(pa.string())).to_pylist():
                    self.statuses[pair["values"]] += pair["counts"]
                bar.update(len(table))
                yield table

    def to_json(self) -> dict[str, Any]:
        return {
            "out": self.out,
            "parts": self.parts,
            "rows": self.rows,
            "statuses": dict(self.statuses.most_common()),
            "model_id": self.model_id,
            "seconds": round(self.seconds, 3),
        }

    def lines(self) -> list[str]:
        by_status = ", ".join(f"{count:,} {code}" for code, count in self.statuses.most_common())
        return [
            f"{self.rows:,} rows of {self.parts:,} files -> {self.out}",
            f"  {by_status or 'no rows'} ({self.seconds:,.1f} s)",
        ]


def merge(
    parts: Sequence[Path],
    out: Path,
    source: Source | None = None,
    include: tuple[str, ...] = (),
    max_removal_rate: float = 0.5,
    keep_previous: bool = True,
) -> Merged:
    """Joins tags files into one, in listing order, atomically; some rows at a time.

    Args:
        parts: tags files of one model and one way of tagging. Of shards, all have to be there.
        out: the tags file to write.
        source: what was tagged: each of its files has to have its row.
        include: as it was for the runs: glob patterns on file names.
        max_removal_rate: publish nothing when a larger share of the files in `out` has no row.
        keep_previous: what stood at `out` stays beside it.

    Raises:
        FftagError: a part is no valid tags file, is of another model, has a path that another one
            has too, or is a shard of which others are missing; a file of the source has no row; or
            `out` cannot be written, or is no tags file, or too many of its files have no row.
    """
    started = time.monotonic()
    twice = [path for path, count in Counter(map(Path.resolve, parts)).items() if count > 1]
    if twice:
        raise FftagError(f"{twice[0]} is given twice: name each file once")
    given = {path: _valid(path) for path in parts}
    run = _common_run({path: rows.run for path, rows in given.items() if rows.run}, source)
    merged = Merged(str(out), len(parts), run.model_id)
    out = target_of(out)
    with (
        locked(out),
        TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.merge-", suffix=".tmp") as folder,
    ):
        published = open_published(out)
        files = list(given.values())
        with key_database(out) as keys:
            _load_images(keys, files, published)
            order = _numbers_in_order(keys, files)
            check_removals(keys, "the files merged", out, len(order), max_removal_rate)
        files, order = _narrowed(files, order, run, Path(folder))
        tables = merged.counted(decided_rows(files, order, run), len(order))
        with publishing(out, tables, run, published, keep_previous) as written:
            if source is not None:
                _check_complete(written, source, include, (*parts, out))
    merged.seconds = time.monotonic() - started
    return merged


def _valid(path: Path) -> TagsRows:
    """A tags file that keeps to the format in every row."""
    found = validate(path)
    if not found.valid:
        raise FftagError(
            f"{path} is not valid ({found.broken()}): `fftag validate` says where; copy it again, "
            "or write it anew"
        )
    with open_tags_file(path) as file:
        run = read_run(path, file.schema_arrow)
        return TagsRows(path, run, file.metadata.num_rows)


def _check_complete(
    tags: Path, source: Source, include: tuple[str, ...], ignore: tuple[Path, ...]
) -> None:
    """Compares with what the source holds by now; what changed since is for the next run."""
    found = validate(tags, source, include, ignore)
    problems = {problem.rule: problem for problem in found.problems}
    missing = problems.get("source_extra")
    if missing is not None:
        raise FftagError(
            f"{missing.count:,} files of {source.name} have no row, such as "
            f"{missing.examples[0].removesuffix(' has no row')}: a part is missing, or they are "
            "new since (run `fftag tag` on each part once more); nothing was published"
        )
    for rule in ("source_missing", "source_size"):
        if rule in problems:
            problem = problems[rule]
            say(f"{problem.count:,} rows differ from the source: {problem.examples[0]}")


def _common_run(runs: Mapping[Path, RunInfo], source: Source | None) -> RunInfo:
    """What a file with the rows of several says of itself: what holds for all of them.

    Args:
        runs: of each file.
        source: what was tagged, where runs of several names for it (mounts) are joined.

    Raises:
        FftagError: they are of different models or ways of tagging, of different sources, or are
            not all the shards that there are.
    """
    (head, first), *others = runs.items()
    for path, run in others:
        differing = _differences(first, run)
        if differing:
            raise FftagError(
                f"{path} has another {' and '.join(differing)} than {head}: rows of different "
                "models or settings do not mix; tag its photos as the others were"
            )
        if run.source != first.source and source is None:
            raise FftagError(
                f"{path} tells of {run.source}, {head} of {first.source}: if these are two names "
                "of one source, add --source"
            )
    _check_shards(runs)
    settings = {
        name: value
        for name, value in first.settings.items()
        if name != SHARD_SETTING and all(run.settings.get(name) == value for run in runs.values())
    }
    return replace(
        first,
        run_id=uuid.uuid4().hex,
        fftag_version=__version__,
        source=source.name if source is not None else first.source,
        settings=settings,
    )


def _differences(one: RunInfo, two: RunInfo) -> list[str]:
    """What differs of that on which rows depend, in words a user knows."""
    same = {
        "label set": one.keys == two.keys,
        "thresholds": (one.groups, one.thresholds.tolist())
        == (two.groups, two.thresholds.tolist()),
        "apparel screen": one.screen == two.screen,
        "limits": one.settings.get("limits") == two.settings.get("limits"),
    }
    differing = [name for name, equal in same.items() if not equal]
    ours, others = (replace(Agreement.of(run), shard=None) for run in (one, two))
    differing += [name for name in ours.differences(others) if name not in differing]
    if ours.revisions != others.revisions:
        differing.append("revision of decoders")
    # The id of a model covers labels and thresholds: it tells of itself only where these agree.
    if one.model_id != two.model_id and not differing:
        differing.append("model")
    return differing


def _check_shards(runs: Mapping[Path, RunInfo]) -> None:
    given: dict[Path, str | None] = {
        path: run.settings.get(SHARD_SETTING) for path, run in runs.items()
    }
    if not any(given.values()):
        return
    found: dict[Shard, Path] = {}
    for path, text in given.items():
        if text is None:
            raise FftagError(f"{path} is no shard, as others are: name shards only, or none")
        shard = Shard.parse(text)
        if found and shard.count != next(iter(found)).count:
            other = next(iter(found))
            raise FftagError(f"{path} is shard {shard}, {found[other]} is {other}: one N for all")
        if shard in found:
            raise FftagError(f"{path} and {found[shard]} are both shard {shard}: leave one out")
        found[shard] = path
    absent = missing_shards(found)
    if absent:
        named = ", ".join(map(str, absent[:MOST_NAMED]))
        more = f" and {len(absent) - MOST_NAMED:,} more" if len(absent) > MOST_NAMED else ""
        raise FftagError(f"shards are missing: {named}{more}; tag them with --shard, and name them")


def _load_images(
    keys: "duckdb.DuckDBPyConnection", files: Sequence[TagsRows], published: TagsRows | None
) -> None:
    """Makes `listed(ordinal, image, key)` of files, whose rows are numbered through, and
    `known(image)` of what is published."""
    keys.execute("create temp table listed (ordinal bigint, image text, key blob)")
    keys.execute("create temp table known (image text)")
    first = 0
    for file in files:
        for table in file.images():
            of_chunks = [keys_of(chunk) for chunk in table["image"].chunks]
            table = table.append_column("key", pa.chunked_array(of_chunks, pa.binary()))
            numbers = pa.array(np.arange(first, first + len(table)))
            keys.register("batch", table.append_column("ordinal", numbers))
            keys.execute("insert into listed by name from batch")
            first += len(table)
    for table in published.images() if published is not None else ():
        keys.register("batch", table)
        keys.execute("insert into known by name from batch")


def _numbers_in_order(keys: "duckdb.DuckDBPyConnection", files: Sequence[TagsRows]) -> np.ndarray:
    """int64: the numbers of the rows of files, in the order of the bytes of their paths.

    Raises:
        FftagError: a path stands in two files.
    """
    order, at = np.empty(sum(file.rows for file in files), np.int64), 0
    last: bytes | None = None
    for batch in keys.sql("from listed order by key").to_arrow_reader(ROWS_AT_ONCE):
        paths = [last, *batch["key"].to_pylist()]
        for before, path in pairwise(paths):
            if before == path:
                raise _overlap(files, escape(os.fsdecode(path)))
        last = paths[-1]
        order[at : at + len(batch)] = batch["ordinal"]
        at += len(batch)
    return order


def _overlap(files: Sequence[TagsRows], image: str) -> FftagError:
    holders = [
        str(file.path)
        for file in files
        if any(pc.any(pc.equal(table["image"], image)).as_py() for table in file.images())
    ]
    return FftagError(
        f"{image!r} has a row in {' and in '.join(holders)}: files that overlap are not merged; "
        "leave one out, or tag shards with --shard"
    )


def _narrowed(
    files: list[TagsRows], order: np.ndarray, run: RunInfo, folder: Path
) -> tuple[list[TagsRows], np.ndarray]:
    """As many files with the same rows as can be read side by side, and their numbers."""
    while len(files) > MOST_OPEN:
        starts = np.cumsum([0, *(file.rows for file in files)])
        joined: list[TagsRows] = []
        renumbered = np.empty(len(order), np.int64)
        for first in range(0, len(files), MOST_OPEN):
            some = files[first : first + MOST_OPEN]
            low, high = starts[first], starts[first + len(some)]
            own = np.flatnonzero((order >= low) & (order < high))
            path = folder / f"{len(files)}-{first}.parquet"
            write_rows(path, decided_rows(some, order[own] - low, run), run)
            renumbered[own] = low + np.arange(len(own))
            joined.append(TagsRows(path, run, len(own)))
        files, order = joined, renumbered
    return files, order
