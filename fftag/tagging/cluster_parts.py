"""What travels in a cluster, as Arrow: files of a part; pixels and records; what became of it."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fftag.photos.decode import InputSpec
from fftag.photos.listing import SCHEMA as LISTED
from fftag.photos.pool import Batch
from fftag.photos.record import PhotoRecord

if TYPE_CHECKING:  # a process that decodes has no need of torch
    from fftag.tagging.work import Work

FILE = pa.struct(
    [
        *LISTED,
        # Digests of photos of its size whose scores are there already.
        pa.field("known", pa.list_(pa.string())),
    ]
)
RECORD = pa.struct(
    [
        *((name, pa.string()) for name in ("image", "status", "error", "format")),
        *((name, pa.int64()) for name in ("width", "height", "file_size")),
        ("modified_at", pa.timestamp("us", tz="UTC")),
        ("taken_at", pa.timestamp("us")),
        ("content_sha256", pa.string()),
        ("known", pa.bool_()),
        ("apparel_score", pa.float32()),
    ]
)
PLACE = [pa.field("first", pa.int64()), pa.field("stop", pa.int64())]
FILES = pa.schema([*PLACE, pa.field("files", pa.list_(FILE))])
DECODED = pa.schema(
    [*PLACE, pa.field("pixels", pa.large_binary()), pa.field("records", pa.list_(RECORD))]
)
WRITTEN = pa.schema(
    [
        *PLACE,
        pa.field("digest", pa.string()),
        pa.field("photos", pa.int64()),
        pa.field("recognised", pa.int64()),
        pa.field("unreached", pa.int64()),
        pa.field("error", pa.string()),  # of one of those
    ]
)


def ranges(missing: list[int], per_part: int) -> Iterator[tuple[int, int]]:
    """Batches that are missing -> the first of each part, and the one after its last.

    A part never goes over a multiple of `per_part`, so that a run that was interrupted has the
    parts of one that was not.

    Args:
        missing: numbers of batches, rising.
        per_part: most batches of a part.
    """
    first = 0
    for place, number in enumerate(missing, 1):
        last = place == len(missing)
        if last or missing[place] != number + 1 or (number + 1) % per_part == 0:
            yield missing[first], number + 1
            first = place


def files_of(work: "Work", first: int, stop: int) -> pa.Table:
    """One row of `FILES`: the batches `first` to `stop - 1`."""
    listed = work.listing.rows(work.pending(first, stop)).combine_chunks()
    known = [work.plan.contents.of_size(size) for size in listed["size"].to_pylist()]
    columns = [_whole(listed[field.name]) for field in LISTED]
    columns += [pa.array(known, FILE.field("known").type)]
    files = pa.StructArray.from_arrays(columns, fields=list(FILE))
    lists = pa.ListArray.from_arrays(pa.array([0, len(files)], pa.int32()), files)
    return pa.Table.from_arrays([pa.array([first]), pa.array([stop]), lists], schema=FILES)


def decoded(row: dict[str, Any], pixels: np.ndarray, records: list[PhotoRecord]) -> pa.Table:
    """One row of `DECODED`.

    Args:
        row: that of `FILES`.
        pixels: uint8 [photos, height, width, 3].
        records: of the photos.
    """
    offsets = pa.array([0, pixels.nbytes], pa.int64()).buffers()[1]
    whole = pa.py_buffer(np.ascontiguousarray(pixels))
    binary = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, whole])
    place = [pa.array([row[field.name]], field.type) for field in PLACE]
    found = [asdict(record) for record in records]
    return pa.Table.from_arrays(
        [*place, binary, pa.array([found], DECODED.field("records").type)], schema=DECODED
    )


def batches_of(table: pa.Table, spec: InputSpec, batch_size: int) -> Iterator[Batch]:
    """A row of `DECODED` -> its batches, numbered as planned; no pixel is copied."""
    first = table["first"][0].as_py()
    records = [PhotoRecord(**record) for record in table["records"][0].as_py()]
    shape = (len(records), spec.height, spec.width, 3)
    pixels = np.frombuffer(table["pixels"][0].as_buffer(), np.uint8).reshape(shape)
    for number, start in enumerate(range(0, len(records), batch_size), first):
        stop = start + batch_size
        yield Batch(number, pixels[start:stop], records[start:stop])


def _whole(values: pa.ChunkedArray) -> pa.Array:
    combined = values.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
