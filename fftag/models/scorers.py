"""What a model says of photos, and the tier a user asks for -> a backend and a precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np

from fftag.base.errors import FftagError
from fftag.models.devices import Device
from fftag.models.folder import Bundle, load_quantized
from fftag.models.screen import Screen
from fftag.photos.decode import InputSpec

TIERS = ("exact", "fast", "int8")
BACKENDS = ("auto", "torch", "openvino")
PIXELS_PER_PASS = 4 * 224 * 224  # on a CPU core: measured fastest


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


class Scorer(Protocol):
    """Photos -> predictions, whatever computes them.

    Attributes:
        device: where it computes.
        spec: the input that it takes.
    """

    device: Device
    spec: InputSpec

    def __call__(self, photos: np.ndarray) -> Predictions:
        """Scores a batch of uint8 [batch, height, width, 3]; threads may call at the same time."""


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


class Screened:
    """A scorer, and the screen's score of each photo from the same forward pass."""

    def __init__(self, scorer: Scorer, screen: Screen) -> None:
        self.device = scorer.device
        self.spec = scorer.spec
        self._scorer = scorer
        self._screen = screen

    def __call__(self, photos: np.ndarray) -> Predictions:
        """See `Scorer`."""
        found = self._scorer(photos)
        return found._replace(apparel=self._screen.scores(found.embeddings))


@dataclass(frozen=True)
class Arithmetic:
    """How scores are computed.

    Attributes:
        backend: `torch` or `openvino`.
        precision: `fp32`, `bf16`, `fp16` or `int8`.
    """

    backend: str
    precision: str

    def to_json(self) -> dict[str, Any]:
        return {"backend": self.backend, "precision": self.precision}


def choose_arithmetic(tier: str, backend: str, device: Device) -> Arithmetic:
    """What a tier means on a device.

    Args:
        tier: `exact` (fp32), `fast` (half precision where the device computes in it) or `int8`.
        backend: `torch`, `openvino`, or `auto`: OpenVINO for `fast` and `int8` on a CPU where it
            is installed, else torch.
        device: see `fftag.models.devices.choose_device`.

    Raises:
        FftagError: there is no such tier or backend, or not on this device.
    """
    if tier not in TIERS:
        raise FftagError(f"no tier {tier!r}: use one of {', '.join(TIERS)}")
    if backend not in BACKENDS:
        raise FftagError(f"no backend {backend!r}: use one of {', '.join(BACKENDS)}")
    installed = find_spec("openvino") is not None
    if backend == "auto":
        wanted = tier == "int8" or (tier == "fast" and installed and device.type == "cpu")
        backend = "openvino" if wanted else "torch"
    if backend == "torch":
        if tier == "int8":
            raise FftagError("int8 is computed by OpenVINO: leave out --backend torch")
        return Arithmetic(backend, "fp32" if tier == "exact" else _torch_half(device))
    if device.type != "cpu":
        what = "int8" if tier == "int8" else "OpenVINO"
        raise FftagError(f"{what} is for CPUs here: add --device cpu, or use --tier fast")
    if not installed:
        raise FftagError("OpenVINO is not installed: pip install 'fftag[openvino]'")
    if tier == "int8":
        return Arithmetic(backend, "int8")
    return Arithmetic(backend, "fp32" if tier == "exact" else _openvino_half())


def open_scorer(
    bundle: Bundle,
    arithmetic: Arithmetic,
    device: Device,
    compile_for: int | None = None,
) -> Scorer:
    """A model ready to score photos, and to screen them where its folder has a screen.

    Args:
        bundle: the model.
        arithmetic: how it computes.
        device: where.
        compile_for: see `fftag.models.torch_scorer.Predictor`; torch only.

    Raises:
        FftagError: the weights do not fit the config, the network cannot be converted, the
            model has not been quantised, or the network cannot be compiled.
    """
    scorer = _open_scorer(bundle, arithmetic, device, compile_for)
    return scorer if bundle.screen is None else Screened(scorer, bundle.screen)


def _open_scorer(
    bundle: Bundle, arithmetic: Arithmetic, device: Device, compile_for: int | None
) -> Scorer:
    spec = bundle.config.input
    if arithmetic.backend == "torch":
        from fftag.models.architectures.factory import fused
        from fftag.models.torch_scorer import Predictor, rounded

        model = rounded(fused(bundle.build()), arithmetic.precision)
        return Predictor(model, spec, device, arithmetic.precision, compile_for)
    from fftag.models.openvino_scorer import OpenVinoPredictor, graph_of, read_graph

    if arithmetic.precision == "int8":
        graph = read_graph(load_quantized(bundle).graph)
        return OpenVinoPredictor(graph, spec, _openvino_half())
    return OpenVinoPredictor(graph_of(bundle), spec, arithmetic.precision)


def scores_id(bundle: Bundle, precision: str) -> str:
    """SHA-256 of what the scores of a precision depend on, but for rounding.

    Raises:
        FftagError: int8, and the model has not been quantised.
    """
    if precision == "int8":
        return load_quantized(bundle).scores_id
    return bundle.scores_id


def _torch_half(device: Device) -> str:
    """The fastest precision of a device in torch."""
    import torch

    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "mps":
        return "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


def _openvino_half() -> str:
    from fftag.models.openvino_scorer import computes_in_bf16

    return "bf16" if computes_in_bf16() else "fp32"
