"""A model over the photos of a manifest: scores, and what they are worth."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fftag.atomic import write_text
from fftag.bundle import Bundle, ModelConfig
from fftag.datasets.manifest import Manifest, check_files
from fftag.errors import FftagError
from fftag.predict import Predictions, Predictor, choose_device, choose_precision
from fftag.progress import progress
from fftag.training import baselines, evaluation_page, metrics
from fftag.training.photos import Photos, batches

BATCH_SIZE = 64
HEADLINES = {
    "subset_accuracy": "subset accuracy",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "mAP": "mAP",
}


def score_photos(
    predictor: Predictor, photos: Photos, batch_size: int, workers: int, show: bool = False
) -> Predictions:
    """Scores all photos, in order: arrays of [photos, ...].

    Raises:
        FftagError: a photo cannot be read.
    """
    parts = []
    with progress(len(photos), "scoring", "photo", show=show) as bar:
        for batch in batches(photos, batch_size, workers):
            parts.append(predictor(batch.pixels))
            bar.update(len(batch.pixels))
    return Predictions(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def evaluate_model(
    bundle: Bundle,
    manifest: Manifest,
    split: str,
    out: Path,
    device: str = "auto",
    workers: int = 2,
) -> dict[str, Any]:
    """Scores one split of a manifest and writes the evaluation: see `write_evaluation`.

    Args:
        bundle: the model.
        manifest: photos and their true labels, all of which the model must know.
        split: `train`, `val`, `test` or `all`.
        out: folder to write to.
        device: see `fftag.predict.choose_device`.
        workers: decoding processes.

    Raises:
        FftagError: the manifest has labels that the model does not know, or no such split, or
            photos are missing or cannot be read.
    """
    config = bundle.config
    unknown = config.labels.unknown(manifest.labels.names)
    if unknown:
        raise FftagError(
            f"the model does not know {len(unknown)} of the manifest's labels, such as "
            f"{unknown[0]!r}: evaluate it on data with labels it was trained on"
        )
    chosen = manifest if split == "all" else manifest.of_split(split)
    check_files(chosen)
    photos = Photos(replace(chosen, labels=config.labels), config.input, None)
    on = choose_device(device)
    predictor = Predictor(bundle.build(), config.input, on, choose_precision("auto", on))
    scores = score_photos(predictor, photos, BATCH_SIZE, workers, show=True).scores
    return write_evaluation(out, config, photos.targets.numpy().astype(np.uint8), scores, split)


def write_evaluation(
    out: Path, config: ModelConfig, targets: np.ndarray, scores: np.ndarray, split: str
) -> dict[str, Any]:
    """Writes `metrics.json`, `evaluation.html` and its figures.

    Args:
        out: folder.
        config: the model's labels and thresholds.
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels].
        split: its name, for the page.

    Returns:
        The content of `metrics.json`.
    """
    thresholds = np.asarray(config.thresholds, dtype=np.float32)
    evaluation = metrics.evaluate(targets, scores, thresholds, config.labels)
    beside = baselines.compute(targets, config.labels, np.asarray(config.prevalence))
    content = {"split": split, **evaluation_page.to_json(evaluation, beside)}
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(out / "metrics.json", text + "\n")
    title = f"{config.architecture}: evaluation on split {split}"
    evaluation_page.write(out, title, evaluation, beside, targets, scores)
    return content


def summary_lines(content: dict[str, Any], folder: Path) -> list[str]:
    """The headline figures beside the baselines, as aligned lines."""
    columns = {"model": content["overall"]} | {
        name: content["baselines"][name]["overall"] for name in ("chance", "best_constant")
    }
    lines = [
        f"{int(content['overall']['photos']):,} photos of split {content['split']}",
        f"{'':18}" + "".join(f"{name.replace('_', ' '):>15}" for name in columns),
    ]
    for key, title in HEADLINES.items():
        cells = "".join(f"{_percent(overall[key]):>15}" for overall in columns.values())
        lines.append(f"{title:18}{cells}")
    return [*lines, f"page: {folder / 'evaluation.html'}"]


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.1%}"
