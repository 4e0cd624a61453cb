"""Fixtures that more than one test module uses: photos, a small model, a manifest."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fftag import models
from fftag.bundle import Bundle, ModelConfig, save_bundle
from fftag.datasets.manifest import Manifest, make_manifest, write_manifest
from fftag.decode import InputSpec
from fftag.labels import LabelSet

COLOURS = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (40, 60, 200)}
GROUPS = {"red": "warm", "green": "cool", "blue": "cool"}
SPEC = InputSpec(32, 24)


def save_bands(
    path: Path, names: list[str], seed: int = 0, size: tuple[int, int] = (60, 80)
) -> None:
    """A noisy grey photo with one band of colour per label: learnable, and unlike any other."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 160, (size[1], size[0], 3), dtype=np.uint8)
    height = size[1] // len(COLOURS)
    for band, (name, colour) in enumerate(COLOURS.items()):
        if name in names:
            noise = rng.integers(-30, 30, (height, size[0], 3))
            pixels[band * height : (band + 1) * height] = np.clip(noise + colour, 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)


@pytest.fixture
def label_set() -> LabelSet:
    return LabelSet.of(COLOURS, GROUPS.values())


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing that an earlier version kept is taken for what this one makes."""
    os.environ["FFTAG_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def session_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An untrained but deterministic model of three labels."""
    torch.manual_seed(1)
    labels = LabelSet.of(COLOURS, GROUPS.values())
    network = models.build("cnn", len(labels), SPEC)
    config = ModelConfig(
        architecture="cnn",
        labels=labels,
        thresholds=(0.5, 0.5, 0.5),
        input=SPEC,
        prevalence=(0.5, 0.5, 0.5),
        validation=({"tp": 8, "fp": 2, "fn": 4, "tn": 6},) * 3,
        recipe={},
        data_fingerprint="0" * 64,
        versions={"fftag": "0"},
    )
    folder = tmp_path_factory.mktemp("model") / "bands"
    return save_bundle(folder, config, network.state_dict())


@pytest.fixture
def folder_of_photos(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder of so many photos in sub-folders; returns it."""

    def make(count: int) -> Path:
        root = tmp_path / "catalog"
        names = list(COLOURS)
        for number in range(count):
            chosen = [name for bit, name in enumerate(names) if number >> bit & 1]
            save_bands(root / f"season-{number % 3}" / f"FF-{number:04d}_1.jpg", chosen, number)
        return root

    return make


@pytest.fixture(scope="session")
def bands_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 96 learnable photos: 64 to train, 16 each to validate and test."""
    root = tmp_path_factory.mktemp("bands")
    images, labels, splits = [], [], []
    for number in range(96):
        chosen = [name for bit, name in enumerate(COLOURS) if number >> bit & 1]
        save_bands(root / f"photos/{number:03d}.jpg", chosen, number)
        images.append(f"photos/{number:03d}.jpg")
        labels.append(chosen)
        splits.append("train" if number < 64 else "val" if number < 80 else "test")
    label_set = LabelSet.of(COLOURS, GROUPS.values())
    manifest: Manifest = make_manifest(images, labels, label_set, root, splits)
    path = root / "bands.parquet"
    write_manifest(manifest, path)
    return path
