"""The apparel screen of a model, where the model folder has one and this fftag reads it."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from fftag.bundle import Bundle
from fftag.predict import Predictions

MODULE = "fftag.screen"
Screening = Callable[[Predictions], list[tuple[float, str]]]
"""Predictions -> the score of each photo, and `accept`, `review` or `reject`."""


def open_screening(bundle: Bundle) -> Screening | None:
    """The model's screen; None without one.

    Raises:
        FftagError: it is no screen of this model.
    """
    if find_spec(MODULE) is None:
        return None
    module = import_module(MODULE)
    file = bundle.path / module.FILE
    if not file.is_file():
        return None

    def screening(found: Predictions) -> list[tuple[float, str]]:
        screen = module.load_screen(file, found.embeddings.shape[1])
        scores = screen.scores(found.embeddings, found.logits)
        return list(zip(map(float, scores), screen.verdicts(scores), strict=True))

    return screening
