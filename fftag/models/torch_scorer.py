"""Batches of pixels -> scores and embeddings, with torch on the device at hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, LifoQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fftag.base.errors import FftagError, first_line
from fftag.base.progress import say
from fftag.models.architectures.factory import Classifier
from fftag.models.devices import Device, choose_device, default_batch_size
from fftag.models.scorers import Predictions, checked, photos_per_pass
from fftag.photos.decode import InputSpec

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(name: str, device: Device) -> str:
    """`auto` means bf16 on CUDA, where it doubles the pace, and fp32 elsewhere.

    Raises:
        FftagError: there is no such precision.
    """
    if name not in PRECISIONS:
        raise FftagError(f"no precision {name!r}: use one of {', '.join(PRECISIONS)}")
    if name == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return name


class Normalise(torch.nn.Module):
    """uint8 photos [batch, height, width, 3] -> normalised float [batch, 3, height, width].

    Bytes cross the bus; floats are made on the device.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
        self.register_buffer("mean", (mean * 255).view(1, 3, 1, 1))
        self.register_buffer("scale", (1 / (std * 255)).view(1, 3, 1, 1))

    def forward(self, photos: Tensor) -> Tensor:
        return (photos.permute(0, 3, 1, 2).float() - self.mean) * self.scale


class Deployed(torch.nn.Module):
    """A model from bytes to scores: uint8 photos in, everything of `Predictions` out."""

    def __init__(self, model: Classifier, spec: InputSpec, precision: str = "fp32") -> None:
        super().__init__()
        self.normalise = Normalise(spec)
        self.model = model
        self.precision = DTYPES[precision]
        self.weights = model.head.weight.dtype

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels = self.normalise(photos).to(self.weights)
        if self.weights == self.precision:
            outputs = self.model(pixels)
        else:
            with torch.autocast(photos.device.type, self.precision):
                outputs = self.model(pixels)
        logits = outputs.logits.float()
        return logits.sigmoid(), outputs.embedding.float(), logits


def rounded(model: Classifier, precision: str) -> Classifier:
    """A model with its weights in a precision, which saves casting them in each pass."""
    model.to(DTYPES[precision])
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # its statistics need all their bits
            module.float()
    return model


def _compiled(
    forward: torch.nn.Module, shape: tuple[int, ...], device: torch.device
) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A module compiled for uint8 inputs of one shape that are made in inference mode.

    Raises:
        FftagError: it cannot be compiled here.
    """
    from torch._inductor import config as inductor  # slow to import

    say("compiling the model, which takes up to a minute")
    try:
        made: Callable[[Tensor], tuple[Tensor, ...]] = torch.compile(forward, dynamic=False)
        # Weights become constants: as an option of torch.compile it comes too late for half of it.
        with torch.inference_mode(), inductor.patch(freezing=True):
            made(torch.zeros(shape, dtype=torch.uint8, device=device))
    except Exception as error:  # the compiler and the tools that it calls raise many kinds
        reason = first_line(error)
        raise FftagError(
            f"the model cannot be compiled here ({reason}): leave out --compile"
        ) from error
    return made


class Predictor:
    """A model on a device, ready to score photos with torch."""

    def __init__(
        self,
        model: Classifier,
        spec: InputSpec,
        device: Device,
        precision: str = "fp32",
        compile_for: int | None = None,
    ) -> None:
        """Takes over a model.

        Args:
            model: in the precision, or in fp32; it is moved to the device.
            spec: its input.
            device: where it computes.
            precision: in what it computes.
            compile_for: photos per pass to compile the network for, on CUDA.

        Raises:
            FftagError: it cannot be compiled.
        """
        self.device = device
        self.spec = spec
        self.precision = precision
        self._on = device.torch
        self.model = model.to(self._on).to(memory_format=torch.channels_last).eval()
        deployed = Deployed(self.model, spec, precision).to(self._on).eval()
        self._forward: Callable[[Tensor], tuple[Tensor, ...]] = deployed
        # Passes of one size compute each photo in one way, whatever is beside it.
        self._size = compile_for
        if device.type == "cpu" and not compile_for:
            self._size = min(photos_per_pass(spec), default_batch_size(device))
        if compile_for:
            shape = (compile_for, spec.height, spec.width, 3)
            self._forward = _compiled(deployed, shape, self._on)
        self._streams: LifoQueue[Any] = LifoQueue()

    @torch.inference_mode()
    def __call__(self, photos: np.ndarray) -> Predictions:
        """Scores photos.

        Args:
            photos: uint8 [batch, height, width, 3], at the model's input size.

        Raises:
            FftagError: a score is not finite; nothing can be told from such a model.
        """
        whole = torch.as_tensor(photos)
        with self._stream():
            parts = [self._pass(part) for part in whole.split(self._size or max(1, len(whole)))]
            arrays = [torch.cat(array).cpu().numpy() for array in zip(*parts, strict=True)]
        return checked(Predictions(*arrays), self.precision)

    @contextmanager
    def _stream(self) -> Iterator[None]:
        """On CUDA, a stream per batch in hand: the copies of one go on while another computes.

        Streams are used again, as each keeps memory of its own.
        """
        if self.device.type != "cuda":
            yield
            return
        try:
            stream = self._streams.get_nowait()
        except Empty:
            torch.cuda.synchronize(self._on)  # the weights are there
            stream = torch.cuda.Stream(self._on)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            self._streams.put(stream)

    def _pass(self, photos: Tensor) -> tuple[Tensor, ...]:
        count = len(photos)
        if self._size and count < self._size:
            photos = torch.cat([photos, photos.new_zeros(self._size - count, *photos.shape[1:])])
        if self.device.type == "cuda":
            photos = photos.pin_memory()  # what is pinned is copied while the device computes
        found = self._forward(photos.to(self._on, non_blocking=True))
        return tuple(array[:count] for array in found)


def predictor_on(device: str, model: Classifier, spec: InputSpec) -> Predictor:
    """A network on a device by its name, in that device's own precision.

    Args:
        device: see `fftag.models.devices.choose_device`.
        model: the network.
        spec: the input that it takes.

    Raises:
        FftagError: the device is not there.
    """
    on = choose_device(device)
    return Predictor(model, spec, on, choose_precision("auto", on))
