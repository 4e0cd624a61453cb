"""Architectures by name: how each is built, what it takes in, and its stages from head to stem."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from fftag.base.errors import FftagError, first_line
from fftag.base.progress import say
from fftag.models.architectures import hugging_face
from fftag.models.architectures.own import OWN
from fftag.models.folder import WEIGHTS, Bundle, shapes
from fftag.photos.decode import InputSpec

CONTAINERS = {
    *("features", "blocks", "layers", "encoder", "trunk_output"),  # of torchvision
    *("network", "model", "layer", "stages"),  # of transformers
}
INCEPTION_LEAST = 299  # its auxiliary head pools away what a smaller photo leaves
NON_COMMERCIAL = {"SWAG": "CC BY-NC 4.0 (non-commercial use only)"}


class Outputs(NamedTuple):
    """What one forward pass gives.

    Attributes:
        logits: float [batch, labels], no sigmoid applied.
        embedding: float [batch, features], what the head sees.
        auxiliary: float [batch, labels], logits of the auxiliary head, in training mode of the
            architectures that have one (inception_v3); else None.
    """

    logits: Tensor
    embedding: Tensor
    auxiliary: Tensor | None


@dataclass(frozen=True)
class Stage:
    """A part of the network that is frozen or trained as one.

    Attributes:
        name: such as `head` or `backbone.layer4`.
        modules: its modules, for switching batch norm between training and evaluation.
        parameters: all its parameters.
    """

    name: str
    modules: tuple[nn.Module, ...]
    parameters: tuple[nn.Parameter, ...]


class Classifier(nn.Module):
    """A backbone that gives an embedding, and a linear head that gives one logit per label.

    Attributes:
        backbone: pixels -> embedding.
        dropout: in training, of the embedding that the head sees; its share is 0 unless set.
        head: embedding -> logits.
    """

    def __init__(self, backbone: nn.Module, features: int, labels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(0.0)
        self.head = nn.Linear(features, labels)

    def forward(self, pixels: Tensor) -> Outputs:
        """Normalised float pixels [batch, 3, height, width] -> logits and embedding."""
        result = self.backbone(pixels)
        embedding, auxiliary = (
            (result[0], result[1]) if isinstance(result, tuple) else (result, None)
        )
        return Outputs(self.head(self.dropout(embedding)), embedding, auxiliary)

    def stages(self) -> list[Stage]:
        """The stages from head to stem; each parameter belongs to exactly one."""
        groups: list[tuple[str, list[nn.Module]]] = []
        for name, module in _children(self.backbone, "backbone"):
            if not any(True for _ in module.parameters()):
                continue
            norm = isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm, nn.LayerNorm))
            if norm and groups:
                groups[-1][1].append(module)  # a norm goes with the layer that it follows
            else:
                groups.append((name, [module]))
        stages = [Stage("head", (self.head,), tuple(self.head.parameters()))]
        for name, modules in reversed(groups):
            parameters = tuple(p for module in modules for p in module.parameters())
            stages.append(Stage(name, tuple(modules), parameters))
        # A class token or position embedding is a parameter of its own: it belongs to the stem.
        seen = {id(p) for stage in stages for p in stage.parameters}
        loose = tuple(p for p in self.parameters() if id(p) not in seen)
        stages[-1] = replace(stages[-1], parameters=(*stages[-1].parameters, *loose))
        return stages


def _children(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Children in forward order, with the big containers opened up."""
    for name, child in module.named_children():
        if name in CONTAINERS:
            yield from _children(child, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", child


def names() -> list[str]:
    """Every architecture of a known input: fftag's own, and torchvision's image classifiers."""
    from torchvision import models as zoo  # takes two seconds to import, here and below

    return [*OWN, *zoo.list_models(module=zoo)]


def input_spec(architecture: str, weights: str = "imagenet") -> InputSpec:
    """The input that an architecture (with certain weights) was made for.

    A model folder keeps its mean, std and interpolation; one of `hugging_face` also its size.

    Raises:
        FftagError: there is no such architecture, or no such weights, or they do not fit.
    """
    content = _own_config(weights).get("input")
    kept = content and InputSpec(
        **{**content, "mean": tuple(content["mean"]), "std": tuple(content["std"])}
    )
    if architecture == hugging_face.NAME:
        return kept or hugging_face.input_spec(hugging_face.checkpoint(weights))
    spec = _published_spec(architecture, weights)
    if kept is None:
        return spec
    return replace(spec, mean=kept.mean, std=kept.std, interpolation=kept.interpolation)


def _own_config(weights: str) -> dict[str, Any]:
    """What `config.json` says where the weights are a model folder of fftag's own, else nothing."""
    try:
        content = json.loads((Path(weights) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and "format_version" in content else {}


def _published_spec(architecture: str, weights: str) -> InputSpec:
    if architecture in OWN:
        return InputSpec(224, 224)
    named = _torchvision_weights(architecture, weights) or _torchvision_weights(
        architecture, "imagenet"
    )
    if named is None:
        return InputSpec(224, 224)
    preset = named.transforms()
    size = preset.crop_size[0]
    return InputSpec(size, size, mean=tuple(preset.mean), std=tuple(preset.std))


def build(
    architecture: str,
    labels: int,
    spec: InputSpec,
    weights: str = "none",
    network: dict[str, Any] | None = None,
) -> Classifier:
    """Builds a classifier.

    Args:
        architecture: one of `names()`.
        labels: number of outputs.
        spec: the input size that it will be given.
        weights: `none` (from scratch), `imagenet` (torchvision's default weights), the name of one
            of torchvision's weights (such as `IMAGENET1K_SWAG_E2E_V1`), or a file: `.safetensors`
            or `.pth` with a state dict of the same torchvision architecture or of this class; or
            a model folder. For `hugging_face` a checkpoint: its folder, or its name on the hub.
            The head is always new.
        network: of `hugging_face` without weights: what `network_json` gave.

    Raises:
        FftagError: no such architecture or weights, the download failed, or the file does not fit.
    """
    if hugging_face.is_checkpoint(Path(weights)) and architecture != hugging_face.NAME:
        raise FftagError(
            f"{weights} is a checkpoint of Hugging Face: train it with the recipe hugging_face, or "
            f"set model.architecture={hugging_face.NAME}"
        )
    named = None
    if architecture == hugging_face.NAME:
        known = network or _own_config(weights).get("network")
        if known is None:
            backbone = hugging_face.load(hugging_face.checkpoint(weights), spec)
            return Classifier(backbone, backbone.features, labels)
        backbone = hugging_face.rebuilt(known, spec)
        model = Classifier(backbone, backbone.features, labels)
    elif architecture in OWN:
        if weights != "none" and not Path(weights).exists():
            raise FftagError(
                f"{architecture} has no published weights: use --weights none, or a file"
            )
        make, features = OWN[architecture]
        model = Classifier(make(), features, labels)
    else:
        named = _torchvision_weights(architecture, weights)
        model = _wrap(architecture, labels, spec, named)
    if weights != "none" and named is None:
        _load_file(model, architecture, Path(weights))
    return model


def network_of(bundle: Bundle) -> Classifier:
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


def _planned(bundle: Bundle) -> Classifier:
    """The network without weights, where it can be had so; else with random ones."""
    config = bundle.config

    def anew() -> Classifier:
        return build(config.architecture, len(config.labels), config.input, network=config.network)

    try:
        # Shapes, and nothing allocated before they are found to fit; nor drawn in vain.
        with torch.device("meta"):
            model = anew()
    except NotImplementedError:  # RegNets compute with tensors while they are built
        return anew()
    # What a network computes when it is built is in no file.
    return anew() if _left_out(model) else model


def _left_out(model: nn.Module) -> bool:
    """Whether a module has buffers that its state dict leaves out."""
    return len(list(model.buffers())) + len(list(model.parameters())) > len(model.state_dict())


def network_json(model: Classifier) -> dict[str, Any] | None:
    """What `build` needs to know of a network that its name alone does not tell, else None."""
    backbone = model.backbone
    return backbone.to_json() if isinstance(backbone, hugging_face.Backbone) else None


def _wrap(architecture: str, labels: int, spec: InputSpec, named: Any | None) -> Classifier:
    """A torchvision network with its last layer taken off, and a new head beside it."""
    options: dict[str, Any] = {}
    if architecture.startswith("vit_"):
        options["image_size"] = spec.height
        if spec.height != spec.width:
            raise FftagError(f"{architecture} takes square photos: give one input size")
    if architecture.startswith("maxvit"):
        options["input_size"] = (spec.height, spec.width)
    if architecture == "inception_v3":
        if min(spec.height, spec.width) < INCEPTION_LEAST:
            raise FftagError(f"inception_v3 takes photos of at least {INCEPTION_LEAST} pixels")
        # Our pixels come with ImageNet's mean and std; its weights want -1..1: it converts.
        options |= {"transform_input": True, "aux_logits": True, "init_weights": named is None}
    if architecture == "googlenet":
        options |= {"transform_input": True, "aux_logits": False, "init_weights": named is None}
    from torchvision import models as zoo

    try:
        network = zoo.get_model(architecture, weights=None, **options)
    except ValueError as error:
        raise FftagError(f"{architecture}: {error}") from error
    if named is not None:
        _load_named(network, architecture, named)
    head = _take_off_head(network, architecture)
    if architecture == "inception_v3":
        auxiliary = network.AuxLogits.fc
        network.AuxLogits.fc = nn.Linear(auxiliary.in_features, labels)
    return Classifier(network, head, labels)


def _take_off_head(network: nn.Module, architecture: str) -> int:
    """Replaces the last linear layer by nothing; returns the number of features it took."""
    if architecture.startswith("squeezenet"):
        # Its classifier is a convolution: keep the dropout and the pooling around it.
        features = network.classifier[1].in_channels  # type: ignore[index, union-attr]
        network.classifier = nn.Sequential(nn.Dropout(), nn.AdaptiveAvgPool2d(1))
        return int(features)
    name, last = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith("AuxLogits")
    ][-1]
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return last.in_features


def _torchvision_weights(architecture: str, weights: str) -> Any | None:
    """The torchvision weights enum that `weights` names, None for `none` and for files."""
    from torchvision import models as zoo

    try:
        choices = zoo.get_model_weights(architecture)
    except ValueError as error:
        raise FftagError(
            f"no architecture {architecture!r}: `fftag models` lists them all"
        ) from error
    if weights == "imagenet":
        return getattr(choices, "DEFAULT", None)
    if weights in choices.__members__:
        return choices[weights]
    if weights == "none" or Path(weights).exists():
        return None
    known = ", ".join(["none", "imagenet", *choices.__members__])
    raise FftagError(f"no weights {weights!r} for {architecture}: use one of {known}, or a file")


def licence(architecture: str, weights: str) -> str | None:
    """The licence of torchvision weights that may not be used for everything, else None."""
    own = architecture in OWN or architecture == hugging_face.NAME
    named = None if own else _torchvision_weights(architecture, weights)
    return next(
        (terms for key, terms in NON_COMMERCIAL.items() if named is not None and key in named.name),
        None,
    )


def _load_named(network: nn.Module, architecture: str, named: Any) -> None:
    terms = licence(architecture, named.name)
    if terms:
        say(f"weights {named.name}: {terms}")
    file = named.url.rpartition("/")[2]
    cache = Path(torch.hub.get_dir()) / "checkpoints" / file
    try:
        state = named.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:
        # Networks and torch raise many kinds of error.
        reason = first_line(error)
        if cache.exists():
            raise FftagError(
                f"cannot read {cache} ({reason}): remove it, and it is downloaded anew"
            ) from error
        raise FftagError(
            f"cannot download the weights {named.name} of {architecture} ({reason}): "
            f"put {file} at {cache}, or use --weights FILE, or train from scratch with "
            "--weights none"
        ) from error
    if architecture.startswith("vit_"):
        from torchvision.models.vision_transformer import interpolate_embeddings

        side, patch = int(network.image_size), int(network.patch_size)  # type: ignore[arg-type]
        state = interpolate_embeddings(side, patch, state)
    if architecture == "googlenet":
        state = {key: value for key, value in state.items() if not key.startswith("aux")}
    network.load_state_dict(state)


def _load_file(model: Classifier, architecture: str, path: Path) -> None:
    """Loads the backbone from a state dict of this class, or of the torchvision architecture."""
    file = path / "model.safetensors" if path.is_dir() else path
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # safetensors and torch raise many kinds of error on files that are not theirs.
        raise FftagError(f"cannot read weights from {file}: {first_line(error)}") from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise FftagError(
            f"{file} holds no state dict: save one with torch.save(network.state_dict(), FILE)"
        )
    own = model.state_dict()
    if not any(key.startswith("backbone.") for key in state):
        state = {f"backbone.{key}": value for key, value in state.items()}
    fitting = {
        key: value
        for key, value in state.items()
        if key in own and own[key].shape == value.shape and not _is_output(key)
    }
    lacking = [key for key in own if key not in fitting and not _is_output(key)]
    if lacking:
        raise FftagError(
            f"{file} does not fit {architecture}: {len(lacking)} tensors are missing or of another "
            f"shape, the first is {lacking[0]}; give weights of that architecture and input size"
        )
    model.load_state_dict(fitting, strict=False)


def fused(model: Classifier) -> Classifier:
    """A model in evaluation mode with its batch norms folded into the convolutions before them.

    A network that torch.fx cannot trace stays as it is.
    """
    if any(isinstance(module, nn.BatchNorm2d) for module in model.backbone.modules()):
        with suppress(TraceError, ValueError):
            model.backbone = fuse(model.backbone)
    return model


def _is_output(key: str) -> bool:
    return key.startswith(("head.", "backbone.AuxLogits.fc."))
