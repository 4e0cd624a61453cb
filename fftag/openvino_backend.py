"""The model on a CPU through OpenVINO: converted from torch, or quantised to int8 before."""

import threading
import warnings
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from torch import Tensor, nn

from fftag.decode import InputSpec
from fftag.errors import FftagError
from fftag.machine import cores
from fftag.models import Classifier
from fftag.predict import Normalise, Predictions, checked

DEVICE = "CPU"


class _Deployed(nn.Module):
    """uint8 photos in, everything of `Predictions` out: what is converted as one graph."""

    def __init__(self, model: Classifier, spec: InputSpec) -> None:
        super().__init__()
        self.normalise = Normalise(spec)
        self.model = model

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = self.model(self.normalise(photos))
        return outputs.logits.sigmoid(), outputs.embedding, outputs.logits


def convert(model: Classifier, spec: InputSpec) -> ov.Model:
    """A torch model, in evaluation mode on the CPU, as an OpenVINO graph for one photo at a time.

    Raises:
        FftagError: OpenVINO lacks an operation of the network.
    """
    example = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that OpenVINO does not know
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that are constants in the trace: they are
            traced = torch.jit.trace(_Deployed(model, spec).eval(), example, check_trace=False)
            graph = ov.convert_model(traced, example_input=example)
    except Exception as error:
        # The converter raises many kinds of error.
        raise FftagError(
            f"OpenVINO cannot convert this network ({str(error).splitlines()[0]}): "
            "add --backend torch"
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    graph.reshape(list(example.shape))
    return graph


def read_graph(xml: Path) -> ov.Model:
    """A graph that was saved.

    Raises:
        FftagError: it cannot be read.
    """
    try:
        return ov.Core().read_model(xml)
    except RuntimeError as error:
        raise FftagError(
            f"{xml} cannot be read ({str(error).splitlines()[-1]}): run `fftag quantize` again"
        ) from error


def computes_in_bf16() -> bool:
    """Whether this CPU has instructions for bf16, as OpenVINO sees it."""
    return "BF16" in ov.Core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")


class OpenVinoPredictor:
    """A graph on all cores, each computing one photo at a time: see `fftag.predict.Predictor`.

    A photo's scores do not depend on the photos beside it.
    """

    def __init__(self, graph: ov.Model, spec: InputSpec, precision: str) -> None:
        """Compiles the graph.

        Args:
            graph: uint8 [1, height, width, 3] -> scores, embedding, logits.
            spec: the model's input.
            precision: `fp32` or `bf16`, of what is not quantised.
        """
        self.device = torch.device("cpu")
        self.spec = spec
        self.precision = precision
        self._compiled = ov.Core().compile_model(
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
        arrays = [
            np.empty((len(photos), output.shape[1]), np.float32)
            for output in self._compiled.outputs
        ]
        for number in range(len(photos)):
            found = request.infer({0: photos[number : number + 1]}, share_inputs=True)
            for array, output in zip(arrays, self._compiled.outputs, strict=True):
                array[number] = found[output][0]
        return checked(Predictions(*arrays), self.precision)

    def _request(self) -> ov.InferRequest:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        return self._own.request
