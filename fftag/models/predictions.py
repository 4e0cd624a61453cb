"""What a model says of photos, whatever computes it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fftag.base.errors import FftagError
from fftag.photos.decode import InputSpec

PIXELS_PER_PASS = 4 * 224 * 224  # on a CPU core: measured fastest


class Predictions(NamedTuple):
    """What the model says of a batch.

    Attributes:
        scores: float32 [batch, labels], each in 0..1.
        embeddings: float32 [batch, features].
        logits: float32 [batch, labels].
        apparel: float32 [batch], the screen's score; None where the model has no screen.
    """

    scores: np.ndarray
    embeddings: np.ndarray
    logits: np.ndarray
    apparel: np.ndarray | None = None

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Those of several batches, as one."""
        columns = zip(*parts, strict=True)
        joined: list[Any] = [None if one[0] is None else np.concatenate(one) for one in columns]
        return cls(*joined)

    def chosen(self, photos: np.ndarray) -> "Predictions":
        """Those of some photos, by their places or by bool [batch]."""
        chosen: list[Any] = [None if one is None else one[photos] for one in self]
        return type(self)(*chosen)


def checked(predictions: Predictions, precision: str) -> Predictions:
    """The same.

    Raises:
        FftagError: a score is not finite; nothing can be told from such a model.
    """
    if np.isfinite(predictions.logits).all():
        return predictions
    raise FftagError(
        "the model gives scores that are not numbers: its weights are broken, or "
        f"{precision} overflows (try --tier exact)"
    )


def photos_per_pass(spec: InputSpec) -> int:
    """How many photos a CPU core computes at once."""
    return max(1, PIXELS_PER_PASS // (spec.height * spec.width))
