"""Fixtures that more than one test module uses: photos, a small model, a manifest."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from catalogues import (
    BANDS,
    labelled_photos,
    mixed_folder,
    photo_folder,
    untrained_model,
)

from fftag.models.folder import Bundle, save_bundle
from fftag.models.labels import LabelSet


@pytest.fixture
def label_set() -> LabelSet:
    return BANDS


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing that an earlier version kept is taken for what this one makes."""
    os.environ["FFTAG_CACHE"] = str(tmp_path_factory.mktemp("cache"))


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
