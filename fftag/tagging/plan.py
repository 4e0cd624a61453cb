"""What a run has to read, and what it can keep of what is there before it."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag.photos.listing import Listing
from fftag.photos.sources.base import NETWORK
from fftag.tagging.previous import KnownRows

# A file that was written so shortly before it was read may have been written again within the
# same tick of its share's clock (two seconds on FAT): its time proves nothing, its content does.
SECONDS_TOO_FRESH = 10
# So many contents of one size are looked for; uncompressed pictures are all of one.
CONTENTS_OF_A_SIZE = 512
NONE = -1


@dataclass
class Contents:
    """Photos with scores, one for each content, sorted by size.

    Attributes:
        sizes: int64.
        digests: bytes of 64 hex digits.
        rows: int64, of the known rows.
    """

    sizes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    digests: np.ndarray = field(default_factory=lambda: np.empty(0, "S64"))
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def of_size(self, size: int | None) -> tuple[str, ...]:
        """The digests of photos of a size; none where they are too many to look for."""
        if size is None or not len(self.sizes):
            return ()
        low, high = np.searchsorted(self.sizes, [size, size + 1])
        if high - low > CONTENTS_OF_A_SIZE:
            return ()
        return tuple(digest.decode() for digest in self.digests[low:high])

    def row(self, size: int, digest: str) -> int:
        """The row of a photo with that content; -1 where there is none."""
        low, high = np.searchsorted(self.sizes, [size, size + 1])
        found = np.flatnonzero(self.digests[low:high] == digest.encode())
        return int(self.rows[low + found[0]]) if len(found) else NONE


@dataclass
class Plan:
    """What is to be done with each listed file.

    Attributes:
        kept: int64 [listed files]: the known row that stays, or -1 where the file is read.
        alike: int64 [listed files]: where the row that stays is of a photo that was recognised by
            its content, the known row with its scores; else -1.
        pending: int64: rows of the listing to read, rising.
        new, changed, retried, unchanged: how many files are which, beside what is published;
            `retried` failed there.
        removed: published rows whose file is no longer listed.
        resumed: how many of the rows that stay are in parts of an interrupted run.
        outdated: rows in those parts that do not stay.
        contents: photos whose content may turn up again.
    """

    kept: np.ndarray
    alike: np.ndarray
    pending: np.ndarray
    new: int
    changed: int
    retried: int
    unchanged: int
    removed: int
    resumed: int
    outdated: int
    contents: Contents


def make_plan(listing: Listing, known: KnownRows, retry_failed: bool = True) -> Plan:
    """Only what is new, changed or failed before is read.

    A file is unchanged where its size and its modification time (in microseconds) are those that
    were read, and that time was not too fresh then to be trusted. One that could not be seen this
    time keeps its row, whatever that says.

    Args:
        listing: of the source, now.
        known: rows that may stand beside those of this run.
        retry_failed: whether files whose published row failed are read again, though unchanged. A
            failure in a part stays until it is published; files that could not be reached are read
            again in any case.
    """
    if not known.rows:
        return _everything(listing)
    names = ("image", "status", "error", "file_size", "modified_at", "tagged_at", "width")
    rows = known.read(*names)
    numbers = np.arange(known.rows)
    published = numbers < known.published
    place = _numbers(pc.index_in(rows["image"], listing.files["image"]))
    listed = place != NONE
    place = np.where(listed, place, 0)
    ok = _is_true(pc.equal(rows["status"], "ok"))
    scored = ok & _is_true(pc.is_valid(rows["width"]))  # another is like a row that has scores
    reached = ~_is_true(pc.equal(rows["status"], "vanished"))
    reached &= ~_is_true(pc.starts_with(rows["error"], NETWORK))
    trusted = listed & _is_true(pc.is_valid(rows["status"])) & _unchanged(rows, listing, place)
    trusted &= ok | reached & ~(published & retry_failed)
    unseen = _is_true(pc.is_in(rows["image"], value_set=listing.unseen))
    trusted |= published & unseen & _is_true(pc.is_valid(rows["status"]))

    kept, alike = np.full((2, len(listing)), NONE, np.int64)
    whole = trusted & (scored | ~ok)
    kept[place[whole]] = numbers[whole]
    recognised = trusted & ~whole & (kept[place] == NONE)
    contents = _contents(known, rows, scored, listing, kept == NONE)
    for number, like in _alike(known, rows["file_size"], recognised, contents):
        kept[place[number]], alike[place[number]] = number, like

    there, succeeded = np.zeros((2, len(listing)), bool)
    there[place[listed & published]] = True
    succeeded[place[listed & published & ok]] = True
    stays = (kept != NONE) & (kept < known.published)
    resumed = int((kept >= known.published).sum())
    return Plan(
        kept=kept,
        alike=alike,
        pending=np.flatnonzero(kept == NONE),
        new=int((~there).sum()),
        changed=int((there & succeeded & ~stays).sum()),
        retried=int((there & ~succeeded & ~stays).sum()),
        unchanged=int(stays.sum()),
        removed=int((published & ~listed & _is_true(pc.is_valid(rows["image"]))).sum()),
        resumed=resumed,
        outdated=known.rows - known.published - resumed,
        contents=contents,
    )


def _everything(listing: Listing) -> Plan:
    nothing = np.full(len(listing), NONE, np.int64)
    files = np.arange(len(listing))
    return Plan(nothing, nothing, files, len(files), 0, 0, 0, 0, 0, 0, Contents())


def _unchanged(rows: pa.Table, listing: Listing, place: np.ndarray) -> np.ndarray:
    """bool: whether the file at each row's place in the listing is the one that was read."""
    size, modified, tagged = (
        _numbers(rows[name]) for name in ("file_size", "modified_at", "tagged_at")
    )
    if not len(listing):
        return np.zeros(len(size), bool)
    return (
        (size == _numbers(listing.files["size"])[place])
        & (modified == _numbers(listing.files["modified_ns"])[place] // 1000)
        & (modified != NONE)
        & (modified < tagged - SECONDS_TOO_FRESH * 1_000_000)
    )


def _contents(
    known: KnownRows, rows: pa.Table, scored: np.ndarray, listing: Listing, open_: np.ndarray
) -> Contents:
    """The contents that have the size of a file for which no row with scores was found."""
    if not open_.any():
        return Contents()
    sizes = pc.unique(listing.files["size"].take(pa.array(np.flatnonzero(open_))))
    numbers = np.flatnonzero(scored & _is_true(pc.is_in(rows["file_size"], value_set=sizes)))
    if not len(numbers):
        return Contents()
    chosen = pa.array(numbers)
    digests = known.read("content_sha256")["content_sha256"].take(chosen)
    distinct, first = np.unique(np.array(digests.to_pylist(), "S64"), return_index=True)
    size = rows["file_size"].take(chosen).to_numpy()[first]
    order = np.argsort(size, kind="stable")
    return Contents(size[order], distinct[order], numbers[first][order])


def _alike(
    known: KnownRows, sizes: pa.ChunkedArray, recognised: np.ndarray, contents: Contents
) -> list[tuple[int, int]]:
    """Recognised rows, each with the row that has its scores, where that is still there."""
    numbers = np.flatnonzero(recognised)
    if not len(numbers) or not len(contents.rows):
        return []
    chosen = pa.array(numbers)
    digests = known.read("content_sha256")["content_sha256"].take(chosen).to_pylist()
    found = map(contents.row, sizes.take(chosen).to_pylist(), digests)
    return [pair for pair in zip(numbers.tolist(), found, strict=True) if pair[1] != NONE]


def _is_true(values: pa.ChunkedArray) -> np.ndarray:
    """bool, with false for null."""
    return pc.fill_null(values, False).to_numpy()


def _numbers(values: pa.ChunkedArray) -> np.ndarray:
    """int64, with -1 for null."""
    return pc.fill_null(values.cast(pa.int64()), NONE).to_numpy()
