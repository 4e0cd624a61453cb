"""Tags files of parts of a catalogue -> the one tags file of all of it."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.atomic import replacing, target_of
from fftag.common_run import common_run
from fftag.errors import FftagError
from fftag.merge import ROWS_PER_GROUP
from fftag.parts import locked
from fftag.progress import progress, say
from fftag.sources import Source
from fftag.store import TAGS, RunInfo, tags_schema
from fftag.tags_header import open_tags, read_header
from fftag.tags_in_order import in_order, in_row_groups
from fftag.validate import validate

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
    parts: Sequence[Path], out: Path, source: Source | None = None, include: tuple[str, ...] = ()
) -> Merged:
    """Joins tags files into one, in listing order, atomically; some rows at a time.

    Args:
        parts: tags files of one model and one way of tagging. Of shards, all have to be there.
        out: the tags file to write.
        source: what was tagged: each of its files has to have its row.
        include: as it was for the runs: glob patterns on file names.

    Raises:
        FftagError: a part is no valid tags file, is of another model, has a path that another one
            has too, or is a shard of which others are missing; a file of the source has no row; or
            `out` cannot be written.
    """
    started = time.monotonic()
    twice = [path for path, count in Counter(map(Path.resolve, parts)).items() if count > 1]
    if twice:
        raise FftagError(f"{twice[0]} is given twice: name each file once")
    run = common_run({path: _valid(path) for path in parts}, source)
    merged = Merged(str(out), len(parts), run.model_id)
    out = target_of(out)
    with locked(out), replacing(out, TAGS) as temporary:
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.merge-") as folder:
            _join(_narrowed(parts, run, Path(folder)), temporary, run, merged.statuses)
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
    with open_tags(path) as file:
        run = read_header(path, file.schema_arrow).run
    assert run is not None  # it is valid
    return run


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
        pq.ParquetWriter(target, tags_schema(run), compression="zstd") as writer,
    ):
        for table in in_row_groups(in_order(paths, run)):
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
