"""Several devices as one scorer: each batch goes to a device that is free."""

from collections.abc import Sequence
from queue import SimpleQueue

import numpy as np

from fftag.models.predictions import Predictions
from fftag.models.scorers import Scorer


class Fleet:
    """Scorers of one model that work side by side: see `fftag.models.scorers.Scorer`.

    Attributes:
        device: of the first; all are of one kind.
        spec: the input that they take.
        at_once: how many batches are scored at the same time.
    """

    def __init__(self, scorers: Sequence[Scorer], at_once_each: int) -> None:
        """Takes over scorers.

        Args:
            scorers: one for each device, of the same model and arithmetic.
            at_once_each: how many batches each of them is given at the same time.
        """
        self.device = scorers[0].device
        self.spec = scorers[0].spec
        self.at_once = at_once_each * len(scorers)
        # The one that has waited longest comes next: a device that is faster is given more.
        self._free: SimpleQueue[Scorer] = SimpleQueue()
        for _ in range(at_once_each):
            for scorer in scorers:
                self._free.put(scorer)

    def __call__(self, photos: np.ndarray) -> Predictions:
        """Scores a batch of uint8 [batch, height, width, 3]; waits while all are busy."""
        scorer = self._free.get()
        try:
            return scorer(photos)
        finally:
            self._free.put(scorer)
