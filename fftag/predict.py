"""Batches of pixels -> scores and embeddings, on the device at hand."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, LifoQueue
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fftag.compiled import Forward, compiled
from fftag.decode import InputSpec
from fftag.errors import FftagError
from fftag.models import Classifier

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
PIXELS_PER_PASS = 4 * 224 * 224  # on a CPU core: measured fastest
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Predictions(NamedTuple):
    """What the model says of a batch.

    Attributes:
        scores: float32 [batch, labels], each in 0..1.
        embeddings: float32 [batch, features].
        logits: float32 [batch, labels].
        apparel: float32 [batch], the screen's score; None where the model has no screen.
    """

    scores: np.ndarray
    embeddings: np.ndarray
    logits: np.ndarray
    apparel: np.ndarray | None = None

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Those of several batches, as one."""
        columns = zip(*parts, strict=True)
        joined: list[Any] = [None if one[0] is None else np.concatenate(one) for one in columns]
        return cls(*joined)

    def chosen(self, photos: np.ndarray) -> "Predictions":
        """Those of some photos, by their places or by bool [batch]."""
        chosen: list[Any] = [None if one is None else one[photos] for one in self]
        return type(self)(*chosen)


def choose_device(name: str = "auto") -> torch.device:
    """`auto` (CUDA, then Apple's GPU, then the CPU) or a device by name, such as `cuda:1`.

    Raises:
        FftagError: the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise FftagError(f"device {name!r} cannot be used ({first}): try --device cpu") from error
    return device


def choose_devices(names: str = "auto") -> list[torch.device]:
    """Devices by name, such as `cuda:0,cuda:1`; `all` means each CUDA device.

    Args:
        names: separated by commas; one of them alone as in `choose_device`.

    Raises:
        FftagError: one is not there, or they are of different kinds, whose scores differ.
    """
    if names == "all":
        count = torch.cuda.device_count()
        if not count:
            raise FftagError("--device all means each CUDA device, and there is none: leave it out")
        return [torch.device("cuda", number) for number in range(count)]
    devices = [choose_device(name.strip()) for name in names.split(",")]
    if len({device.type for device in devices}) > 1:
        raise FftagError(
            f"--device {names} names devices of different kinds, which do not compute the same "
            "scores: name those of one kind"
        )
    return devices


def choose_precision(name: str, device: torch.device) -> str:
    """`auto` means bf16 on CUDA, where it doubles the pace, and fp32 elsewhere.

    Raises:
        FftagError: there is no such precision.
    """
    if name not in PRECISIONS:
        raise FftagError(f"no precision {name!r}: use one of {', '.join(PRECISIONS)}")
    if name == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return name


def default_batch_size(device: torch.device) -> int:
    """Photos per batch: few on a CPU, where a batch is what one core works off."""
    return 16 if device.type == "cpu" else 128


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


def checked(predictions: Predictions, precision: str) -> Predictions:
    """The same.

    Raises:
        FftagError: a score is not finite; nothing can be told from such a model.
    """
    if np.isfinite(predictions.logits).all():
        return predictions
    raise FftagError(
        "the model gives scores that are not numbers: its weights are broken, or "
        f"{precision} overflows (try --tier exact)"
    )


def photos_per_pass(spec: InputSpec) -> int:
    """How many photos a CPU core computes at once."""
    return max(1, PIXELS_PER_PASS // (spec.height * spec.width))


class Predictor:
    """A model on a device, ready to score photos with torch."""

    def __init__(
        self,
        model: Classifier,
        spec: InputSpec,
        device: torch.device,
        precision: str = "fp32",
        compile_for: int | None = None,
    ) -> None:
        """Takes over a model.

        Args:
            model: in the precision, or in fp32; it is moved to the device.
            spec: its input.
            device: where it computes.
            precision: in what it computes.
            compile_for: photos per pass to compile the network for; on a CPU
                `photos_per_pass(spec)`.

        Raises:
            FftagError: it cannot be compiled.
        """
        self.device = device
        self.spec = spec
        self.precision = precision
        self.model = model.to(device).to(memory_format=torch.channels_last).eval()
        self._forward: Forward = Deployed(self.model, spec, precision).to(device).eval()
        self._fixed = compile_for
        if compile_for:
            shape = (compile_for, spec.height, spec.width, 3)
            self._forward = compiled(self._forward, shape, device)
        self._streams: LifoQueue[Any] = LifoQueue()

    @torch.inference_mode()
    def __call__(self, photos: np.ndarray | Tensor) -> Predictions:
        """Scores photos.

        Args:
            photos: uint8 [batch, height, width, 3], at the model's input size.

        Raises:
            FftagError: a score is not finite; nothing can be told from such a model.
        """
        whole = torch.as_tensor(photos)
        size = self._fixed or (
            photos_per_pass(self.spec) if self.device.type == "cpu" else max(1, len(whole))
        )
        with self._stream():
            parts = [self._pass(part) for part in whole.split(size)]
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
            torch.cuda.synchronize(self.device)  # the weights are there
            stream = torch.cuda.Stream(self.device)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            self._streams.put(stream)

    def _pass(self, photos: Tensor) -> tuple[Tensor, ...]:
        count = len(photos)
        if self._fixed and count < self._fixed:
            photos = torch.cat([photos, photos.new_zeros(self._fixed - count, *photos.shape[1:])])
        if self.device.type == "cuda" and photos.device.type == "cpu":
            photos = photos.pin_memory()  # what is pinned is copied while the device computes
        found = self._forward(photos.to(self.device, non_blocking=True))
        return tuple(array[:count] for array in found)
