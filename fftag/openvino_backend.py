"""The model on a CPU through OpenVINO, which has no need of torch."""

import threading
from pathlib import Path

import numpy as np

from fftag.decode import InputSpec
from fftag.devices import CPU
from fftag.errors import FftagError
from fftag.machine import cores
from fftag.openvino_core import core
from fftag.openvino_core import openvino as ov
from fftag.predictions import Predictions, checked, photos_per_pass

DEVICE = "CPU"


def read_graph(xml: Path) -> ov.Model:
    """A graph that was saved.

    Raises:
        FftagError: it cannot be read.
    """
    try:
        return core().read_model(xml)
    except RuntimeError as error:
        raise FftagError(
            f"{xml} cannot be read ({str(error).splitlines()[-1]}): run `fftag quantize` again"
        ) from error


def computes_in_bf16() -> bool:
    """Whether this CPU has instructions for bf16, as OpenVINO sees it."""
    return "BF16" in core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")


class OpenVinoPredictor:
    """A graph on all cores, each computing some photos at a time: see `fftag.predict.Predictor`."""

    def __init__(self, graph: ov.Model, spec: InputSpec, precision: str) -> None:
        """Compiles the graph.

        Args:
            graph: uint8 [1, height, width, 3] -> scores, embedding, logits; it is changed.
            spec: the model's input.
            precision: `fp32` or `bf16`, of what is not quantised.
        """
        self.device = CPU
        self.spec = spec
        self.precision = precision
        self._count = photos_per_pass(spec)
        graph.reshape([self._count, spec.height, spec.width, 3])
        self._compiled = core().compile_model(
            graph,
            DEVICE,
            {
                "NUM_STREAMS": cores(),
                "INFERENCE_NUM_THREADS": cores(),
                "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            },
        )
        self._own = threading.local()

    def __call__(self, photos: np.ndarray) -> Predictions:
        """Scores photos; several threads may call at a time.

        Args:
            photos: uint8 [batch, height, width, 3], at the model's input size.

        Raises:
            FftagError: a score is not finite.
        """
        request = self._request()
        outputs = self._compiled.outputs
        arrays = [np.empty((len(photos), output.shape[1]), np.float32) for output in outputs]
        for first in range(0, len(photos), self._count):
            some = photos[first : first + self._count]
            found = request.infer({0: self._filled(some)}, share_inputs=True)
            for array, output in zip(arrays, outputs, strict=True):
                array[first : first + len(some)] = found[output][: len(some)]
        return checked(Predictions(*arrays), self.precision)

    def _filled(self, photos: np.ndarray) -> np.ndarray:
        """As many photos as the graph takes; black ones behind those that are given."""
        missing = self._count - len(photos)
        return np.pad(photos, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else photos

    def _request(self) -> ov.InferRequest:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        return self._own.request
