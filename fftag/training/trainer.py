"""The epochs of a training: steps, validation, the best weights kept."""

import json
import math
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fftag.base.atomic import write_text
from fftag.base.errors import FftagError
from fftag.base.progress import progress, say
from fftag.data.photos import Batch, Photos, batches
from fftag.evaluation import metrics
from fftag.evaluation.score_split import score_photos
from fftag.models.architectures import factory
from fftag.models.devices import Device
from fftag.models.folder import LOG
from fftag.models.torch_scorer import DTYPES, Normalise, Predictor, choose_precision
from fftag.training.checkpoint import Checkpoint
from fftag.training.learning_rates import Freezer, make_optimizer, make_rates, trainable
from fftag.training.losses import make_loss
from fftag.training.processes import Processes, RankSampler
from fftag.training.recipe import Recipe
from fftag.training.sampling import make_sampler


class Trainer:
    """A model, its optimizer, and the photos it learns from."""

    def __init__(
        self,
        model: factory.Classifier,
        recipe: Recipe,
        device: Device,
        processes: Processes,
        workers: int,
        train_photos: Photos,
        val_photos: Photos,
    ) -> None:
        """Prepares the first step.

        Args:
            model: from scratch, or with pretrained weights.
            recipe: how to train it.
            device: where.
            processes: who trains it.
            workers: decoding processes, where photos are not in memory.
            train_photos: to learn from.
            val_photos: to judge each epoch by; of several processes, each has its share.
        """
        self.recipe = recipe
        self.processes = processes
        self.train_photos = train_photos
        self.val_photos = val_photos
        self.workers = workers
        self.device = device
        self._on = device.torch
        self.precision = choose_precision(recipe.run.precision, device)
        if processes.world > 1 and device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        layout = torch.channels_last if recipe.run.channels_last else torch.contiguous_format
        self.model = model.to(self._on, memory_format=layout)  # type: ignore[call-overload]
        self.layout = layout
        self.normalise = Normalise(train_photos.spec).to(self._on)
        prevalence = train_photos.targets.mean(dim=0)
        self.loss = make_loss(recipe.loss, prevalence)
        self.optimizer = make_optimizer(model, recipe.optimizer)
        rates = make_rates(
            recipe.optimizer,
            recipe.freeze,
            len(model.stages()),
            recipe.run.epochs,
            self.steps_per_epoch,
        )
        self.freezer = Freezer(model, self.optimizer, rates)
        self.scaler = torch.GradScaler(device.type, enabled=self.precision == "fp16")
        self.average = average_of(model, recipe.run.ema) if recipe.run.ema else None
        self.forward = self._wrap()

    def _wrap(self) -> nn.Module:
        """The model as it is called in a step: compiled, its gradients shared."""
        module: nn.Module = self.model
        if self.processes.world > 1:
            module = DistributedDataParallel(module, broadcast_buffers=False)
        return torch.compile(module) if self.recipe.run.compile else module  # type: ignore[return-value]

    @property
    def photos_per_step(self) -> int:
        return self.recipe.run.batch_size * self.recipe.optimizer.accumulate

    @property
    def steps_per_epoch(self) -> int:
        full = max(1, len(self.train_photos) // self.photos_per_step)
        return min(full, self.recipe.run.max_steps or full)

    def state(self) -> dict[str, Any]:
        """All that changes from step to step, but for the number of the step."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        return state | ({"average": self.average.state_dict()} if self.average else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Puts back what `state` gave."""
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)

    def best_candidate(self) -> factory.Classifier:
        """The network to validate and to keep: the average of its weights where there is one."""
        return self.average.module if self.average else self.model  # type: ignore[return-value]

    def predictor(self) -> Predictor:
        """That network, ready to score."""
        spec = self.train_photos.spec
        return Predictor(self.best_candidate(), spec, self.device, self.precision)

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
            checkpoint.history.append(
                {
                    "epoch": epoch + 1,
                    "train_loss": train_loss,
                    **self._validate(),
                    "lr": self.optimizer.param_groups[0]["lr"],
                    "frozen_stages": len(self.freezer.frozen()),
                    "seconds": seconds,
                    "photos_per_second": self.steps_per_epoch * self.photos_per_step / seconds,
                }
            )
            _keep_best(checkpoint, settings.monitor, self.best_candidate())
            checkpoint.state = self.state()
            if self.processes.first:
                checkpoint.save(out)
                write_log(out, checkpoint.history)
            _report(checkpoint.history[-1], settings.epochs)

    def _epoch_batches(self, epoch: int) -> Iterator[Batch]:
        # Each epoch draws from a seed of its own: a resumed run sees what it would have seen.
        seed = self.recipe.run.seed * 100_003 + epoch
        generator = torch.Generator().manual_seed(seed)
        # The order of the photos is the one that published figures rest on: drawn second.
        torch.empty((), dtype=torch.int64).random_(generator=generator)
        torch.manual_seed(seed + 7_919 * self.processes.rank)
        order = make_sampler(self.recipe.data.sampler, self.train_photos.targets.numpy(), generator)
        size = self.recipe.run.batch_size
        if self.processes.world > 1:
            order = RankSampler(order, size, self.processes)
            size //= self.processes.world
        return batches(self.train_photos, size, self.workers, order)

    def _train_epoch(self, epoch: int) -> float:
        """One pass; returns the mean loss."""
        self.model.train()
        total = torch.zeros((), device=self._on)
        steps, accumulate = self.steps_per_epoch, self.recipe.optimizer.accumulate
        title = f"epoch {epoch + 1}/{self.recipe.run.epochs}"
        read = self._epoch_batches(epoch)
        with progress(steps * self.photos_per_step, title, "photo") as bar:
            for step in range(steps):
                if self.freezer.apply(epoch * steps + step):
                    self.forward = self._wrap()  # what learns is looked up when it is wrapped
                for batch in islice(read, accumulate):
                    total += self._backward(batch) / accumulate
                    bar.update(len(batch.pixels) * self.processes.world)
                self._update()
        mean = float(self.processes.mean(total)) / steps
        if not math.isfinite(mean):
            raise FftagError(
                f"the loss is no longer a number in epoch {epoch + 1}: lower optimizer.lr, or set "
                "run.precision to fp32"
            )
        return mean

    def _backward(self, batch: Batch) -> torch.Tensor:
        pixels = self.normalise(batch.pixels.to(self._on, non_blocking=True))
        pixels = pixels.contiguous(memory_format=self.layout)
        targets = batch.target.to(self._on, non_blocking=True)
        with torch.autocast(
            self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32"
        ):
            outputs = self.forward(pixels)
        loss = self.loss(outputs, targets)
        self.scaler.scale(loss / self.recipe.optimizer.accumulate).backward()
        return loss.detach()

    def _update(self) -> None:
        if self.recipe.optimizer.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(trainable(self.model), self.recipe.optimizer.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update_parameters(self.model)

    def _validate(self) -> dict[str, float]:
        size = self.recipe.run.batch_size
        scored = score_photos(self.predictor(), self.val_photos, size, self.workers)
        share = [scored.logits, scored.scores, self.val_photos.targets.numpy()]
        logits, scores, targets = self.processes.gather(share, self.val_photos.of)
        outputs = factory.Outputs(torch.from_numpy(logits), torch.empty(0), None)
        return {
            "val_loss": float(self.loss(outputs, torch.from_numpy(targets))),
            **metrics.summary(targets, scores),
        }


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of a model's weights and buffers.

    Its decay warms up as (1 + n) / (10 + n) over the updates n, so that the random start is
    forgotten early (Tan and Le 2019 in TensorFlow's ExponentialMovingAverage).
    """

    def update(average: Any, current: Any, updates: Any) -> None:
        n = int(updates)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(average, current, updates)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def _keep_best(checkpoint: Checkpoint, monitor: str, model: nn.Module) -> None:
    history = checkpoint.history
    if checkpoint.best_epoch < 0 or history[-1][monitor] > history[checkpoint.best_epoch][monitor]:
        checkpoint.best_epoch = len(history) - 1
        checkpoint.best_state = {
            key: value.detach().cpu().clone() for key, value in model.state_dict().items()
        }


def _is_patience_over(checkpoint: Checkpoint, patience: int) -> bool:
    since_best = len(checkpoint.history) - 1 - checkpoint.best_epoch
    return bool(patience) and bool(checkpoint.history) and since_best >= patience


def write_log(out: Path, history: list[dict[str, float]]) -> None:
    """The metrics log: a JSON object per epoch."""
    write_text(out / LOG, "".join(json.dumps(figures) + "\n" for figures in history))


def _report(figures: dict[str, float], epochs: int) -> None:
    say(
        f"epoch {figures['epoch']}/{epochs}: loss {figures['train_loss']:.4f}, "
        f"validation loss {figures['val_loss']:.4f}, mAP {figures['mAP']:.3f}, "
        f"micro-F1 {figures['micro_f1']:.3f}, {figures['seconds']:.0f} s, "
        f"{figures['photos_per_second']:.0f} photos/s"
    )
