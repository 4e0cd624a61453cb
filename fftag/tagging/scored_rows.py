"""Scored batches on their way to a part file."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from fftag.photos.record import PhotoRecord
from fftag.tagging.tags_file import RunInfo, rows


class ScoredRows:
    """Scored photos, batch by batch; one table of them all costs less than one of each batch.

    Attributes:
        batches: how many there are.
    """

    def __init__(self) -> None:
        self.batches = 0
        self._photos: list[PhotoRecord] = []
        self._scores: list[np.ndarray] = []
        self._tagged_at: list[datetime] = []

    def __len__(self) -> int:
        """How many photos there are."""
        return len(self._photos)

    def add(self, photos: Sequence[PhotoRecord], scores: np.ndarray) -> None:
        """Takes a batch that was scored now: records, and float32 [photos, labels]."""
        self.batches += 1
        self._photos += photos
        self._scores.append(scores)
        self._tagged_at += [datetime.now(UTC)] * len(photos)

    def table(self, run: RunInfo) -> pa.Table:
        """All of them, see `fftag.tagging.tags_file.rows`."""
        return rows(self._photos, np.concatenate(self._scores), run, self._tagged_at)
