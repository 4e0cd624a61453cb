"""The sorted list of what a source holds, as Arrow."""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag.base.errors import FftagError
from fftag.photos.companions import COMPANIONS, is_companion

ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\e|\\\\")
EMPTY_PART = "\\e"  # how an image spells it
SCHEMA = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("modified_ns", pa.int64()),
        pa.field("offset", pa.int64()),
    ]
)
ROWS_AT_ONCE = 65_536
SHARD_GIVEN = re.compile(r"([1-9]\d*)/([1-9]\d*)", re.ASCII)
SHARD_SETTING = "shard"  # its key among the settings of a tags file

# Why something that was seen is not listed.
NOT_INCLUDED = "files that --include does not name"
NO_PLAIN_PATH = "paths with . or .. or NUL in them"
GONE = "files and folders that went away while they were listed"
OF_OTHER_SHARDS = "files of other shards"
UNREAD = "folders and archives that could not be listed"


@dataclass(frozen=True)
class Selection:
    """Which files of a source are listed.

    Attributes:
        include: glob patterns on the file's name, such as `*.jpg`; none means every file.
        ignore: local files and folders to pass over: what the run itself writes, should it lie
            inside the source.
        shard: only the files of this one; None means all.
    """

    include: tuple[str, ...] = ()
    ignore: tuple[Path, ...] = ()
    shard: Shard | None = None

    def why_not(self, path: str) -> str | None:
        """Why a file is not listed, by its path alone; None where it is."""
        name = posixpath.basename(path)
        if self.include and not any(fnmatchcase(name, pattern) for pattern in self.include):
            return never_listed(path) or NOT_INCLUDED
        return never_listed(path)


def never_listed(path: str) -> str | None:
    """Why a file is not listed, whatever is asked for; None where it may be."""
    between = f"/{path}/"
    if not path or "\0" in path or "/./" in between or "/../" in between:
        return NO_PLAIN_PATH
    return COMPANIONS if is_companion(path) else None


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        files: one row per file, sorted by the bytes of its path, each path once: `image` (string:
            path relative to the source, `/`-separated, escaped by `escape`), `size` (int64, bytes;
            null where it is unknown), `modified_ns` (int64, since the epoch; null where it is
            unknown), `offset` (int64: where its bytes begin in an archive; null elsewhere).
        left_out: how much was seen and not listed, by reason, such as symbolic links.
        unread: folders and archives that could not be listed, or not to their end, spelled like
            images, each with the reason.
        unseen: string: images that are listed although they could not be looked at, or because
            they were before, in what is unread. What is published of them stays.
    """

    files: pa.Table
    left_out: dict[str, int]
    unread: dict[str, str] = field(default_factory=dict)
    unseen: pa.ChunkedArray = field(default_factory=lambda: pa.chunked_array([], pa.string()))

    def __len__(self) -> int:
        return int(self.files.num_rows)

    def rows(self, numbers: np.ndarray) -> pa.Table:
        """Some rows of `files`.

        Args:
            numbers: int64, rising.
        """
        if not len(numbers):
            return self.files.slice(0, 0)
        first, last = int(numbers[0]), int(numbers[-1])
        among = self.files.slice(first, last - first + 1)
        if len(among) == len(numbers):
            return among
        # Arrow joins all chunks of a table before it takes rows: of the whole one, all its files.
        return among.take(pa.array(numbers - first))

    def with_unseen(self, before: pa.Table) -> Listing:
        """Lists also what was listed before below what is unread now: it may still be there.

        Args:
            before: rows of a tags file: `image`, `file_size`, `modified_at`.
        """
        below = [pc.starts_with(before["image"], f"{folder}/") for folder in self.unread]
        if not below:
            return self
        unseen = functools.reduce(pc.or_, below)
        unseen = pc.and_not(unseen, pc.is_in(before["image"], value_set=self.files["image"]))
        rows = before.filter(unseen)
        added = pa.table(
            [
                rows["image"],
                rows["file_size"].cast(pa.int64()),
                pc.multiply(rows["modified_at"].cast(pa.int64()), 1000),
                pa.nulls(len(rows), pa.int64()),
            ],
            schema=SCHEMA,
        )
        both = pa.concat_tables([self.files, added])
        keys = [keys_of(chunk).cast(pa.large_binary()) for chunk in both["image"].chunks]
        keyed = both.set_column(0, _KEYED.field("key"), pa.chunked_array(keys, pa.large_binary()))
        unseen_images = pa.chunked_array(self.unseen.chunks + rows["image"].chunks, pa.string())
        return replace(self, files=_with_images(_sorted(keyed)), unseen=unseen_images)

    def digest(self) -> str:
        """SHA-256 over paths, sizes, modification times and offsets."""
        sha = hashlib.sha256()
        for start in range(0, len(self), ROWS_AT_ONCE):
            rows = self.files.slice(start, ROWS_AT_ONCE)
            texts = [pc.fill_null(column.cast(pa.string()), "?") for column in rows.columns]
            lines = pc.binary_join_element_wise(*texts, "\0").to_pylist()
            sha.update("\n".join([*lines, ""]).encode())
        return sha.hexdigest()


@dataclass
class ListingMaker:
    """Gathers a listing in Arrow as it comes; Python objects are held for some rows only.

    Attributes:
        selection: decides what is listed, whatever the source is.
        left_out, unread: see `Listing`.
    """

    selection: Selection = Selection()
    left_out: Counter[str] = field(default_factory=Counter)
    unread: dict[str, str] = field(default_factory=dict)
    _unseen: list[str] = field(default_factory=list)
    _rows: list[tuple[bytes, int | None, int | None, int | None]] = field(default_factory=list)
    _chunks: list[pa.Table] = field(default_factory=list)

    def add(
        self,
        path: str | bytes,
        size: int | None,
        modified_ns: int | None,
        offset: int | None = None,
    ) -> None:
        """Lists one file.

        Args:
            path: relative to the source, `/`-separated, as `os.fsdecode` gives it, or its bytes.
            size: in bytes, if known.
            modified_ns: since the epoch, if known.
            offset: of its bytes in an archive.
        """
        self._rows.append((os.fsencode(path), size, modified_ns, offset))
        if len(self._rows) >= ROWS_AT_ONCE:
            self._flush()

    def add_unseen(self, path: str) -> None:
        """Lists one file that is there, or may be, and cannot be looked at."""
        self.add(path, None, None)
        self._unseen.append(escape(path))

    def wants(self, path: str) -> bool:
        """Whether a file with this path is to be added; counts it where it is not."""
        reason = self.selection.why_not(path)
        if reason is not None:
            self.leave_out(reason)
        return reason is None

    def enters(self, folder: str) -> bool:
        """Whether a folder is to be looked into; counts it where it is not."""
        reason = never_listed(f"{folder}/any")
        if reason is not None:
            self.leave_out(reason)
        return reason is None

    def leave_out(self, reason: str) -> None:
        """Counts what is seen and not listed; `reason` is a plural noun."""
        self.left_out[reason] += 1

    def leave_unread(self, path: str, reason: str) -> None:
        """Counts and keeps a folder or an archive that cannot be listed to its end."""
        self.leave_out(UNREAD)
        self.unread[escape(path)] = reason

    def finish(self) -> Listing:
        """Sorts what was added. Of a path that was added twice, the later one counts."""
        self._flush()
        table = pa.concat_tables(self._chunks) if self._chunks else _KEYED.empty_table()
        self._chunks = []
        if not _sorted_once(table["key"]):
            table = _sorted(table)
            last = pa.concat_arrays([_differs_from_next(table["key"]), pa.array([True])])
            twice = table.num_rows - pc.sum(last).as_py()
            if twice:
                self.left_out["paths listed twice"] += twice
                table = table.filter(last)
        unseen = pa.chunked_array([self._unseen], pa.string())
        return Listing(_with_images(table), dict(self.left_out), self.unread, unseen)

    def _flush(self) -> None:
        if self._rows:
            columns = list(zip(*self._rows, strict=True))
            self._chunks.append(pa.table([list(column) for column in columns], schema=_KEYED))
            self._rows = []


_KEYED = pa.schema([pa.field("key", pa.large_binary(), nullable=False), *list(SCHEMA)[1:]])


def _sorted(keyed: pa.Table) -> pa.Table:
    order = pc.sort_indices(keyed["key"])  # stable: later ones come after earlier ones
    taken = [
        keyed.take(order.slice(start, ROWS_AT_ONCE)) for start in range(0, len(order), ROWS_AT_ONCE)
    ]
    return pa.concat_tables(taken)


def _with_images(keyed: pa.Table) -> pa.Table:
    images = [
        _as_images(keyed["key"].slice(start, ROWS_AT_ONCE))
        for start in range(0, keyed.num_rows, ROWS_AT_ONCE)
    ]
    return keyed.set_column(0, SCHEMA.field("image"), pa.chunked_array(images, pa.string()))


def _differs_from_next(keys: pa.ChunkedArray) -> pa.Array:
    return _one_array(pc.not_equal(keys.slice(0, len(keys) - 1), keys.slice(1)))


def _sorted_once(keys: pa.ChunkedArray) -> bool:
    """Whether the keys are sorted, each of them once, as those of many archives are."""
    if len(keys) < 2:
        return True
    ascending = pc.less(keys.slice(0, len(keys) - 1), keys.slice(1))
    return bool(pc.all(ascending).as_py())


def _one_array(values: pa.ChunkedArray) -> pa.Array:
    combined = values.combine_chunks()
    return combined if isinstance(combined, pa.Array) else combined.chunk(0)


def _as_images(keys: pa.ChunkedArray) -> pa.Array:
    """Paths as bytes -> escaped strings."""
    try:
        plain = _one_array(keys).cast(pa.string())
        if not pc.any(pc.match_substring_regex(plain, r"\\|//|^/|/$")).as_py():
            return plain
    except pa.ArrowInvalid:
        pass  # some name is no UTF-8, and has to be escaped
    return pa.array([escape(os.fsdecode(key)) for key in keys.to_pylist()], pa.string())


def escape(name: str) -> str:
    r"""A path as Python has it -> valid Unicode with no empty part, reversibly.

    A backslash becomes two; a byte that is no UTF-8 becomes `\xNN`; an empty part, which keys of
    object storage may have, becomes `\e`.

    >>> escape("caf\udce9.jpg")
    'caf\\xe9.jpg'
    >>> escape("spring//1.jpg")
    'spring/\\e/1.jpg'
    """
    if "\\" in name or any("\udc80" <= letter <= "\udcff" for letter in name):
        name = name.replace("\\", "\\\\")
        name = "".join(
            f"\\x{ord(letter) - 0xDC00:02x}" if "\udc80" <= letter <= "\udcff" else letter
            for letter in name
        )
    if "//" in name or name.startswith("/") or name.endswith("/"):
        name = "/".join(part or EMPTY_PART for part in name.split("/"))
    return name


def keys_of(images: pa.Array) -> pa.Array:
    """string [rows] -> binary [rows]: paths as the file system has them, by which they are
    sorted."""
    if not pc.any(pc.match_substring(images, "\\")).as_py():
        return images.cast(pa.binary())
    names = (None if image is None else unescape(image) for image in images.to_pylist())
    return pa.array([None if name is None else os.fsencode(name) for name in names], pa.binary())


def unescape(image: str) -> str:
    """The inverse of `escape`."""
    return ESCAPE.sub(_unescaped, image)


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return chr(0xDC00 + int(match[1], 16))
    return "" if match[0] == EMPTY_PART else "\\"


@dataclass(frozen=True)
class Shard:
    """One of `count` shares of a source.

    A file's shard depends on its path alone, so that a new file moves no other.

    Attributes:
        number: from 1.
        count: of how many.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads `2/8`.

        Raises:
            FftagError: it is no such text, or there is no such shard.
        """
        found = SHARD_GIVEN.fullmatch(text)
        if found is None or int(found[1]) > int(found[2]):
            raise FftagError(
                f"no shard {text!r}: --shard takes I/N, from 1/N to N/N, such as 2/8 for the "
                "second of eight"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, listing: Listing) -> Listing:
        """The files of a listing that are its own, in the same order."""
        images = listing.files["image"]
        own = np.zeros(len(listing), bool)
        for start in range(0, len(listing), ROWS_AT_ONCE):
            some = images.slice(start, ROWS_AT_ONCE).to_pylist()
            own[start : start + len(some)] = [
                shard_of(image, self.count) == self.number for image in some
            ]
        others = int(len(own) - own.sum())
        left_out = listing.left_out | ({OF_OTHER_SHARDS: others} if others else {})
        return replace(listing, files=listing.files.filter(pa.array(own)), left_out=left_out)


def shard_of(image: str, count: int) -> int:
    """The number, from 1, of a file's shard: the first 8 bytes of its path's SHA-256, big-endian,
    modulo the count."""
    return int.from_bytes(hashlib.sha256(image.encode()).digest()[:8], "big") % count + 1


def missing_shards(shards: Iterable[Shard]) -> list[Shard]:
    """Those that are not there of the shards that one of them is of."""
    there = set(shards)
    count = next(iter(there)).count
    return [shard for shard in (Shard(i + 1, count) for i in range(count)) if shard not in there]
