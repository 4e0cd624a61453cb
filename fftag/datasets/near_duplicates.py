"""Photos of the same scene: found by perceptual hashes, and by a model's embeddings."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fftag.bundle import Bundle
from fftag.datasets.photo_hashes import LEAST_CONTRAST, MOST_THREADS, PhotoHashes, hash_photos
from fftag.decode import Failure, Limits, decode
from fftag.predict import Predictor, choose_device, choose_precision
from fftag.progress import progress

DISTANCE = 30
SIMILARITY = 0.98
LEAST_CORRELATION = 0.95
"""Of two photos as 8 x 8 colours: the same cut in another colour is another product."""
ROWS, COLUMNS = 256, 4096
"""Photos compared at a time: what fits a processor's cache."""
MOST_PAIRS = 1_000_000
"""Of more pairs than that, only as many are kept as connect the same photos."""
BATCH = 64

Pairs = np.ndarray
"""int64 [pairs, 2]: positions of two photos, the smaller first."""


def near_duplicates(paths: Sequence[Path], distance: int = DISTANCE) -> Pairs:
    """Pairs whose hashes differ in few bits and whose colours agree.

    One hash alone takes two people before a plain wall for one scene; that three hashes and the
    colours agree by chance is rare. Photos with next to no contrast, and files that cannot be read,
    pair with nothing.

    Args:
        paths: photos.
        distance: bits, of 192, in which the hashes of `fftag.datasets.photo_hashes` may differ.

    Returns:
        Pairs that connect what all pairs would connect: where there are very many, not all.
    """
    return close_pairs(hash_photos(paths), distance)


def close_pairs(hashes: PhotoHashes, distance: int) -> Pairs:
    """Pairs of photos that differ in at most `distance` bits and correlate in their colours.

    Every photo is compared with every other, a block at a time: bits are exclusive-or and counted.

    Args:
        hashes: of the photos.
        distance: in bits, over all hashes.
    """
    positions = np.flatnonzero(hashes.known)
    kinds = np.ascontiguousarray(hashes.bits[positions].T)
    pictures = hashes.pictures[positions]
    found: list[np.ndarray] = [np.empty((0, 2), dtype=np.int64)]
    held = 0
    for top in range(0, len(positions), ROWS):
        for left in range(top, len(positions), COLUMNS):
            rows, columns = slice(top, top + ROWS), slice(left, left + COLUMNS)
            bits = np.zeros((len(positions[rows]), len(positions[columns])), dtype=np.uint8)
            for kind in kinds:
                bits += np.bitwise_count(kind[rows, None] ^ kind[None, columns])
            near = np.triu(bits <= distance, k=1 + top - left)
            if not near.any():
                continue
            near &= pictures[rows] @ pictures[columns].T >= LEAST_CORRELATION
            found.append(np.argwhere(near) + np.array([top, left]))
            held += len(found[-1])
            if held > MOST_PAIRS:
                found = [_spanning(np.concatenate(found), len(positions))]
                held = len(found[0])
    return positions[np.concatenate(found)]


def _spanning(pairs: Pairs, count: int) -> Pairs:
    """Fewer pairs that connect the same photos: each with the first one of its component."""
    component = _components(pairs, count)
    _, first = np.unique(component, return_index=True)
    found = np.stack([first[component], np.arange(count)], axis=1)
    return found[found[:, 0] != found[:, 1]]


def _components(pairs: Pairs, count: int) -> np.ndarray:
    """The connected component of each of `count` photos: int [count]."""
    ones = np.ones(len(pairs), dtype=bool)
    links = coo_array((ones, (pairs[:, 0], pairs[:, 1])), (count, count))
    numbers: np.ndarray = connected_components(links, directed=False)[1]
    return numbers


def similar_embeddings(
    paths: Sequence[Path], bundle: Bundle, similarity: float = SIMILARITY, device: str = "auto"
) -> Pairs:
    """Pairs whose embeddings have at least a cosine similarity.

    As with hashes, flat photos and files that cannot be read pair with nothing.

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
        ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool,
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
    found: list[np.ndarray] = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(vectors), ROWS):
        near = vectors[start : start + ROWS] @ vectors[start:].T >= similarity
        found.append(np.argwhere(np.triu(near, k=1)) + start)
        if sum(map(len, found)) > MOST_PAIRS:
            found = [_spanning(np.concatenate(found), len(vectors))]
    return np.array(positions, dtype=np.int64)[np.concatenate(found)]


def join_groups(groups: np.ndarray, pairs: Iterable[Pairs]) -> np.ndarray:
    """Groups of which every pair is one: int64 [photos], numbered 0, 1, ... in the order met.

    Args:
        groups: int64 [photos], as `fftag.datasets.splits.duplicate_groups` gives them.
        pairs: near duplicates.
    """
    count = int(groups.max(initial=-1)) + 1
    edges = groups[np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs])]
    joined = _components(edges, count)[groups]
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[inverse]


def _pixels(path: Path, bundle: Bundle) -> np.ndarray | None:
    try:
        result = decode(path.read_bytes(), bundle.config.input, Limits())
    except OSError:
        return None
    if isinstance(result, Failure) or result.pixels.mean(axis=2).std() < LEAST_CONTRAST:
        return None
    return result.pixels
