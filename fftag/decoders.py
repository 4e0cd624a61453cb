"""Decoding processes that stay, for whoever asks for a few photos again and again."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from fftag.decode import InputSpec
from fftag.reader import ReadOptions
from fftag.sources.base import Source
from fftag.workers import Crew


class Decoders:
    """Photos of one source, decoded on demand.

    What `fftag.workers.batches` says of photos that crash or hang holds here as well. Threads may
    ask at the same time; they are served one after the other.
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

    def __call__(
        self, entries: Sequence[dict[str, Any]]
    ) -> list[tuple[dict[str, Any], np.ndarray | None]]:
        """Decodes photos.

        Args:
            entries: rows of a listing.

        Returns:
            Of each photo its record (see `fftag.reader.read_photo`), and its pixels: uint8
            [height, width, 3], or None where it failed.

        Raises:
            FftagError: decoding processes cannot be started.
        """
        size = self._options.batch_size
        parts = [entries[at : at + size] for at in range(0, len(entries), size)]
        with self._turn:
            if self._crew is None:
                self._crew = Crew(self._source, self._spec, self._options, held=1)
            found: list[tuple[dict[str, Any], np.ndarray | None]] = []
            try:
                for batch in self._crew.work(iter(enumerate(parts))):
                    for photo, pixels in zip(batch.photos, batch.pixels, strict=False):
                        failed = photo["status"] != "ok"
                        found.append((photo, None if failed else pixels.copy()))
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
