"""Training from a recipe and a manifest to a model folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fftag.base.progress import be_quiet, say
from fftag.data.manifest import Manifest, check_files
from fftag.data.photos import Photos
from fftag.models.architectures import factory
from fftag.models.devices import choose_device
from fftag.models.folder import Bundle, load_bundle
from fftag.training.augmentation import make_augmentation
from fftag.training.checkpoint import FILE, begin_or_resume
from fftag.training.processes import join, local_device
from fftag.training.publish import publish
from fftag.training.recipe import Recipe
from fftag.training.trainer import Trainer


@dataclass(frozen=True)
class TrainOptions:
    """Where and with what to train; nothing here changes what is learned.

    Attributes:
        device: see `fftag.models.devices.choose_device`.
        workers: decoding processes.
        restart: throw away what an interrupted run, or another one, left in the folder.
    """

    device: str = "auto"
    workers: int = 2
    restart: bool = False


def train(recipe: Recipe, manifest: Manifest, out: Path, options: TrainOptions) -> Bundle:
    """Trains a model and writes its folder.

    Interrupted, the same call goes on after the last finished epoch, and ends with the same
    weights (on the CPU) as if it had never stopped.

    Args:
        recipe: how.
        manifest: photos with splits `train` and `val`.
        out: the model folder.
        options: with what.

    Raises:
        FftagError: photos are missing or unreadable, a split is missing, the folder holds
            something else, or the loss is no longer a number.
    """
    device = choose_device(local_device(options.device))
    processes = join(device)
    if not processes.first:
        be_quiet()
    check_files(manifest)
    train_part, val_part = manifest.of_split("train"), manifest.of_split("val")
    identity = {"recipe": recipe.model_dump(mode="json"), "data": manifest.fingerprint}
    checkpoint = begin_or_resume(out, identity, options.restart, processes)

    spec = recipe.model.input_spec()
    train_photos = Photos(train_part, spec, make_augmentation(recipe.data, spec))
    val_photos = Photos(val_part, spec, None, processes.rank, processes.world)
    _cache(train_photos, val_photos, recipe.data.cache_gb, options.workers)

    torch.manual_seed(recipe.run.seed)
    model = factory.build(
        recipe.model.architecture, len(manifest.labels), spec, recipe.model.weights
    )
    model.dropout.p = recipe.model.dropout
    if recipe.model.prior_bias:
        _start_at_prior(model, train_part.targets().mean(axis=0))
    trainer = Trainer(model, recipe, device, processes, options.workers, train_photos, val_photos)
    if checkpoint.history:
        say(f"going on after epoch {len(checkpoint.history)} of {recipe.run.epochs}")
        trainer.load_state(checkpoint.state)
    trainer.run(checkpoint, out)

    if processes.first:
        trainer.best_candidate().load_state_dict(checkpoint.best_state)
        judged = val_photos if processes.world == 1 else Photos(val_part, spec, None)
        predictor = trainer.predictor()
        shown = (train_photos, judged)
        publish(out, recipe, manifest, predictor, shown, checkpoint, options.workers)
        (out / FILE).unlink()
    processes.leave()
    return load_bundle(out)


def _cache(train_photos: Photos, val_photos: Photos, limit_gb: float, workers: int) -> None:
    if train_photos.bytes_in_memory + val_photos.bytes_in_memory <= limit_gb * 2**30:
        train_photos.fill_cache(workers, "training photos")
        val_photos.fill_cache(workers, "validation photos")


def _start_at_prior(model: factory.Classifier, prevalence: np.ndarray) -> None:
    """Sets the head's bias so that the first scores are the labels' shares (Lin et al. 2017)."""
    share = torch.from_numpy(prevalence).float().clamp(1e-4, 1 - 1e-4)
    with torch.no_grad():
        model.head.bias.copy_(torch.logit(share))
