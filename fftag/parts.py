"""A tagging run on disk: finished shards are part files; resuming is listing them."""

import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fftag.atomic import replacing, write_text
from fftag.errors import FftagError
from fftag.store import RunInfo, tags_schema

ROWS_PER_GROUP = 122_880  # DuckDB scans row groups in parallel, and its own are this large
RECORD = "run.json"

# A reading worker may outlive a killed run by some seconds. It must not hold the run's lock, which
# a forked process shares with its parent, so each forked process closes its copies.
_locks: set[int] = set()


def _close_locks() -> None:
    while _locks:
        os.close(_locks.pop())


os.register_at_fork(after_in_child=_close_locks)


class PartStore:
    """The part files of one run into one output, `<out>.parts/` beside it.

    Attributes:
        run: what the run records of itself; after a resume, with the id of the run gone on with.
    """

    def __init__(
        self, out: Path, run: RunInfo, listing_digest: str, files: int, shard: int
    ) -> None:
        """Describes the run; nothing is written before `open`.

        Args:
            out: where the finished tags file goes.
            run: who writes.
            listing_digest: of the files listed.
            files: how many files were listed.
            shard: files per part.
        """
        self.out = out
        self.run = run
        self.folder = out.with_name(out.name + ".parts")
        self.files = files
        self.shard = shard
        self.listing_digest = listing_digest

    @property
    def shards(self) -> int:
        """How many parts make the whole."""
        return math.ceil(self.files / self.shard)

    def range_of(self, shard: int) -> range:
        """Which rows of the listing a shard holds."""
        return range(shard * self.shard, min((shard + 1) * self.shard, self.files))

    @contextmanager
    def open(self, restart: bool = False) -> Iterator[None]:
        """Locks the output for this process, and goes on with an interrupted run of the same kind.

        Args:
            restart: throw away what an interrupted run left.

        Raises:
            FftagError: the output cannot be written, another process writes it, or what is there
                is of a run with another listing, model or settings.
        """
        if self.out.is_dir():
            raise FftagError(f"{self.out} is a folder: --out takes the name of a Parquet file")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise FftagError(
                f"cannot write {error.filename or self.out}: {error.strerror}"
            ) from error
        _locks.add(descriptor)
        try:
            self._lock(descriptor)
            if restart:
                self._clear()
            self._take_up_or_begin()
            yield
        finally:
            _locks.discard(descriptor)
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        """Locks the folder until the descriptor is closed, at the latest when the process dies."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A run that ended in between took the folder away: the lock is on nothing.
            held = self.folder.exists() and self.folder.stat().st_ino == os.fstat(descriptor).st_ino
        except BlockingIOError:
            held = False
        if not held:
            raise FftagError(
                f"another fftag is writing {self.out}: wait for it, or choose another --out"
            )

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()

    def _take_up_or_begin(self) -> None:
        record = self.folder / RECORD
        identity = self._identity()
        if not any(self.folder.glob("part-*.parquet")):
            write_text(record, json.dumps({**identity, "run_id": self.run.run_id}, indent=1))
            return
        there = json.loads(record.read_text(encoding="utf-8"))
        differing = [name for name, value in identity.items() if there.get(name) != value]
        if differing:
            raise FftagError(
                f"an interrupted run into {self.out} had another {' and '.join(differing)}: "
                "run it again as it was, or add --restart to throw away what it did"
            )
        self.run = replace(self.run, run_id=there["run_id"])

    def _identity(self) -> dict[str, Any]:
        """What must be the same for parts of two processes to be parts of one result."""
        return {
            "listing": self.listing_digest,
            "model": self.run.model_id,
            "label set": list(self.run.labels),
            "thresholds": list(self.run.thresholds),
            "settings": self.run.settings,
            "shard size": self.shard,
            "format": self.run.format_version,
        }

    def _path(self, shard: int) -> Path:
        return self.folder / f"part-{shard:06d}.parquet"

    def finished(self) -> set[int]:
        """The shards whose part is there whole; a part that is not is removed."""
        done = set()
        for shard in range(self.shards):
            path = self._path(shard)
            if not path.exists():
                continue
            try:
                whole = pq.read_metadata(path).num_rows == len(self.range_of(shard))
            except (pa.ArrowException, OSError):
                whole = False
            if whole:
                done.add(shard)
            else:
                path.unlink()
        return done

    def write(self, shard: int, table: pa.Table) -> None:
        """Publishes one finished part.

        Raises:
            FftagError: it has not a row for each file of its shard, or cannot be written.
        """
        if table.num_rows != len(self.range_of(shard)):
            raise FftagError(
                f"part {shard} has {table.num_rows} rows for {len(self.range_of(shard))} files"
            )
        with replacing(self._path(shard)) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def discard(self, shards: Iterable[int]) -> None:
        """Removes parts, so that their files are read again by the next run."""
        for shard in shards:
            self._path(shard).unlink()

    def tables(self) -> Iterator[pa.Table]:
        """The parts, in listing order, one in memory at a time."""
        for shard in range(self.shards):
            yield pq.read_table(self._path(shard), memory_map=False)

    def publish(self) -> None:
        """Joins the parts into the output, atomically, and removes them.

        Raises:
            FftagError: rows are missing, or the output cannot be written.
        """
        with replacing(self.out) as temporary:
            written = 0
            schema = tags_schema(self.run)
            with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
                waiting: list[pa.Table] = []
                for table in self.tables():
                    waiting.append(table.cast(schema))
                    written += table.num_rows
                    if sum(part.num_rows for part in waiting) >= ROWS_PER_GROUP:
                        writer.write_table(pa.concat_tables(waiting), row_group_size=ROWS_PER_GROUP)
                        waiting = []
                if waiting:
                    writer.write_table(pa.concat_tables(waiting), row_group_size=ROWS_PER_GROUP)
            if written != self.files:
                raise FftagError(f"{written} rows for {self.files} files: nothing was published")
        shutil.rmtree(self.folder)
