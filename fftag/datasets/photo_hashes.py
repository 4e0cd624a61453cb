"""What a photo looks like, in a few bytes: perceptual hashes and a tiny colour picture."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from fftag.colours import to_rgb
from fftag.decode import Limits, upright
from fftag.image_formats import READABLE
from fftag.progress import progress

HASHES = (imagehash.phash, imagehash.dhash, imagehash.dhash_vertical)
BITS = 64 * len(HASHES)
GRID = 8
LEAST_CONTRAST = 4.0
"""Standard deviation of the grey values below which a photo's hashes say nothing of it."""
SIDE = 128
MOST_THREADS = 16


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
    """Reads every photo once, small, in several threads.

    Args:
        paths: photos.
        show: draw a progress bar.
    """
    known = np.zeros(len(paths), dtype=bool)
    bits = np.zeros((len(paths), len(HASHES)), dtype=np.uint64)
    pictures = np.zeros((len(paths), GRID * GRID * 3), dtype=np.float32)
    with (
        ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool,
        progress(len(paths), "looking for near duplicates", "photo", show=show) as bar,
    ):
        for position, found in enumerate(pool.map(_hash, paths)):
            if found is not None:
                known[position] = True
                bits[position], pictures[position] = found
            bar.update()
    return PhotoHashes(known, bits, pictures)


def _hash(path: Path) -> tuple[list[int], np.ndarray] | None:
    try:
        with Image.open(path, formats=READABLE) as file:
            if file.width * file.height > Limits().pixels:
                return None
            file.draft("RGB", (SIDE, SIDE))
            file.load()
            small = to_rgb(upright(file)).resize((SIDE, SIDE), Image.Resampling.BOX)
    except Exception:
        # Decoders raise many kinds of error. Who trains on the photo is told what is wrong.
        return None
    grey = small.convert("L")
    if np.asarray(grey, dtype=np.float32).std() < LEAST_CONTRAST:
        return None
    grid = small.resize((GRID, GRID), Image.Resampling.BOX)
    colours = np.asarray(grid, dtype=np.float32).ravel()
    colours = colours - colours.mean()
    colours /= max(float(np.linalg.norm(colours)), 1e-6)
    return [int(str(kind(grey)), 16) for kind in HASHES], colours
