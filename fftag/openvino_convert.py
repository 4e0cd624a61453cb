"""A torch model as an OpenVINO graph."""

import warnings

import torch

from fftag.decode import InputSpec
from fftag.errors import FftagError
from fftag.models import Classifier
from fftag.openvino_core import openvino as ov
from fftag.predict import Deployed


def convert(model: Classifier, spec: InputSpec) -> ov.Model:
    """A torch model, in evaluation mode on the CPU, as an OpenVINO graph for one photo.

    Raises:
        FftagError: OpenVINO lacks an operation of the network.
    """
    example = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that OpenVINO does not know
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that are constants in the trace: they are
            traced = torch.jit.trace(Deployed(model, spec).eval(), example, check_trace=False)
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
