"""Photos of the same scene: pairs whose perceptual hashes and colours agree."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fftag.data.photo_hashes import PhotoHashes, hash_photos

DISTANCE = 34
LEAST_CORRELATION = 0.95
"""Of two photos as 8 x 8 colours: the same cut in another colour is another product."""
ROWS, COLUMNS = 256, 4096
"""Photos compared at a time: what fits a processor's cache."""
MOST_PAIRS = 1_000_000
"""Of more pairs than that, only as many are kept as connect the same photos."""

Pairs = np.ndarray
"""int64 [pairs, 2]: positions of two photos, the smaller first."""


def near_duplicates(paths: Sequence[Path], distance: int = DISTANCE) -> Pairs:
    """Pairs whose hashes differ in few bits and whose colours agree.

    One hash alone takes two people before a plain wall for one scene; that three hashes and the
    colours agree by chance is rare. Photos with next to no contrast, and files that cannot be read,
    pair with nothing.

    Args:
        paths: photos.
        distance: bits, of 192, in which the hashes of `fftag.data.photo_hashes` may differ.

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
                found = [spanning(np.concatenate(found), len(positions))]
                held = len(found[0])
    return positions[np.concatenate(found)]


def spanning(pairs: Pairs, count: int) -> Pairs:
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


def join_groups(groups: np.ndarray, pairs: Iterable[Pairs]) -> np.ndarray:
    """Groups of which every pair is one: int64 [photos], numbered 0, 1, ... in the order met.

    Args:
        groups: int64 [photos], as `fftag.data.splits.duplicate_groups` gives them.
        pairs: near duplicates.
    """
    count = int(groups.max(initial=-1)) + 1
    edges = groups[np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs])]
    joined = _components(edges, count)[groups]
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[inverse]
