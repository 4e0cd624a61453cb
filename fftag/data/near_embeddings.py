"""Photos that a model finds alike: pairs whose embeddings point the same way."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from fftag.base.machine import cores
from fftag.base.progress import progress
from fftag.data.near_duplicates import MOST_PAIRS, ROWS, Pairs, spanning
from fftag.data.photo_hashes import LEAST_CONTRAST
from fftag.models.folder import Bundle
from fftag.models.torch_scorer import predictor_on
from fftag.photos.pool import ReadOptions, decoded

SIMILARITY = 0.98
BATCH = 64


def similar_embeddings(
    paths: Sequence[Path], bundle: Bundle, similarity: float = SIMILARITY, device: str = "auto"
) -> Pairs:
    """Pairs whose embeddings have at least a cosine similarity.

    As with hashes, flat photos and files that cannot be read pair with nothing.

    Args:
        paths: photos.
        bundle: the model whose embeddings are compared.
        similarity: cosine, to 1.
        device: see `fftag.models.devices.choose_device`.
    """
    predictor = predictor_on(device, bundle.build(), bundle.config.input)
    parts: list[np.ndarray] = []
    positions: list[int] = []
    photos = enumerate(decoded(paths, bundle.config.input, ReadOptions(BATCH, cores())))
    with progress(len(paths), "embedding photos", "photo") as bar:
        while batch := list(islice(photos, BATCH)):
            seen = {
                position: pixels
                for position, (_, pixels) in batch
                if pixels is not None and pixels.mean(axis=2).std() >= LEAST_CONTRAST
            }
            if seen:
                parts.append(predictor(np.stack(list(seen.values()))).embeddings)
                positions += seen
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
            found = [spanning(np.concatenate(found), len(vectors))]
    return np.array(positions, dtype=np.int64)[np.concatenate(found)]
