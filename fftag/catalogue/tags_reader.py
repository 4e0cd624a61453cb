"""A tags file, opened to be loaded: its run, and its rows a few at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.errors import FftagError
from fftag.tagging.tags_file import RunInfo, open_tags_file, read_batches, read_run

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
        run: what it says of the run that wrote it.
        source: the name of what was tagged.
        damage: what was met in the rows that were asked for.
    """

    path: Path
    file: pq.ParquetFile
    run: RunInfo
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
        FftagError: it is missing, damaged, or no tags file of this format.
    """
    with open_tags_file(path) as file:
        run = read_run(path, file.schema_arrow)
        yield TagsFile(path, file, run, source or run.source)
