"""The sorted list of what a source holds, as Arrow."""

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\\\")
SCHEMA = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("modified_ns", pa.int64()),
        pa.field("offset", pa.int64()),
    ]
)
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        files: one row per file, sorted by the bytes of its path, each path once: `image` (string:
            path relative to the source, `/`-separated, escaped by `escape`), `size` (int64, bytes;
            null where it is unknown), `modified_ns` (int64, since the epoch; null where it is
            unknown), `offset` (int64: where its bytes begin in an archive; null elsewhere).
        left_out: what was seen and not listed, by reason, such as symbolic links.
    """

    files: pa.Table
    left_out: dict[str, int]

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
    """Gathers a listing in Arrow as it comes; Python objects are held for some rows only."""

    left_out: Counter[str] = field(default_factory=Counter)
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

    def leave_out(self, reason: str) -> None:
        """Counts what is seen and not listed; `reason` is a plural noun."""
        self.left_out[reason] += 1

    def finish(self) -> Listing:
        """Sorts what was added. Of a path that was added twice, the later one counts."""
        self._flush()
        table = pa.concat_tables(self._chunks) if self._chunks else _KEYED.empty_table()
        self._chunks = []
        if not _sorted_once(table["key"]):
            order = pc.sort_indices(table["key"])  # stable: later ones come after earlier ones
            taken = [
                table.take(order.slice(start, ROWS_AT_ONCE))
                for start in range(0, len(order), ROWS_AT_ONCE)
            ]
            table = pa.concat_tables(taken)
            last = pa.concat_arrays([_differs_from_next(table["key"]), pa.array([True])])
            twice = table.num_rows - pc.sum(last).as_py()
            if twice:
                self.left_out["paths listed twice"] += twice
                table = table.filter(last)
        images = [
            _as_images(table["key"].slice(start, ROWS_AT_ONCE))
            for start in range(0, table.num_rows, ROWS_AT_ONCE)
        ]
        image = pa.chunked_array(images, pa.string())
        return Listing(table.set_column(0, SCHEMA.field("image"), image), dict(self.left_out))

    def _flush(self) -> None:
        if self._rows:
            columns = list(zip(*self._rows, strict=True))
            self._chunks.append(pa.table([list(column) for column in columns], schema=_KEYED))
            self._rows = []


_KEYED = pa.schema([pa.field("key", pa.large_binary(), nullable=False), *list(SCHEMA)[1:]])


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
        if not pc.any(pc.match_substring(plain, "\\")).as_py():
            return plain
    except pa.ArrowInvalid:
        pass  # some name is no UTF-8, and has to be escaped
    return pa.array([escape(os.fsdecode(key)) for key in keys.to_pylist()], pa.string())


def escape(name: str) -> str:
    r"""A file name as Python has it -> valid Unicode, reversibly.

    A backslash becomes two; a byte that is no UTF-8 becomes `\xNN`.

    >>> escape("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    if "\\" not in name and not any("\udc80" <= letter <= "\udcff" for letter in name):
        return name
    name = name.replace("\\", "\\\\")
    return "".join(
        f"\\x{ord(letter) - 0xDC00:02x}" if "\udc80" <= letter <= "\udcff" else letter
        for letter in name
    )


def keys_of(images: pa.Array) -> pa.Array:
    """string [rows] -> binary [rows]: paths as the file system has them, by which they are
    sorted."""
    if not pc.any(pc.match_substring(images, "\\")).as_py():
        return images.cast(pa.binary())
    names = (None if image is None else unescape(image) for image in images.to_pylist())
    return pa.array([None if name is None else os.fsencode(name) for name in names], pa.binary())


def unescape(image: str) -> str:
    """The inverse of `escape`."""
    return ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)) if match[1] else "\\", image)
