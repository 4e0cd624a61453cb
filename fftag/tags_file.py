"""A tags file, opened to be loaded: its run, and its rows a few at a time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fftag.errors import FftagError
from fftag.store import FORMAT_VERSION, METADATA_KEY, open_tags_file, read_batches

IMAGE_COLUMNS = [
    *("image", "status", "error", "is_apparel", "apparel_score", "width", "height", "format"),
    *("file_size", "modified_at", "taken_at", "content_sha256", "model_id", "tagged_at", "scores"),
]


@dataclass(frozen=True)
class TagsFile:
    """A tags file that is open.

    Attributes:
        path: of it.
        file: its Parquet.
        run: what it says of the run that wrote it (see `fftag.store.RunInfo`).
        source: the name of what was tagged.
        damage: what was met in the rows that were asked for.
    """

    path: Path
    file: pq.ParquetFile
    run: dict[str, Any]
    source: str
    damage: list[FftagError] = field(default_factory=list)

    def rows(self, columns: list[str]) -> pa.RecordBatchReader:
        """Some columns, a few rows at a time."""
        schema = pa.schema([self.file.schema_arrow.field(column) for column in columns])
        return pa.RecordBatchReader.from_batches(schema, self._batches(columns))

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from read_batches(self.path, self.file, columns)
        except FftagError as error:
            self.damage.append(error)  # whoever asks for the rows makes an error of its own of it
            raise


@contextmanager
def open_tags(path: Path, source: str | None = None) -> Iterator[TagsFile]:
    """Opens a tags file.

    Args:
        path: of it.
        source: the name of what was tagged; by default as it was given to `fftag tag`.

    Raises:
        FftagError: it is missing, is no tags file, or a newer fftag wrote it.
    """
    with open_tags_file(path) as file:
        try:
            run = json.loads((file.schema_arrow.metadata or {}).get(METADATA_KEY, b"null"))
        except ValueError as error:
            raise FftagError(f"{path} is no tags file: give one that `fftag tag` wrote") from error
        # A manifest carries metadata under the same key, but of no run.
        if not isinstance(run, dict) or "run_id" not in run:
            raise FftagError(f"{path} is no tags file: give one that `fftag tag` wrote")
        if run["format_version"] > FORMAT_VERSION:
            raise FftagError(f"{path} was written by a newer fftag: upgrade fftag to load it")
        if run["format_version"] < FORMAT_VERSION:
            raise FftagError(f"{path} was written by an older fftag: run `fftag tag` once more")
        names = file.schema_arrow.names
        absent = [column for column in (*IMAGE_COLUMNS, "tags") if column not in names]
        if absent:
            raise FftagError(f"{path} has lost its column {absent[0]}: tag again with `fftag tag`")
        yield TagsFile(path, file, run, source or str(run["source"]))
