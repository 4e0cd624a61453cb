"""Untrained model folders, for benchmarks that time and do not judge."""

from pathlib import Path

import torch

from fftag.data.manifest import make_manifest
from fftag.models.architectures import factory
from fftag.models.folder import Bundle, ModelConfig, load_bundle, save_bundle
from fftag.models.labels import LabelSet
from fftag.photos.decode import InputSpec
from fftag.training.quantize import quantize

LABELS = 46
NAMES = tuple(f"label {number}" for number in range(LABELS))


def make_model(folder: Path, architecture: str, spec: InputSpec) -> Path:
    """Saves a model of random weights (seed 0); returns its folder."""
    torch.manual_seed(0)
    return _save(folder, architecture, spec, factory.build(architecture, LABELS, spec))


def make_vit_twins(folder: Path, spec: InputSpec) -> Path:
    """A ViT-B/16 of transformers with random weights, and its checkpoint below it."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    twin = folder / "hugging_face"
    names = dict(enumerate(NAMES))
    theirs = ViTForImageClassification(
        ViTConfig(
            image_size=spec.height,
            id2label=names,
            label2id={name: number for number, name in names.items()},
            problem_type="multi_label_classification",
        )
    )
    theirs.save_pretrained(twin)
    ViTImageProcessor(
        size={"height": spec.height, "width": spec.width},
        image_mean=list(spec.mean),
        image_std=list(spec.std),
    ).save_pretrained(twin)
    model = factory.build("hugging_face", LABELS, spec, str(twin))
    model.head.load_state_dict(theirs.classifier.state_dict())
    return _save(folder, "hugging_face", spec, model)


def _save(folder: Path, architecture: str, spec: InputSpec, model: factory.Classifier) -> Path:
    config = ModelConfig(
        architecture=architecture,
        labels=LabelSet.of(NAMES),
        thresholds=(0.5,) * LABELS,
        input=spec,
        prevalence=(0.5,) * LABELS,
        validation=({"tp": 1, "fp": 1, "fn": 1, "tn": 1},) * LABELS,
        recipe={},
        data_fingerprint="0" * 64,
        versions={},
        network=factory.network_json(model),
    )
    return save_bundle(folder, config, model.state_dict()).path


def give_int8(model: Path, photos: list[Path]) -> Bundle:
    """Adds an int8 form, calibrated on the photos given; their labels mean nothing."""
    half = len(photos) // 2
    manifest = make_manifest(
        [str(path.resolve()) for path in photos],
        [[NAMES[number % LABELS]] for number in range(len(photos))],
        LabelSet.of(NAMES),
        Path("/"),
        ["train"] * half + ["val"] * (len(photos) - half),
    )
    bundle = load_bundle(model)
    quantize(bundle, manifest, photos=half, max_drop=1)
    return bundle
