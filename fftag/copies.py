"""Photos with the same bytes within one run: the first is scored, its copies cost a hash."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag.plan import CONTENTS_OF_A_SIZE
from fftag.store import SAME_AS

BYTES_HELD = 256 * 2**20
BYTES_BESIDE_SCORES = 600  # of one photo: its digest, its facts, its place in two dictionaries
FACTS = ("width", "height", "format", "taken_at", "error", "apparel_score")


class Copies:
    """What is known of photos by content, of as many as there is room for.

    Attributes:
        labels: how many scores a photo has.
    """

    def __init__(self, labels: int, bytes_held: int = BYTES_HELD) -> None:
        self.labels = labels
        self._room = bytes_held // (BYTES_BESIDE_SCORES + 4 * labels)
        self._found: dict[str, tuple[bytes, tuple[Any, ...]] | None] = {}
        self._of_size: dict[int, list[str]] = {}

    def is_first(self, photo: dict[str, Any]) -> bool:
        """Whether a photo is to be scored: it is the first with its content, or there is no room.

        Its scores are to be kept before a copy of it asks for them.

        Args:
            photo: its record, see `fftag.reader.read_photo`.
        """
        digest = photo["content_sha256"]
        if digest in self._found:
            return False
        if len(self._found) < self._room:
            self._found[digest] = None
        return True

    def keep(self, photo: dict[str, Any], scores: np.ndarray) -> None:
        """Holds the scores of a first photo, float32 [labels]."""
        digest = photo["content_sha256"]
        if digest in self._found:
            self._found[digest] = (scores.tobytes(), tuple(photo[fact] for fact in FACTS))
            self._of_size.setdefault(photo["file_size"], []).append(digest)

    def load(self, rows: pa.Table) -> None:
        """Holds what an interrupted run found: rows of one of its parts."""
        scored = pc.and_(pc.equal(rows["status"].cast(pa.string()), "ok"), rows[SAME_AS].is_null())
        rows = rows.filter(scored)
        facts = rows.select(["content_sha256", "file_size", *FACTS]).to_pylist()
        scores = rows["scores"].combine_chunks().flatten().to_numpy().reshape(-1, self.labels)
        for photo, found in zip(facts, scores, strict=True):
            if self.is_first(photo):
                self.keep(photo, found)

    def of_size(self, size: int | None) -> tuple[str, ...]:
        """The contents, as hex digests, of a size in bytes that have scores; none where they are
        too many to look for."""
        found = self._of_size.get(size, []) if size is not None else []
        return tuple(found) if len(found) <= CONTENTS_OF_A_SIZE else ()

    def take(self, photo: dict[str, Any]) -> np.ndarray | None:
        """The scores of a photo whose content was kept, else None; its record gets its facts."""
        found = self._found.get(photo["content_sha256"])
        if found is None:
            return None
        scores, facts = found
        photo |= dict(zip(FACTS, facts, strict=True))
        return np.frombuffer(scores, np.float32)
