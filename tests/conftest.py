"""Fixtures that more than one test module uses: photos, a small model, a manifest."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import IO, Any

import pytest
from catalogues import (
    BANDS,
    labelled_photos,
    mixed_folder,
    photo_folder,
    untrained_model,
)
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tagged import Here, crew_of
from torchvision import models as zoo

from fftag.base.plots import MADE_BY
from fftag.models.folder import Bundle, save_bundle
from fftag.models.labels import LabelSet
from fftag.photos.pool import Pool


@pytest.fixture
def label_set() -> LabelSet:
    return BANDS


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing that an earlier version kept is taken for what this one makes."""
    os.environ["FFTAG_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def decoding_here() -> Iterator[None]:
    """Photos are decoded in the test's own process, which takes a tenth of the time."""
    with crew_of(Here):
        yield


@pytest.fixture
def decoding_processes(decoding_here: None) -> Iterator[None]:
    """Photos are decoded in processes that may die, as they are for users."""
    with crew_of(Pool):
        yield


@pytest.fixture
def undrawn() -> Iterator[None]:
    """Pictures are put together and not drawn: most of what a short training takes is drawing."""
    about = PngInfo()
    for key, value in MADE_BY.items():
        about.add_text(key, value)

    def blank(figure: Figure, to: IO[bytes], **_: object) -> None:
        width, height = figure.get_size_inches()
        Image.new("RGB", (int(10 * width), int(10 * height))).save(to, "PNG", pnginfo=about)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        yield


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Architectures of torchvision have two layers of each kind, of their own width."""
    families = {
        "resnet": ("_resnet", "layers"),
        "vision_transformer": ("_vision_transformer", "num_layers"),
        "swin_transformer": ("_swin_transformer", "depths"),
        "convnext": ("_convnext", "block_setting"),
    }

    def two(given: Any) -> Any:
        if isinstance(given, int):
            return 2
        if isinstance(given, list):
            return [two(one) for one in given]
        return type(given)(given.input_channels, given.out_channels, 2)

    for module, (maker, depth) in families.items():
        whole = getattr(getattr(zoo, module), maker)

        def made(*given: Any, whole: Any = whole, depth: str = depth, **more: Any) -> Any:
            bound = signature(whole).bind(*given, **more)
            bound.arguments[depth] = two(bound.arguments[depth])
            return whole(*bound.args, **bound.kwargs)

        monkeypatch.setattr(getattr(zoo, module), maker, made)


@pytest.fixture(scope="session")
def session_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An untrained but deterministic model of three labels."""
    return untrained_model(tmp_path_factory.mktemp("model") / "bands")


@pytest.fixture
def folder_of_photos(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder of so many photos in sub-folders; returns it."""
    return lambda count: photo_folder(tmp_path / "catalog", count)


@pytest.fixture(scope="session")
def bands_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 96 learnable photos: 64 to train, 16 each to validate and test."""
    return labelled_photos(tmp_path_factory.mktemp("bands"))


@pytest.fixture(scope="session")
def stricter(session_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same network with other thresholds."""
    config = replace(session_bundle.config, thresholds=(0.45, 0.52, 0.499))
    weights = session_bundle.build().state_dict()
    return save_bundle(tmp_path_factory.mktemp("stricter") / "model", config, weights)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Ten photos, and files that fail in several ways; names of every kind."""
    return mixed_folder(tmp_path / "catalog")
