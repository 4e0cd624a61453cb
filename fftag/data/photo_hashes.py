"""What a photo looks like, in a few bytes: perceptual hashes and a tiny colour picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from fftag.base.machine import cores
from fftag.base.progress import progress
from fftag.photos.decode import InputSpec
from fftag.photos.pool import ReadOptions, decoded

HASHES = (imagehash.phash, imagehash.dhash, imagehash.dhash_vertical)
BITS = 64 * len(HASHES)
GRID = 8
LEAST_CONTRAST = 4.0
"""Standard deviation of the grey values below which a photo's hashes say nothing of it."""
SIDE = 128
BATCH = 32  # photos that a process decodes at a time


@dataclass(frozen=True)
class PhotoHashes:
    """Of each photo, in the order given.

    Attributes:
        known: bool [photos]: False for flat photos, which their hashes say nothing of, and for
            files that cannot be read; their other rows are zero.
        bits: uint64 [photos, 3]: the low frequencies of the cosine transform (`phash`), and where
            the photo grows brighter from left to right and from top to bottom (`dhash`).
        pictures: float32 [photos, 192]: the photo as 8 x 8 colours, less their mean, and of
            length 1, so that the product of two rows is their correlation.
    """

    known: np.ndarray
    bits: np.ndarray
    pictures: np.ndarray


def hash_photos(paths: Sequence[Path], show: bool = True) -> PhotoHashes:
    """Decodes every photo once, small.

    Args:
        paths: photos.
        show: draw a progress bar.
    """
    known = np.zeros(len(paths), dtype=bool)
    bits = np.zeros((len(paths), len(HASHES)), dtype=np.uint64)
    pictures = np.zeros((len(paths), GRID * GRID * 3), dtype=np.float32)
    photos = decoded(paths, InputSpec(SIDE, SIDE), ReadOptions(BATCH, cores()))
    with progress(len(paths), "looking for near duplicates", "photo", show=show) as bar:
        for position, (_, pixels) in enumerate(photos):
            if pixels is not None and (found := _hash(pixels)) is not None:
                known[position] = True
                bits[position], pictures[position] = found
            bar.update()
    return PhotoHashes(known, bits, pictures)


def _hash(pixels: np.ndarray) -> tuple[list[int], np.ndarray] | None:
    """Of uint8 [SIDE, SIDE, 3]; None of what is flat."""
    small = Image.fromarray(pixels)
    grey = small.convert("L")
    if np.asarray(grey, dtype=np.float32).std() < LEAST_CONTRAST:
        return None
    grid = small.resize((GRID, GRID), Image.Resampling.BOX)
    colours = np.asarray(grid, dtype=np.float32).ravel()
    colours = colours - colours.mean()
    colours /= max(float(np.linalg.norm(colours)), 1e-6)
    return [int(str(kind(grey)), 16) for kind in HASHES], colours
