"""The training loop: epochs of steps, the best epoch kept, resumable after each."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fftag import models
from fftag.atomic import write_text
from fftag.bundle import Bundle
from fftag.datasets.manifest import Manifest, check_files
from fftag.errors import FftagError
from fftag.predict import DTYPES, Normalise, Predictor, choose_device, choose_precision
from fftag.progress import progress, say
from fftag.training import metrics
from fftag.training.checkpoint import FILE, Checkpoint, begin_or_resume
from fftag.training.evaluate import score_photos
from fftag.training.losses import make_loss
from fftag.training.photos import Photos, Sample, batches, make_augmentation
from fftag.training.publish import publish
from fftag.training.recipe import Recipe
from fftag.training.sampling import make_sampler
from fftag.training.schedule import make_schedule


@dataclass(frozen=True)
class TrainOptions:
    """Where and with what to train; nothing here changes what is learned.

    Attributes:
        device: see `fftag.predict.choose_device`.
        workers: decoding processes; 0 decodes in the main one.
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
    check_files(manifest)
    train_part, val_part = manifest.of_split("train"), manifest.of_split("val")
    identity = {"recipe": recipe.model_dump(mode="json"), "data": manifest.fingerprint}
    checkpoint = begin_or_resume(out, identity, options.restart)

    spec = recipe.model.input_spec()
    train_photos = Photos(train_part, spec, make_augmentation(recipe.data, spec))
    val_photos = Photos(val_part, spec, None)
    _cache(train_photos, val_photos, recipe.data.cache_gb, options.workers)

    torch.manual_seed(recipe.run.seed)
    prevalence = train_part.targets().mean(axis=0)
    model = models.build(
        recipe.model.architecture, len(manifest.labels), spec, recipe.model.weights
    )
    _start_at_prior(model, prevalence)
    trainer = Trainer(model, recipe, options, train_photos, val_photos)
    if checkpoint.history:
        say(f"going on after epoch {len(checkpoint.history)} of {recipe.run.epochs}")
        trainer.load_state(checkpoint.state)
    trainer.run(checkpoint, out)

    model.load_state_dict(checkpoint.best_state)
    bundle = publish(out, recipe, manifest, trainer.predictor(), val_photos, checkpoint)
    (out / FILE).unlink()
    return bundle


def _cache(train_photos: Photos, val_photos: Photos, limit_gb: float, workers: int) -> None:
    if train_photos.bytes_in_memory + val_photos.bytes_in_memory <= limit_gb * 2**30:
        train_photos.fill_cache(workers, "training photos")
        val_photos.fill_cache(workers, "validation photos")


def _start_at_prior(model: models.Classifier, prevalence: np.ndarray) -> None:
    """Sets the head's bias so that the first scores are the labels' shares (Lin et al. 2017)."""
    share = torch.from_numpy(prevalence).float().clamp(1e-4, 1 - 1e-4)
    with torch.no_grad():
        model.head.bias.copy_(torch.logit(share))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and filters; none on biases, norms and other vectors."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


class Trainer:
    """A model, its optimizer, and the photos it learns from."""

    def __init__(
        self,
        model: models.Classifier,
        recipe: Recipe,
        options: TrainOptions,
        train_photos: Photos,
        val_photos: Photos,
    ) -> None:
        self.recipe = recipe
        self.train_photos = train_photos
        self.val_photos = val_photos
        # Photos in memory need no worker: augmenting them costs less than passing them on.
        self.workers = 0 if train_photos.cache is not None else options.workers
        self.device = choose_device(options.device)
        self.precision = choose_precision(recipe.run.precision, self.device)
        self.model = model.to(self.device)
        self.normalise = Normalise(train_photos.spec).to(self.device)
        self.loss = make_loss(recipe.loss)
        settings = recipe.optimizer
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(model, settings.weight_decay), lr=settings.lr
        )
        total = recipe.run.epochs * self.steps_per_epoch
        self.schedule = make_schedule(self.optimizer, total, settings.warmup)
        self.scaler = torch.GradScaler(self.device.type, enabled=self.precision == "fp16")

    @property
    def steps_per_epoch(self) -> int:
        photos, batch = len(self.train_photos), self.recipe.run.batch_size
        full = max(1, photos // batch)
        return min(full, self.recipe.run.max_steps or full)

    def state(self) -> dict[str, Any]:
        """All that changes from step to step."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Puts back what `state` gave."""
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)

    def predictor(self) -> Predictor:
        """The model as it is now, ready to score."""
        return Predictor(self.model, self.train_photos.spec, self.device, self.precision)

    def run(self, checkpoint: Checkpoint, out: Path) -> None:
        """Trains the epochs that are left; saves the checkpoint and the log after each."""
        settings = self.recipe.run
        for epoch in range(len(checkpoint.history), settings.epochs):
            if _is_patience_over(checkpoint, settings.patience):
                say(f"stopping: no better {settings.monitor} for {settings.patience} epochs")
                break
            started = time.monotonic()
            train_loss = self._train_epoch(epoch)
            seconds = time.monotonic() - started
            figures = {
                "epoch": epoch + 1,
                "train_loss": train_loss,
                **self._validate(),
                "lr": self.optimizer.param_groups[0]["lr"],
                "seconds": seconds,
                "photos_per_second": self.steps_per_epoch * settings.batch_size / seconds,
            }
            checkpoint.history.append(figures)
            best = checkpoint.history[checkpoint.best_epoch][settings.monitor]
            if checkpoint.best_epoch < 0 or figures[settings.monitor] > best:
                checkpoint.best_epoch = epoch
                checkpoint.best_state = {
                    key: value.detach().cpu().clone()
                    for key, value in self.model.state_dict().items()
                }
            checkpoint.state = self.state()
            checkpoint.save(out)
            write_log(out, checkpoint.history)
            _report(figures, settings.epochs)

    def _epoch_batches(self, epoch: int) -> Iterator[Sample]:
        # Each epoch draws from a seed of its own: a resumed run sees what it would have seen.
        seed = self.recipe.run.seed * 100_003 + epoch
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        targets = self.train_photos.targets.numpy()
        sampler = make_sampler(self.recipe.data.sampler, targets, generator)
        size = self.recipe.run.batch_size
        read = batches(self.train_photos, size, self.workers, sampler, generator)
        return islice(read, self.steps_per_epoch)

    def _train_epoch(self, epoch: int) -> float:
        """One pass; returns the mean loss."""
        self.model.train()
        total = torch.zeros((), device=self.device)
        steps = self.steps_per_epoch
        title = f"epoch {epoch + 1}/{self.recipe.run.epochs}"
        with progress(steps * self.recipe.run.batch_size, title, "photo") as bar:
            for batch in self._epoch_batches(epoch):
                total += self._step(batch)
                bar.update(len(batch.pixels))
        mean = float(total) / steps
        if not math.isfinite(mean):
            raise FftagError(
                f"the loss is no longer a number in epoch {epoch + 1}: lower optimizer.lr, or set "
                "run.precision to fp32"
            )
        return mean

    def _step(self, batch: Sample) -> torch.Tensor:
        pixels = self.normalise(batch.pixels.to(self.device, non_blocking=True))
        targets = batch.target.to(self.device, non_blocking=True)
        with torch.autocast(
            self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32"
        ):
            outputs = self.model(pixels)
        loss = self.loss(outputs, targets)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.recipe.optimizer.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimizer.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return loss.detach()

    def _validate(self) -> dict[str, float]:
        scored = score_photos(
            self.predictor(), self.val_photos, self.recipe.run.batch_size, self.workers
        )
        targets = self.val_photos.targets
        outputs = models.Outputs(torch.from_numpy(scored.logits), torch.empty(0), None)
        return {
            "val_loss": float(self.loss(outputs, targets)),
            **metrics.summary(targets.numpy(), scored.scores),
        }


def _is_patience_over(checkpoint: Checkpoint, patience: int) -> bool:
    since_best = len(checkpoint.history) - 1 - checkpoint.best_epoch
    return bool(patience) and bool(checkpoint.history) and since_best >= patience


def write_log(out: Path, history: list[dict[str, float]]) -> None:
    """The metrics log: a JSON object per epoch."""
    write_text(out / "log.jsonl", "".join(json.dumps(figures) + "\n" for figures in history))


def _report(figures: dict[str, float], epochs: int) -> None:
    say(
        f"epoch {figures['epoch']}/{epochs}: loss {figures['train_loss']:.4f}, "
        f"validation loss {figures['val_loss']:.4f}, mAP {figures['mAP']:.3f}, "
        f"micro-F1 {figures['micro_f1']:.3f}, {figures['seconds']:.0f} s, "
        f"{figures['photos_per_second']:.0f} photos/s"
    )
