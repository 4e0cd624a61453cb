"""Photos decoded for whoever names them, by processes that may die."""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fftag.photos.decode import InputSpec
from fftag.photos.listing import escape
from fftag.photos.reader import ReadOptions
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.base import Source
from fftag.photos.sources.folder import Folder
from fftag.photos.workers import Batch, Crew, batches

Decoded = tuple[PhotoRecord, np.ndarray | None]
"""A photo's record, and its pixels: uint8 [height, width, 3], None where it failed."""


def decoded(
    paths: Sequence[Path], spec: InputSpec, options: ReadOptions
) -> Generator[Decoded, None, None]:
    """Decodes files, wherever they lie, in the order given.

    What `fftag.photos.workers.batches` says of photos that crash or hang holds here as well.

    Args:
        paths: of the files; symbolic links are followed.
        spec: the size to decode to.
        options: how to read; no more workers are started than there are batches.

    Raises:
        FftagError: decoding processes cannot be started.
    """
    anywhere = Folder(Path("/"), follow=True)
    names = [escape(str(path.absolute()).lstrip("/")) for path in paths]
    entries = [{"image": name, "size": None, "modified_ns": None} for name in names]
    size = options.batch_size
    plan = [(at, entries[at : at + size]) for at in range(0, len(entries), size)]
    if not plan:
        return
    few = replace(options, workers=min(options.workers, len(plan)))
    with closing(batches(anywhere, plan, spec, few)) as found:
        for batch in found:
            yield from _photos_of(batch)


def _photos_of(batch: Batch) -> Iterator[Decoded]:
    for photo, pixels in zip(batch.photos, batch.pixels, strict=False):
        yield photo, pixels.copy() if photo.has_pixels else None


class Decoders:
    """Photos of one source, decoded on demand by processes that stay.

    What `fftag.photos.workers.batches` says of photos that crash or hang holds here as well.
    Threads may ask at the same time; they are served one after the other.
    """

    def __init__(self, source: Source, spec: InputSpec, options: ReadOptions) -> None:
        """Starts nothing yet.

        Args:
            source: where the photos are.
            spec: the size to decode to.
            options: how to read; with at least one worker.
        """
        self._source, self._spec, self._options = source, spec, options
        self._crew: Crew | None = None
        self._turn = threading.Lock()

    def __call__(self, entries: Sequence[dict[str, Any]]) -> list[Decoded]:
        """Decodes photos.

        Args:
            entries: rows of a listing.

        Raises:
            FftagError: decoding processes cannot be started.
        """
        size = self._options.batch_size
        parts = [entries[at : at + size] for at in range(0, len(entries), size)]
        with self._turn:
            if self._crew is None:
                self._crew = Crew(self._source, self._spec, self._options, held=1)
            found: list[Decoded] = []
            try:
                for batch in self._crew.work(iter(enumerate(parts))):
                    found += _photos_of(batch)
            except BaseException:
                self._end()  # what it was at when it was stopped is not known
                raise
        return found

    def close(self) -> None:
        """Ends the processes; a further call starts new ones."""
        with self._turn:
            self._end()

    def _end(self) -> None:
        if self._crew is not None:
            self._crew.dismiss()
            self._crew = None
