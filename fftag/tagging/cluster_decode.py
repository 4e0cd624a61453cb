"""A part's files -> its pixels and records, in a task of a cluster."""

import socket
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fftag.base.errors import FftagError
from fftag.photos.decode import InputSpec
from fftag.photos.pool import Pool, ReadOptions
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.base import Source
from fftag.tagging.cluster_parts import decoded


def decode_part(table: pa.Table, source: Source, spec: InputSpec, options: ReadOptions) -> pa.Table:
    """Decodes a part with a process that may crash or hang, as a run on one machine does.

    Args:
        table: one row of `fftag.tagging.cluster_parts.FILES`.
        source: where the photos are, by absolute paths.
        spec: the model's input.
        options: how to read.

    Returns:
        One row of `fftag.tagging.cluster_parts.DECODED`.

    Raises:
        FftagError: none of the files is to be found from this machine.
    """
    (row,) = table.to_pylist()
    files = row["files"]
    for file in files:
        file["known"] = tuple(file["known"])
    size = options.batch_size
    plan = [
        (number, files[start : start + size])
        for number, start in enumerate(range(0, len(files), size), row["first"])
    ]
    pixels = np.empty((len(files), spec.height, spec.width, 3), np.uint8)
    records: list[PhotoRecord] = []
    key = (source, spec, options)
    crew = _crew(*key)
    done = False
    try:
        for batch in crew.work(iter(plan)):
            count = len(batch.photos)
            pixels[len(records) : len(records) + count] = batch.pixels[:count]
            records += batch.photos
        done = True
    finally:
        if not done:  # it holds a half of this part
            crews.pop(key).dismiss()
    _check_seen(source, files, records)
    return decoded(row, pixels, records)


crews: dict[Any, Pool] = {}  # of this process: one, unless it serves several runs


def _crew(source: Source, spec: InputSpec, options: ReadOptions) -> Pool:
    """The decoding process of this process: it goes on from part to part, and ends with it."""
    key = (source, spec, options)
    if key not in crews:
        crews[key] = Pool(source, spec, options)
    return crews[key]


def _check_seen(
    source: Source, files: Sequence[dict[str, Any]], records: Sequence[PhotoRecord]
) -> None:
    """Tells a machine without the share from files that went away."""
    there = [
        record
        for file, record in zip(files, records, strict=True)
        if file["size"] is not None  # it was when it was listed
    ]
    if there and all(record.status == "vanished" for record in there):
        raise FftagError(
            f"{socket.gethostname()} finds none of {len(there):,} files, such as "
            f"{there[0].image!r} of {source.name}: every machine has to see the source under "
            "the same path"
        )
