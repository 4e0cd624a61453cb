"""A model over one split of a manifest: what it says of the photos, beside what is on them."""

from dataclasses import dataclass, replace

import numpy as np

from fftag.base.errors import FftagError
from fftag.base.progress import progress
from fftag.data.manifest import Manifest, check_files
from fftag.data.photos import Photos, batches
from fftag.models.folder import Bundle
from fftag.models.scorers import Predictions, Scorer
from fftag.photos.decode import InputSpec

BATCH_SIZE = 64


@dataclass(frozen=True)
class ScoredSplit:
    """The photos of a split, and what a model says of them.

    Attributes:
        photos: in the order of the manifest.
        predictions: of the photos.
    """

    photos: Photos
    predictions: Predictions

    @property
    def targets(self) -> np.ndarray:
        """uint8 [photos, labels], in the order of the model's labels."""
        return self.photos.targets.numpy().astype(np.uint8)


def score_split(
    bundle: Bundle, manifest: Manifest, split: str, scorer: Scorer, workers: int, show: bool = False
) -> ScoredSplit:
    """Scores the photos of a split.

    Args:
        bundle: the model.
        manifest: photos, and their true labels.
        split: `train`, `val`, `test` or `all`.
        scorer: the model, ready.
        workers: decoding processes.
        show: whether progress is shown.

    Raises:
        FftagError: see `split_photos`; or a photo cannot be read.
    """
    photos = split_photos(bundle, manifest, split)
    return ScoredSplit(photos, score_photos(scorer, photos, BATCH_SIZE, workers, show))


def split_photos(
    bundle: Bundle, manifest: Manifest, split: str = "all", spec: InputSpec | None = None
) -> Photos:
    """The photos of a split as a model takes them, their targets in the order of its labels.

    Args:
        bundle: the model.
        manifest: photos, and their true labels.
        split: `train`, `val`, `test` or `all`.
        spec: the input of another network, which takes them in the model's place.

    Raises:
        FftagError: the manifest has labels that the model does not know, or no such split, or
            photos are missing.
    """
    unknown = bundle.config.labels.unknown(manifest.labels.names)
    if unknown:
        raise FftagError(
            f"the model does not know {len(unknown)} of the manifest's labels, such as "
            f"{unknown[0]!r}: give data with labels that it was trained on"
        )
    chosen = manifest if split == "all" else manifest.of_split(split)
    check_files(chosen)
    of_model = replace(chosen, labels=bundle.config.labels)
    return Photos(of_model, spec or bundle.config.input, None)


def score_photos(
    scorer: Scorer, photos: Photos, batch_size: int, workers: int, show: bool = False
) -> Predictions:
    """Scores all photos, in order: arrays of [photos, ...].

    Raises:
        FftagError: a photo cannot be read.
    """
    parts = []
    with progress(len(photos), "scoring", "photo", show=show) as bar:
        for batch in batches(photos, batch_size, workers):
            parts.append(scorer(batch.pixels.numpy()))
            bar.update(len(batch.pixels))
    return Predictions.joined(parts)
