"""Vision transformers from Hugging Face: a checkpoint folder -> torchvision's VisionTransformer.

A checkpoint such as google/vit-base-patch16-224 is the same network as torchvision's `vit_b_16`
under other names (Dosovitskiy et al. 2021), with another preprocessing and another epsilon in its
norms.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, cat, nn, zeros

from fftag.decode import InputSpec
from fftag.errors import FftagError

if TYPE_CHECKING:
    from torchvision.models import VisionTransformer  # takes two seconds to import

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = "model.safetensors"
TORCHVISION_EPS = 1e-6
BYTE = 1 / 255
LEFT_OUT = ("classifier.", "pooler.")  # our head is new, and sees the class token itself

# transformers 5 names its modules anew, and writes files under the first names: both are read.
FIRST_NAMES = (
    (r"^vit\.", ""),
    (r"^layers\.", "encoder.layer."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)
LAYER = {
    "ln_1.": "layernorm_before.",
    "self_attention.out_proj.": "attention.output.dense.",
    "ln_2.": "layernorm_after.",
    "mlp.0.": "intermediate.dense.",
    "mlp.3.": "output.dense.",
}


class Shape(NamedTuple):
    """What sets one vision transformer apart from another, under the names in `config.json`."""

    patch_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    intermediate_size: int


SHAPES = {
    "vit_b_16": Shape(16, 12, 12, 768, 3072),
    "vit_b_32": Shape(32, 12, 12, 768, 3072),
    "vit_l_16": Shape(16, 24, 16, 1024, 4096),
    "vit_l_32": Shape(32, 24, 16, 1024, 4096),
    "vit_h_14": Shape(14, 32, 16, 1280, 5120),
}


def _side(value: Any) -> Any:
    """Of a square given as [side, side], its side."""
    if isinstance(value, list) and len(set(value)) == 1:
        return value[0]
    return value


Side = Annotated[int, BeforeValidator(_side), Field(ge=1)]
Three = tuple[float, float, float]
HALVES = (0.5, 0.5, 0.5)


class Config(BaseModel):
    """The part of `config.json` that changes what the network computes, with its defaults."""

    model_type: Literal["vit"]
    patch_size: Side = 16
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_size: int = 768
    intermediate_size: int = 3072
    image_size: Side = 224
    num_channels: Literal[3] = 3
    hidden_act: Literal["gelu"] = "gelu"
    layer_norm_eps: Annotated[float, Field(gt=0)] = 1e-12
    qkv_bias: bool = True

    @property
    def shape(self) -> Shape:
        return Shape(*(getattr(self, name) for name in Shape._fields))


class Preprocessor(BaseModel):
    """The part of `preprocessor_config.json` that fftag follows, with its defaults."""

    do_normalize: bool = True
    do_rescale: Literal[True] = True
    rescale_factor: Annotated[float, Field(ge=0.999 * BYTE, le=1.001 * BYTE)] = BYTE
    image_mean: Three = HALVES
    image_std: tuple[
        Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
    ] = HALVES


Part = TypeVar("Part", bound=BaseModel)


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a folder that transformers wrote, rather than fftag (or nothing)."""
    try:
        content = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "model_type" in content


def input_spec(architecture: str, folder: Path) -> InputSpec:
    """Image size, mean and std of a checkpoint; mean and std are 0.5 where it does not say.

    Raises:
        FftagError: the checkpoint is not of this architecture, or a file of it is damaged.
    """
    side = _config(architecture, folder).image_size
    file = folder / PREPROCESSOR
    steps = _read(Preprocessor, file) if file.exists() else Preprocessor()
    if not steps.do_normalize:
        return InputSpec(side, side, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return InputSpec(side, side, mean=steps.image_mean, std=steps.image_std)


def load(network: nn.Module, architecture: str, folder: Path) -> None:
    """Loads a checkpoint into a torchvision vision transformer whose head was taken off.

    Position embeddings are interpolated where the network takes another image size, and the norms
    take over the checkpoint's epsilon.

    Raises:
        FftagError: the checkpoint is not of this architecture, or a tensor is missing, unknown or
            of another shape.
    """
    from torchvision.models import VisionTransformer

    config = _config(architecture, folder)
    if not isinstance(network, VisionTransformer):
        raise TypeError(f"{architecture} is no vision transformer")
    load_tensors(network, config, folder / WEIGHTS)


def load_tensors(network: "VisionTransformer", config: Config, file: Path) -> None:
    """The second half of `load`: tensor by tensor, each in its place."""
    from torchvision.models.vision_transformer import interpolate_embeddings

    checkpoint = _by_first_name(file)
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    own["encoder.pos_embedding"] = (
        1,
        (config.image_size // config.patch_size) ** 2 + 1,
        config.hidden_size,
    )
    state: dict[str, Tensor] = {}
    missing, misshapen = [], []
    for key, names in _places(config.num_hidden_layers):
        first, *rest = own[key]
        shape = (first // len(names), *rest)
        tensors = []
        for name in names:
            tensor = checkpoint.pop(name, None)
            if tensor is None and key.endswith("in_proj_bias") and not config.qkv_bias:
                tensor = zeros(shape)
            if tensor is None:
                missing.append(name)
            elif tensor.shape != shape:
                misshapen.append(name)
            else:
                tensors.append(tensor.float())
        if len(tensors) == len(names):
            state[key] = cat(tensors)
    unknown = [name for name in checkpoint if not name.startswith(LEFT_OUT)]
    for names_of, what in ((missing, "missing"), (unknown, "unknown"), (misshapen, "misshapen")):
        if names_of:
            raise FftagError(
                f"{file} is not the vision transformer that its {CONFIG} describes: "
                f"{len(names_of)} tensors are {what}, the first is {names_of[0]}"
            )
    network.load_state_dict(interpolate_embeddings(network.image_size, network.patch_size, state))
    set_norm_eps(network, config.layer_norm_eps)


def norm_eps(network: nn.Module) -> float | None:
    """The epsilon of a vision transformer's norms where it is not torchvision's, else None."""
    from torchvision.models import VisionTransformer

    if not isinstance(network, VisionTransformer) or network.encoder.ln.eps == TORCHVISION_EPS:
        return None
    return float(network.encoder.ln.eps)


def set_norm_eps(network: nn.Module, eps: float | None) -> None:
    """Gives all its layer norms this epsilon; None leaves them."""
    for module in network.modules():
        if eps is not None and isinstance(module, nn.LayerNorm):
            module.eps = eps


def _config(architecture: str, folder: Path) -> Config:
    """The config of a checkpoint that is of this architecture."""
    config = _read(Config, folder / CONFIG)
    fitting = [name for name, shape in SHAPES.items() if shape == config.shape]
    if architecture not in fitting:
        values = ", ".join(f"{key} {value}" for key, value in config.shape._asdict().items())
        way_out = f"use {fitting[0]}" if fitting else f"no architecture has its sizes ({values})"
        raise FftagError(f"the checkpoint {folder} does not fit {architecture}: {way_out}")
    return config


def _read(part: type[Part], file: Path) -> Part:
    try:
        return part.model_validate_json(file.read_bytes())
    except OSError as error:
        raise FftagError(f"cannot read {file}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(step) for step in problem["loc"])
        got = f" (got {problem['input']!r})" if place else ""
        message = f"{place}: {problem['msg']}{got}" if place else problem["msg"]
        raise FftagError(f"cannot use {file}: {message}") from error


def _by_first_name(file: Path) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names that transformers gave them before version 5."""
    if not file.exists():
        raise FftagError(
            f"{file.parent} has no {WEIGHTS}: load the checkpoint in transformers and "
            "`save_pretrained` it, which writes one"
        )
    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise FftagError(f"cannot read weights from {file}: {error}".splitlines()[0]) from error
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        first = name
        for pattern, replacement in FIRST_NAMES:
            first = re.sub(pattern, replacement, first)
        # Of two tensors for one place, the second keeps its own name, and is unknown.
        tensors[name if first in tensors else first] = tensor
    return tensors


def _places(depth: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """torchvision's name of each tensor, and of what the checkpoint has to hold for it, in order.

    torchvision holds the projections to queries, keys and values as one tensor, in this order.
    """
    yield "class_token", ("embeddings.cls_token",)
    yield "encoder.pos_embedding", ("embeddings.position_embeddings",)
    for kind in ("weight", "bias"):
        yield f"conv_proj.{kind}", (f"embeddings.patch_embeddings.projection.{kind}",)
    for number in range(depth):
        ours, theirs = f"encoder.layers.encoder_layer_{number}.", f"encoder.layer.{number}."
        for kind in ("weight", "bias"):
            yield (
                f"{ours}self_attention.in_proj_{kind}",
                tuple(
                    f"{theirs}attention.attention.{part}.{kind}"
                    for part in ("query", "key", "value")
                ),
            )
            for here, there in LAYER.items():
                yield f"{ours}{here}{kind}", (f"{theirs}{there}{kind}",)
    for kind in ("weight", "bias"):
        yield f"encoder.ln.{kind}", (f"layernorm.{kind}",)
