"""What a run has to read, and what it can keep of the run before."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag.listing import Listing
from fftag.previous import Previous
from fftag.sources.base import NETWORK

# A file that was written so shortly before it was read may have been written again within the
# same tick of its share's clock (two seconds on FAT): its time proves nothing, its content does.
SECONDS_TOO_FRESH = 10
# So many contents of one size are looked for; uncompressed pictures are all of one.
CONTENTS_OF_A_SIZE = 512
NONE = -1


@dataclass
class Plan:
    """What is to be done with each listed file.

    Attributes:
        before: int64 [listed files]: the row of the same path in the tags file before, or -1.
        kept: bool [listed files]: that row stays as it is.
        pending: int64: rows of the listing to read, rising.
        new, changed, retried, unchanged: how many files are which; `retried` failed before.
        removed: rows before whose file is no longer listed.
        known: the photos before whose content may turn up again.
    """

    before: np.ndarray
    kept: np.ndarray
    pending: np.ndarray
    new: int
    changed: int
    retried: int
    removed: int
    known: "Known"

    @property
    def unchanged(self) -> int:
        return int(self.kept.sum())


@dataclass
class Known:
    """Photos with scores, one for each content, sorted by size.

    Attributes:
        sizes: int64.
        digests: bytes of 64 hex digits.
        rows: int64, of the tags file before.
    """

    sizes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    digests: np.ndarray = field(default_factory=lambda: np.empty(0, "S64"))
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def of_size(self, size: int | None) -> tuple[str, ...]:
        """The digests of known photos of a size; none where they are too many to look for."""
        if size is None or not len(self.sizes):
            return ()
        low, high = np.searchsorted(self.sizes, [size, size + 1])
        if high - low > CONTENTS_OF_A_SIZE:
            return ()
        return tuple(digest.decode() for digest in self.digests[low:high])

    def row(self, size: int, digest: str) -> int | None:
        """The row of a known photo; None where it is not one."""
        low, high = np.searchsorted(self.sizes, [size, size + 1])
        found = np.flatnonzero(self.digests[low:high] == digest.encode())
        return int(self.rows[low + found[0]]) if len(found) else None


def plan_all(listing: Listing) -> Plan:
    """Everything is read."""
    count = len(listing)
    return Plan(
        before=np.full(count, NONE, np.int64),
        kept=np.zeros(count, bool),
        pending=np.arange(count),
        new=count,
        changed=0,
        retried=0,
        removed=0,
        known=Known(),
    )


def plan_changes(listing: Listing, previous: Previous, retry_failed: bool = True) -> Plan:
    """Only what is new, changed or failed before is read.

    A file is unchanged where its size and its modification time (in microseconds) are those that
    were read, and that time was not too fresh then to be trusted. One that could not be seen this
    time keeps its row, whatever that says.

    Args:
        listing: of the source, now.
        previous: the tags file before.
        retry_failed: whether files that failed and are unchanged are read again; those that could
            not be reached are in any case.
    """
    rows = previous.read("image", "status", "error", "file_size", "modified_at", "tagged_at")
    before = _numbers(pc.index_in(listing.files["image"], rows["image"]))
    there = before != NONE
    place = np.where(there, before, 0)
    if not previous.rows:
        return plan_all(listing)
    size, modified, tagged = (
        _numbers(rows[name].cast(pa.int64()))[place]
        for name in ("file_size", "modified_at", "tagged_at")
    )
    status = rows["status"].cast(pa.string())
    ok = pc.equal(status, "ok").to_numpy()[place]
    unreached = pc.or_(
        pc.equal(status, "vanished"), pc.fill_null(pc.starts_with(rows["error"], NETWORK), False)
    ).to_numpy()[place]
    same = (
        (size == _numbers(listing.files["size"]))
        & (modified == _numbers(listing.files["modified_ns"]) // 1000)
        & (modified != NONE)
        & (modified < tagged - SECONDS_TOO_FRESH * 1_000_000)
    )
    unseen = pc.is_in(listing.files["image"], value_set=listing.unseen).to_numpy()
    kept = there & (unseen | (same & (ok | ((not retry_failed) & ~unreached))))
    retried = there & ~ok & ~kept
    pending = np.flatnonzero(~kept)
    return Plan(
        before=before,
        kept=kept,
        pending=pending,
        new=int((~there).sum()),
        changed=int((there & ~kept & ~retried).sum()),
        retried=int(retried.sum()),
        removed=previous.rows - int(there.sum()),
        known=_known(previous, rows, listing, pending),
    )


def _known(previous: Previous, rows: pa.Table, listing: Listing, pending: np.ndarray) -> Known:
    if not len(pending):
        return Known()
    sizes = pc.unique(listing.files["size"].take(pa.array(pending)))
    usable = pc.and_(
        pc.equal(rows["status"].cast(pa.string()), "ok"),
        pc.is_in(rows["file_size"], value_set=sizes),
    )
    numbers = np.flatnonzero(usable.to_numpy())
    if not len(numbers):
        return Known()
    chosen = pa.array(numbers)
    digests = previous.read("content_sha256")["content_sha256"].take(chosen)
    distinct, first = np.unique(np.array(digests.to_pylist(), "S64"), return_index=True)
    size = rows["file_size"].take(chosen).to_numpy()[first]
    order = np.argsort(size, kind="stable")
    return Known(size[order], distinct[order], numbers[first][order])


def _numbers(values: pa.ChunkedArray) -> np.ndarray:
    """int64, with -1 for null."""
    return pc.fill_null(values.cast(pa.int64()), NONE).to_numpy()
