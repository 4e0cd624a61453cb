"""Heat maps: why a label was given, where this fftag explains it."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from fftag.bundle import Bundle
from fftag.errors import FftagError

MODULE = "fftag.explain"


def can_explain() -> bool:
    """Whether heat maps can be made here."""
    return find_spec(MODULE) is not None


def heat_pictures(bundle: Bundle, photo: Path, labels: Sequence[str]) -> dict[str, bytes]:
    """Label -> the photo with its heat map over it, as a PNG.

    Args:
        bundle: the model.
        photo: a file that could be decoded.
        labels: of the model.

    Raises:
        FftagError: heat maps cannot be made here, or not of this model.
    """
    if not can_explain():
        raise FftagError("heat maps are made by a later fftag: upgrade it")
    found: dict[str, bytes] = import_module(MODULE).heat_maps(bundle, photo, list(labels))
    return found
