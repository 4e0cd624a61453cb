"""The tags file of the run before: what of it can stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.errors import FftagError
from fftag.shards import SETTING
from fftag.store import FORMAT_VERSION, METADATA_KEY, RunInfo

ROWS_AT_ONCE = 16_384
SAME_SETTINGS = ("precision", "limits", "decoder")


@dataclass(frozen=True)
class Previous:
    """A published tags file.

    Attributes:
        path: of the file.
        run: its metadata.
        rows: how many it has.
    """

    path: Path
    run: dict[str, Any]
    rows: int

    def read(self, *columns: str) -> pa.Table:
        """Some columns, whole."""
        return pq.read_table(self.path, columns=list(columns))

    def blocks(self, rows: int = ROWS_AT_ONCE) -> Iterator[pa.Table]:
        """All columns, so many rows at a time."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(rows):
                yield pa.Table.from_batches([batch])

    def differences(self, run: RunInfo) -> list[str]:
        """Why its scores cannot stand beside those of another run; nothing where they can."""
        found = []
        if self.run.get("format_version") != FORMAT_VERSION:
            found.append("format version")
        if self.run.get("scores_id") != run.scores_id:
            found.append("model")
        # Embeddings are not stored: what another screen says, only a second pass can tell.
        if run.screen and (self.run.get("screen") or {}).get("id") != run.screen["id"]:
            found.append("apparel screen")
        there = self.run.get("settings", {})
        found += [name for name in SAME_SETTINGS if there.get(name) != run.settings.get(name)]
        return found

    def check_shard(self, run: RunInfo) -> None:
        """Sees that a run is of the same share of the source.

        Raises:
            FftagError: it is of another shard, or one is of a shard and the other of the whole.
        """
        there, asked = (
            f"shard {shard}" if shard else "the whole source"
            for shard in (self.run.get("settings", {}).get(SETTING), run.settings.get(SETTING))
        )
        if there != asked:
            raise FftagError(
                f"{self.path} has the rows of {there}, not of {asked}: give each shard an --out "
                "of its own, or write this one anew with --force"
            )

    def tags_differ(self, run: RunInfo) -> bool:
        """Whether tags and verdicts have to be decided anew, from the scores that are there."""
        return bool(
            self.run.get("thresholds") != list(run.thresholds)
            or self.run.get("model_id") != run.model_id
        )


def open_previous(path: Path) -> Previous | None:
    """The tags file at a path, or None where there is nothing.

    Raises:
        FftagError: what is there is no tags file.
    """
    if not path.exists():
        return None
    try:
        with pq.ParquetFile(path) as file:
            content = json.loads((file.schema_arrow.metadata or {})[METADATA_KEY])
            return Previous(path, content, file.metadata.num_rows)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise FftagError(
            f"{path} is no tags file that can be read: move it away, choose another --out, or "
            "write it anew with --force"
        ) from error


def published_run(path: Path) -> str | None:
    """The id of the run whose rows are at a path; None for nothing, or no tags file."""
    try:
        previous = open_previous(path)
    except FftagError:
        return None
    return previous.run["run_id"] if previous else None


class Rows:
    """Rows of a tags file, asked for in rising order; some thousand are held at a time."""

    def __init__(self, previous: Previous) -> None:
        self._blocks = previous.blocks()
        self._start = 0
        self._held = next(self._blocks, pa.table({}))  # the file of a shard may have no rows

    def take(self, rows: np.ndarray) -> pa.Table | None:
        """The rows of these numbers, int64 and rising; None for no numbers."""
        if not len(rows):
            return None
        found = []
        position = 0
        while position < len(rows):
            if rows[position] >= self._start + self._held.num_rows:
                self._start += self._held.num_rows
                self._held = next(self._blocks)
                continue
            stop = int(np.searchsorted(rows, self._start + self._held.num_rows))
            found.append(self._held.take(pa.array(rows[position:stop] - self._start)))
            position = stop
        return pa.concat_tables(found, promote_options="default")
