"""What in a network's input speaks for a label, at the resolution that the network keeps."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from fftag.base.errors import FftagError
from fftag.models.architectures.factory import Classifier
from fftag.models.architectures.hugging_face import Backbone


def heat(
    model: Classifier, architecture: str, pixels: Tensor, places: Sequence[int]
) -> list[np.ndarray]:
    """A map per label.

    Convolutional networks and Swin transformers: Grad-CAM (Selvaraju et al. 2017) of the last
    feature map before it is pooled. Vision transformers: attention weighted by its gradient,
    gathered over the layers (Chefer, Gur and Wolf 2021, for self-attention).

    Args:
        model: in evaluation mode.
        architecture: its name.
        pixels: float [1, 3, height, width], normalised.
        places: of the labels.

    Returns:
        float32 [rows, columns] for each, not negative.

    Raises:
        FftagError: the network keeps no feature map, or captum is not installed.
    """
    if isinstance(model.backbone, Backbone):
        return [_hugging_face_map(model, model.backbone, pixels, place) for place in places]
    if any(isinstance(module, nn.MultiheadAttention) for module in model.backbone.modules()):
        return [_attention_map(model, pixels, place) for place in places]
    return _grad_cam(model, architecture, pixels, places)


def _hugging_face_map(
    model: Classifier, backbone: Backbone, pixels: Tensor, place: int
) -> np.ndarray:
    """By attention where all tokens see each other, by Grad-CAM where the last state is a map."""
    with backbone.watched() as passes, torch.enable_grad():
        logit = model(pixels).logits[0, place]
    last, attention = passes[0].last_hidden_state, getattr(passes[0], "attentions", None) or ()
    shapes = {(len(layer), layer.shape[-1]) for layer in attention}
    if last.dim() == 4:
        (gradient,) = torch.autograd.grad(logit, last)
        found = (gradient.mean(dim=(2, 3), keepdim=True) * last).sum(dim=1)[0].clamp(min=0)
    elif len(shapes) == 1 and len(pixels) == next(iter(shapes))[0]:
        found = backbone.of_patches(_relevance(logit, attention), pixels)
    else:
        raise FftagError(
            "there are no heat maps of a network of Hugging Face whose tokens see windows of the "
            "photo"
        )
    array: np.ndarray = found.detach().float().cpu().numpy()
    return array


def _grad_cam(
    model: Classifier, architecture: str, pixels: Tensor, places: Sequence[int]
) -> list[np.ndarray]:
    try:
        from captum.attr import LayerGradCam
    except ImportError as error:
        raise FftagError(
            f"heat maps of {architecture} need captum: pip install 'fftag[explain]'"
        ) from error
    layer = _last_map(model, architecture, pixels)
    cam = LayerGradCam(lambda photos: model(photos).logits, layer)
    found = []
    for place in places:
        values = cam.attribute(pixels, target=place, relu_attributions=True)
        found.append(values[0, 0].detach().float().cpu().numpy())
    return found


def _last_map(model: Classifier, architecture: str, pixels: Tensor) -> nn.Module:
    """The layer whose output is the last feature map after the last convolution, unpooled.

    Where channels stand last to the end, as in Swin transformers, it is what brings them forward.
    """
    forward = getattr(model.backbone, "permute", None)
    fired: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            fired.append((module, tuple(output.shape[-2:])))

    hooks = [module.register_forward_hook(note) for module in model.backbone.modules()]
    try:
        with torch.no_grad():
            model(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    times = Counter(id(module) for module, _ in fired)
    last = max(
        (at for at, (module, _) in enumerate(fired) if isinstance(module, nn.Conv2d)), default=None
    )
    height, width = pixels.shape[-2:]
    after = [
        (rows * columns, at, module)
        for at, (module, (rows, columns)) in enumerate(fired)
        # Channels may stand last within a block: those are no columns, and not of its proportions.
        if (
            module is forward if isinstance(forward, nn.Module) else last is not None and at >= last
        )
        and times[id(module)] == 1
        and rows * columns > 1
        and abs(rows * width - columns * height) <= max(width, height)
    ]
    if not after:
        raise FftagError(
            f"there are no heat maps of {architecture} at {width} x {height} pixels, "
            "as it keeps no feature map of them: train with a larger input_size"
        )
    return max(after, key=lambda one: one[:2])[2]


def _attention_map(model: Classifier, pixels: Tensor, place: int) -> np.ndarray:
    with _attention_kept(model.backbone) as kept, torch.enable_grad():
        relevance = _relevance(model(pixels).logits[0, place], kept)
    side = int(model.backbone.patch_size)  # type: ignore[arg-type]
    rows, columns = pixels.shape[-2] // side, pixels.shape[-1] // side
    # Of what the class token has gathered; the token itself comes first.
    found: np.ndarray = relevance[0, 1:].reshape(rows, columns).float().cpu().numpy()
    return found


def _relevance(logit: Tensor, layers: Sequence[Tensor]) -> Tensor:
    """What each token has gathered of each that speaks for a logit: float [tokens, tokens]."""
    relevance = torch.eye(layers[0].shape[-1], device=logit.device)
    gradients = torch.autograd.grad(logit, layers)
    for attention, gradient in zip(layers, gradients, strict=True):
        weighted = (attention * gradient)[0].detach().clamp(min=0).mean(dim=0)
        relevance = relevance + weighted @ relevance
    return relevance


@contextmanager
def _attention_kept(backbone: nn.Module) -> Iterator[list[Tensor]]:
    """Within the block, a list of each layer's attention, [batch, heads, tokens, tokens].

    PyTorch's own attention does not give the weights that its output is computed of.
    """
    kept: list[Tensor] = []
    layers = [module for module in backbone.modules() if isinstance(module, nn.MultiheadAttention)]

    def forward(layer: nn.MultiheadAttention, tokens: Tensor) -> tuple[Tensor, None]:
        batch, count, width = tokens.shape
        size = width // layer.num_heads
        parts = linear(tokens, layer.in_proj_weight, layer.in_proj_bias)
        split = parts.view(batch, count, 3, layer.num_heads, size).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind()
        weights = (query @ key.transpose(-2, -1) / math.sqrt(size)).softmax(dim=-1)
        kept.append(weights)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, count, width)
        return layer.out_proj(mixed), None

    for layer in layers:
        layer.forward = lambda query, *_, of=layer, **__: forward(of, query)  # type: ignore[method-assign]
    try:
        yield kept
    finally:
        for layer in layers:
            del layer.forward
