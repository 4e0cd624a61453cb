"""Photos of the same scene: found by perceptual hashes, and by a model's embeddings."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
import torch
from PIL import Image, ImageOps
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fftag.bundle import Bundle
from fftag.decode import Failure, Limits, decode
from fftag.predict import Predictor, choose_device, choose_precision
from fftag.progress import progress

DISTANCE = 18
SIMILARITY = 0.98
LEAST_CONTRAST = 4.0
"""Standard deviation of the grey values below which a photo's hashes say nothing of it."""
BLOCK = 1024
SIDE = 256
BATCH = 64

Pairs = np.ndarray
"""int64 [pairs, 2]: positions of two photos, the smaller first."""


def near_duplicates(paths: Sequence[Path], distance: int = DISTANCE) -> Pairs:
    """Pairs whose DCT hash and difference hash together differ in few bits.

    One hash alone takes two people before a plain wall for one scene; that two hashes of different
    kinds agree by chance is rare. (imagehash's `phash` and `dhash`, 64 bits each.) Photos with
    next to no contrast, and files that cannot be read, pair with nothing.

    Args:
        paths: photos.
        distance: bits, of 128, in which the two hashes may differ.
    """
    hashes = np.zeros((len(paths), 2), dtype=np.uint64)
    known = np.zeros(len(paths), dtype=bool)
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress(len(paths), "looking for near duplicates", "photo") as bar,
    ):
        for position, found in enumerate(pool.map(_hashes, paths)):
            if found is not None:
                hashes[position], known[position] = found, True
            bar.update()
    positions = np.flatnonzero(known)
    return positions[close_pairs(hashes[positions], distance)]


def close_pairs(hashes: np.ndarray, distance: int) -> Pairs:
    """All pairs of rows that differ in at most `distance` bits over all columns.

    Args:
        hashes: uint64 [photos, kinds].
        distance: in bits.
    """
    found = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(hashes), BLOCK):
        block, rest = hashes[start : start + BLOCK], hashes[start:]
        bits = np.zeros((len(block), len(rest)), dtype=np.uint16)
        for kind in range(hashes.shape[1]):
            bits += np.bitwise_count(block[:, None, kind] ^ rest[None, :, kind])
        found.append(np.argwhere(np.triu(bits <= distance, k=1)) + start)
    return np.concatenate(found)


def similar_embeddings(
    paths: Sequence[Path], bundle: Bundle, similarity: float = SIMILARITY, device: str = "auto"
) -> Pairs:
    """Pairs whose embeddings have at least a cosine similarity; what cannot be read has none.

    Args:
        paths: photos.
        bundle: the model whose embeddings are compared.
        similarity: cosine, to 1.
        device: see `fftag.predict.choose_device`.
    """
    on = choose_device(device)
    predictor = Predictor(bundle.build(), bundle.config.input, on, choose_precision("auto", on))
    parts, positions = [], []
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress(len(paths), "embedding photos", "photo") as bar,
    ):
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            decoded = list(pool.map(lambda path: _pixels(path, bundle), batch))
            there = [offset for offset, pixels in enumerate(decoded) if pixels is not None]
            if there:
                stacked = np.stack([decoded[offset] for offset in there])  # type: ignore[misc]
                parts.append(predictor(torch.from_numpy(stacked)).embeddings)
                positions += [start + offset for offset in there]
            bar.update(len(batch))
    if not parts:
        return np.empty((0, 2), dtype=np.int64)
    vectors = np.concatenate(parts)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    found = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(vectors), BLOCK):
        near = vectors[start : start + BLOCK] @ vectors[start:].T >= similarity
        found.append(np.argwhere(np.triu(near, k=1)) + start)
    return np.array(positions, dtype=np.int64)[np.concatenate(found)]


def join_groups(groups: np.ndarray, pairs: Iterable[Pairs]) -> np.ndarray:
    """Groups of which every pair is one: int64 [photos], numbered 0, 1, ... in the order met.

    Args:
        groups: int64 [photos], as `fftag.datasets.splits.duplicate_groups` gives them.
        pairs: near duplicates.
    """
    count = int(groups.max(initial=-1)) + 1
    edges = groups[np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs])]
    links = coo_array((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), (count, count))
    _, component = connected_components(links, directed=False)
    joined = component[groups]
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[inverse]


def _hashes(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as file:
            file.draft("L", (SIDE, SIDE))
            upright = ImageOps.exif_transpose(file)
            grey = upright.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except Exception:
        # Decoders raise many kinds of error. Who trains on the photo is told what is wrong.
        return None
    if np.asarray(grey, dtype=np.float32).std() < LEAST_CONTRAST:
        return None
    return int(str(imagehash.phash(grey)), 16), int(str(imagehash.dhash(grey)), 16)


def _pixels(path: Path, bundle: Bundle) -> np.ndarray | None:
    try:
        result = decode(path.read_bytes(), bundle.config.input, Limits())
    except OSError:
        return None
    return None if isinstance(result, Failure) else np.asarray(result.pixels)
