"""Tags files of parts of a catalogue -> the one tags file of all of it."""

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag import __version__
from fftag.base.atomic import replacing, target_of
from fftag.base.errors import FftagError
from fftag.base.progress import progress, say
from fftag.photos.listing import keys_of
from fftag.photos.shards import SETTING, Shard, missing
from fftag.photos.sources import Source
from fftag.tagging.parts import locked
from fftag.tagging.previous import SAME_SETTINGS, TagsRows, check_removals, open_published
from fftag.tagging.publish import ROWS_PER_GROUP
from fftag.tagging.tags_file import (
    TAGS,
    WRITTEN,
    RunInfo,
    open_tags_file,
    read_batches,
    read_run,
    tags_schema,
)
from fftag.tagging.validate import validate

MOST_NAMED = 8  # shards that are missing
ROWS_HELD = 131_072  # of all files together
FEWEST_HELD = 512  # of one file
KEY = "key"  # the path's bytes, by which rows are sorted
MOST_OPEN = 64  # files that are read side by side; more are joined in several passes


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
) -> Merged:
    """Joins tags files into one, in listing order, atomically; some rows at a time.

    Args:
        parts: tags files of one model and one way of tagging. Of shards, all have to be there.
        out: the tags file to write.
        source: what was tagged: each of its files has to have its row.
        include: as it was for the runs: glob patterns on file names.
        max_removal_rate: publish nothing when a larger share of the files in `out` has no row.

    Raises:
        FftagError: a part is no valid tags file, is of another model, has a path that another one
            has too, or is a shard of which others are missing; a file of the source has no row; or
            `out` cannot be written, or is no tags file, or too many of its files have no row.
    """
    started = time.monotonic()
    twice = [path for path, count in Counter(map(Path.resolve, parts)).items() if count > 1]
    if twice:
        raise FftagError(f"{twice[0]} is given twice: name each file once")
    run = _common_run({path: _valid(path) for path in parts}, source)
    merged = Merged(str(out), len(parts), run.model_id)
    out = target_of(out)
    with locked(out), replacing(out, TAGS) as temporary:
        published = open_published(out)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.merge-") as folder:
            _join(_narrowed(parts, run, Path(folder)), temporary, run, merged.statuses)
        if published is not None:
            images = TagsRows(temporary, run, merged.rows).images()
            check_removals(images, "the files merged", out, [published], max_removal_rate)
        if source is not None:
            _check_complete(temporary, source, include, (*parts, out))
    merged.seconds = time.monotonic() - started
    return merged


def _valid(path: Path) -> RunInfo:
    """What a tags file says of its run; it keeps to the format in every row."""
    found = validate(path)
    if not found.valid:
        raise FftagError(
            f"{path} is not valid ({found.broken()}): `fftag validate` says where; copy it again, "
            "or write it anew"
        )
    with open_tags_file(path) as file:
        return read_run(path, file.schema_arrow)


def _narrowed(paths: Sequence[Path], run: RunInfo, folder: Path) -> Sequence[Path]:
    """As many files with the same rows as can be read side by side."""
    level = 0
    while len(paths) > MOST_OPEN:
        joined = []
        for first in range(0, len(paths), MOST_OPEN):
            target = folder / f"{level}-{first}.parquet"
            _join(paths[first : first + MOST_OPEN], target, run, Counter())
            joined.append(target)
        paths, level = joined, level + 1
    return paths


def _join(paths: Sequence[Path], target: Path, run: RunInfo, statuses: Counter[str]) -> None:
    total = sum(pq.read_metadata(path).num_rows for path in paths)
    with (
        progress(total, "merging", "row", show=total > ROWS_PER_GROUP) as bar,
        pq.ParquetWriter(target, tags_schema(run), **WRITTEN) as writer,
    ):
        for table in _in_row_groups(_in_order(paths, run)):
            for pair in pc.value_counts(table["status"].cast(pa.string())).to_pylist():
                statuses[pair["values"]] += pair["counts"]
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
            bar.update(table.num_rows)


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
        if name != SETTING and all(run.settings.get(name) == value for run in runs.values())
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
        "format version": one.format_version == two.format_version,
        "label set": one.keys == two.keys,
        "thresholds": (one.groups, one.thresholds.tolist())
        == (two.groups, two.thresholds.tolist()),
        "apparel screen": one.screen == two.screen,
    }
    # The id of a model covers labels and thresholds: it tells of itself only where these agree.
    same["model"] = one.scores_id == two.scores_id and (
        one.model_id == two.model_id or not all(same.values())
    )
    for name in SAME_SETTINGS:
        same[name] = one.settings.get(name) == two.settings.get(name)
    return [name for name, equal in same.items() if not equal]


def _check_shards(runs: Mapping[Path, RunInfo]) -> None:
    given: dict[Path, str | None] = {path: run.settings.get(SETTING) for path, run in runs.items()}
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
    absent = missing(found)
    if absent:
        named = ", ".join(map(str, absent[:MOST_NAMED]))
        more = f" and {len(absent) - MOST_NAMED:,} more" if len(absent) > MOST_NAMED else ""
        raise FftagError(f"shards are missing: {named}{more}; tag them with --shard, and name them")


class _Ahead:
    """The rows of one file that come next."""

    def __init__(self, path: Path, file: pq.ParquetFile, schema: pa.Schema, rows_held: int) -> None:
        self._blocks = read_batches(path, file, rows=rows_held)
        self._schema = schema
        self.rows = schema.append(pa.field(KEY, pa.binary())).empty_table()
        self._refill()

    def _refill(self) -> None:
        """Holds the next rows, where there are any."""
        while not len(self.rows) and (block := next(self._blocks, None)) is not None:
            rows = pa.Table.from_batches([block]).cast(self._schema)
            self.rows = rows.append_column(KEY, keys_of(block.column("image")))

    @property
    def last(self) -> bytes:
        """The key of the last row held."""
        key: bytes = self.rows[KEY][-1].as_py()
        return key

    def take(self, limit: bytes) -> pa.Table:
        """The rows held that are not after a key."""
        count = pc.sum(pc.less_equal(self.rows[KEY], limit)).as_py()
        taken, self.rows = self.rows.slice(0, count), self.rows.slice(count)
        self._refill()
        return taken


def _in_order(paths: Sequence[Path], run: RunInfo) -> Iterator[pa.Table]:
    """All rows, sorted by the bytes of the path, some at a time.

    Args:
        paths: valid tags files.
        run: gives the schema; its metadata take the place of theirs.

    Raises:
        FftagError: a path stands in two files.
    """
    schema = tags_schema(run)
    status = schema.get_field_index("status")
    # Files have dictionaries of their own: their rows are joined as strings.
    plain = schema.set(status, pa.field("status", pa.string(), nullable=False))
    rows_held = max(FEWEST_HELD, ROWS_HELD // max(1, len(paths)))
    with ExitStack() as stack:
        files = [stack.enter_context(open_tags_file(path)) for path in paths]
        ahead = [
            _Ahead(path, file, plain, rows_held) for path, file in zip(paths, files, strict=True)
        ]
        while ahead := [one for one in ahead if len(one.rows)]:
            limit = min(one.last for one in ahead)  # all rows up to it are held
            rows = pa.concat_tables([one.take(limit) for one in ahead]).sort_by(KEY)
            _check_once(rows, paths)
            yield rows.drop_columns([KEY]).cast(schema)


def _in_row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, `ROWS_PER_GROUP` at a time."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(map(len, held)) >= ROWS_PER_GROUP:
            whole = pa.concat_tables(held)
            yield whole.slice(0, ROWS_PER_GROUP)
            held = [whole.slice(ROWS_PER_GROUP)]
    if sum(map(len, held)):
        yield pa.concat_tables(held)


def _check_once(rows: pa.Table, paths: Sequence[Path]) -> None:
    keys = rows[KEY]
    same = pc.equal(keys.slice(0, len(keys) - 1), keys.slice(1))
    if not pc.any(same).as_py():
        return
    image = rows["image"][pc.index(same, True).as_py()].as_py()
    holders = [str(path) for path in paths if _holds(path, image)]
    raise FftagError(
        f"{image!r} has a row in {' and in '.join(holders)}: files that overlap are not merged; "
        "leave one out, or tag shards with --shard"
    )


def _holds(path: Path, image: str) -> bool:
    with open_tags_file(path) as file:
        batches = read_batches(path, file, ["image"])
        return any(pc.any(pc.equal(batch["image"], image)).as_py() for batch in batches)
