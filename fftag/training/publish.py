"""The end of a training: the best epoch becomes a model folder with a card and plots."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from jinja2 import Environment, PackageLoader
from torch import Tensor

from fftag import __version__
from fftag.base.atomic import write_bytes, write_text
from fftag.base.plots import INK, STYLE, figure, to_png
from fftag.data.manifest import Manifest
from fftag.data.photos import Photos
from fftag.evaluation import metrics
from fftag.evaluation.evaluate import write_evaluation
from fftag.evaluation.score_split import score_photos
from fftag.models.architectures import factory
from fftag.models.folder import CARD, CURVES, Bundle, ModelConfig, save_bundle
from fftag.models.scorers import Predictions
from fftag.models.screen import Screen
from fftag.models.torch_scorer import Predictor
from fftag.training.calibration import Calibration, calibrate
from fftag.training.checkpoint import Checkpoint
from fftag.training.recipe import Recipe
from fftag.training.screening import screen_of
from fftag.training.settings import TagSettings
from fftag.training.thresholds import choose_thresholds

CARD_METRICS = ("mAP", "micro_f1", "macro_f1", "subset_accuracy")


def publish(
    out: Path,
    recipe: Recipe,
    manifest: Manifest,
    predictor: Predictor,
    photos: tuple[Photos, Photos],
    checkpoint: Checkpoint,
    workers: int,
) -> Bundle:
    """Calibrates, sets thresholds, fits the apparel screen, and writes the model folder.

    Args:
        out: the folder.
        recipe: what trained it.
        manifest: what it was trained on.
        predictor: holds the best epoch's weights; its head is calibrated.
        photos: the training split, which the screen is fitted to, and the validation split, which
            decides the rest.
        checkpoint: history and weights.
        workers: decoding processes.
    """
    train_photos, val_photos = photos
    size = recipe.run.batch_size
    tuned = tune_head(predictor, val_photos, recipe.tags, size, workers)
    spec = recipe.model.input_spec()
    resolved = recipe.model_copy(
        update={"model": recipe.model.model_copy(update={"input_size": (spec.height, spec.width)})}
    )
    network = factory.network_json(predictor.model)
    config = ModelConfig(
        architecture=recipe.model.architecture,
        labels=manifest.labels,
        thresholds=tuned.thresholds,
        input=spec,
        prevalence=tuple(manifest.of_split("train").targets().mean(axis=0).tolist()),
        validation=tuned.validation,
        calibration=tuned.calibration.to_json(),
        recipe=resolved.model_dump(mode="json"),
        data_fingerprint=manifest.fingerprint,
        versions={
            "fftag": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            **({"transformers": version("transformers")} if network else {}),
        },
        weights_licence=factory.licence(recipe.model.architecture, recipe.model.weights),
        network=network,
    )
    write_bytes(out / CURVES, draw_curves(checkpoint.history, recipe.run.monitor))
    screen = screen_of(
        recipe.screen, predictor, train_photos, tuned.predictions, workers, recipe.run.seed
    )
    return finish(out, config, tuned, checkpoint.history, predictor.model.state_dict(), screen)


def finish(
    out: Path,
    config: ModelConfig,
    tuned: "TunedHead",
    history: list[dict[str, float]],
    state: dict[str, Tensor],
    screen: Screen | None,
) -> Bundle:
    """Writes evaluation, card, config, weights and screen: from then on the folder is a model."""
    content = write_evaluation(out, config, tuned.targets, tuned.scores, "val")
    _write_card(out, config, content, history, screen)
    # Last, as the digests make the folder a model: until then it is an unfinished run.
    return save_bundle(out, config, state, screen)


@dataclass(frozen=True)
class TunedHead:
    """What was decided on the validation split.

    Attributes:
        targets: uint8 [photos, labels].
        predictions: of the photos, calibrated.
        calibration: folded into the head.
        thresholds: one per label.
        validation: counts at them, per label.
    """

    targets: np.ndarray
    predictions: Predictions
    calibration: Calibration
    thresholds: tuple[float, ...]
    validation: tuple[dict[str, int], ...]

    @property
    def scores(self) -> np.ndarray:
        """float32 [photos, labels], calibrated."""
        return self.predictions.scores


def tune_head(
    predictor: Predictor, val_photos: Photos, settings: TagSettings, batch_size: int, workers: int
) -> TunedHead:
    """Calibrates the head and chooses the thresholds.

    Args:
        predictor: its head is changed.
        val_photos: photos that the model was not trained on.
        settings: how.
        batch_size: photos per forward pass.
        workers: decoding processes.
    """
    targets = val_photos.targets.numpy().astype(np.uint8)
    logits = score_photos(predictor, val_photos, batch_size, workers).logits
    calibration = calibrate(targets, logits, settings)
    calibration.fold_into(predictor.model.head)
    predictions = score_photos(predictor, val_photos, batch_size, workers)
    thresholds = choose_thresholds(targets, predictions.scores, settings)
    return TunedHead(
        targets,
        predictions,
        calibration,
        tuple(float(value) for value in thresholds),
        tuple(metrics.validation_counts(targets, predictions.scores, thresholds)),
    )


def best_epoch(history: list[dict[str, float]], monitor: str) -> int:
    """The number of the epoch that was kept, from 1; the first of equals."""
    return int(max(history, key=lambda row: row[monitor])["epoch"])


def draw_curves(history: list[dict[str, float]], monitor: str) -> bytes:
    """Loss of both splits, and the validation metrics, by epoch: a PNG; the best is marked."""
    import matplotlib as mpl

    epochs = [row["epoch"] for row in history]
    with mpl.rc_context(STYLE):
        drawing = figure(8, 3.4)
        losses, quality = drawing.subplots(1, 2)
        for key, label in (("train_loss", "training"), ("val_loss", "validation")):
            losses.plot(epochs, [row[key] for row in history], label=label, marker="o", ms=3)
        losses.set(title="Loss", xlabel="epoch")
        for key, label in (("mAP", "mAP"), ("micro_f1", "micro-F1"), ("macro_f1", "macro-F1")):
            quality.plot(epochs, [row[key] for row in history], label=label, marker="o", ms=3)
        quality.set(title="Validation", xlabel="epoch", ylim=(0, 1))
        quality.axvline(best_epoch(history, monitor), color=INK, linewidth=0.6, linestyle=":")
        for axes in (losses, quality):
            axes.legend()
    return to_png(drawing)


def _write_card(
    out: Path,
    config: ModelConfig,
    content: dict[str, Any],
    history: list[dict[str, float]],
    screen: Screen | None,
) -> None:
    def percent(value: float | None) -> str:
        return "" if value is None else f"{value:.1%}"

    judged = {
        "model": content["overall"],
        "chance": content["baselines"]["chance"]["overall"],
        "constant": content["baselines"]["best_constant"]["overall"],
    }
    rows = [
        {"metric": metric, **{name: percent(of[metric]) for name, of in judged.items()}}
        for metric in CARD_METRICS
    ]
    labels = [
        {
            "name": label["name"],
            "support": label["validation"]["support"],
            "threshold": f"{label['threshold']:.3f}",
            **{
                rate: percent(label["validation"][rate])
                for rate in ("precision", "sensitivity", "specificity")
            },
        }
        for label in config.to_json()["labels"]
    ]
    # Markdown, not HTML: label names are escaped where the template uses them.
    environment = Environment(loader=PackageLoader("fftag.base"), autoescape=False)  # noqa: S701
    text = environment.get_template("model_card.md").render(
        name=out.resolve().name,
        config=config,
        photos=int(content["overall"]["photos"]),
        rows=rows,
        labels=labels,
        screen=screen,
        epochs=len(history),
        best_epoch=best_epoch(history, config.recipe["run"]["monitor"]),
    )
    write_text(out / CARD, text)
