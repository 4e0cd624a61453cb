"""An untrained model folder, for benchmarks that time and do not judge."""

from pathlib import Path

import torch

from fftag import models
from fftag.bundle import ModelConfig, save_bundle
from fftag.decode import InputSpec
from fftag.labels import LabelSet

LABELS = 46


def make_model(folder: Path, architecture: str, spec: InputSpec) -> Path:
    """Saves a model of random weights (seed 0); returns its folder."""
    torch.manual_seed(0)
    config = ModelConfig(
        architecture=architecture,
        labels=LabelSet.of([f"label {number}" for number in range(LABELS)]),
        thresholds=(0.5,) * LABELS,
        input=spec,
        prevalence=(0.5,) * LABELS,
        validation=({"tp": 1, "fp": 1, "fn": 1, "tn": 1},) * LABELS,
        recipe={},
        data_fingerprint="0" * 64,
        versions={},
    )
    return save_bundle(folder, config, models.build(architecture, LABELS, spec).state_dict()).path
