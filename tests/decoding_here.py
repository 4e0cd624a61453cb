"""Decoding in the process of the tests: for those that tag hundreds of times, or look on."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest

import fftag.tag
from fftag.decode import InputSpec
from fftag.reader import ReadOptions, read_photo
from fftag.sources import Source
from fftag.workers import Batch


@contextmanager
def decoding_here() -> Iterator[list[str]]:
    """`fftag.tag.tag` decodes in this process; the names of what it decodes are noted."""
    decoded: list[str] = []

    def batches(
        source: Source,
        plan: Iterable[tuple[int, Sequence[dict[str, Any]]]],
        spec: InputSpec,
        options: ReadOptions,
        held: int = 1,
    ) -> Generator[Batch]:
        with closing(source.reader()) as reader:
            for number, entries in plan:
                pixels = np.zeros((options.batch_size, spec.height, spec.width, 3), np.uint8)
                photos = []
                for place, entry in enumerate(entries):
                    photo, found = read_photo(reader, entry, spec, options.limits, options.exact)
                    pixels[place] = 0 if found is None else found
                    photos.append(photo)
                    if not photo["known"]:
                        decoded.append(entry["image"])
                yield Batch(number, pixels, photos)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fftag.tag, "batches", batches)
        yield decoded
