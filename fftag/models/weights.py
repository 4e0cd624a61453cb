"""The network of a model folder, with the weights that lie there."""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fftag.base.errors import FftagError
from fftag.models.architectures import factory
from fftag.models.folder import WEIGHTS, Bundle, shapes


def network_of(bundle: Bundle) -> factory.Classifier:
    """The network with its weights, in evaluation mode, on the CPU.

    Raises:
        FftagError: the weights do not fit the config.
    """
    file = bundle.path / WEIGHTS
    model = _planned(bundle)
    expected = model.state_dict()
    try:
        there = shapes(file)
        wrong = {(key, tuple(value.shape)) for key, value in expected.items()}
        wrong ^= set(there.items())
        if wrong:
            names = {key for key, _ in wrong}
            raise FftagError(
                f"{file} does not fit its config: {len(names)} tensors differ, such as {min(names)}"
            )
        state = load_file(file)
    except SafetensorError as error:
        raise FftagError(f"{file} is no safetensors file: {error}") from error
    # Copies: the file may be replaced while they are in use.
    own = {key: value.to(expected[key].dtype, copy=True) for key, value in state.items()}
    model.load_state_dict(own, assign=True)
    return model.eval()


def _planned(bundle: Bundle) -> factory.Classifier:
    """The network without weights, where it can be had so; else with random ones."""
    config = bundle.config

    def build() -> factory.Classifier:
        return factory.build(
            config.architecture, len(config.labels), config.input, network=config.network
        )

    try:
        # Shapes, and nothing allocated before they are found to fit; nor drawn in vain.
        with torch.device("meta"):
            model = build()
    except NotImplementedError:  # RegNets compute with tensors while they are built
        return build()
    # What a network computes when it is built is in no file.
    return build() if _left_out(model) else model


def _left_out(model: torch.nn.Module) -> bool:
    """Whether a module has buffers that its state dict leaves out."""
    return len(list(model.buffers())) + len(list(model.parameters())) > len(model.state_dict())
