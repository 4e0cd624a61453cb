"""Vision networks of Hugging Face's transformers: a checkpoint's folder -> a backbone.

Any network that transformers itself knows, from safetensors alone: no code comes with a checkpoint.
"""

import inspect
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from fftag.base.errors import FftagError, first_line
from fftag.photos.decode import InputSpec, Interpolation

NAME = "hugging_face"  # the architecture
CONFIG = "config.json"
EXAMPLE = "google/vit-base-patch16-224"
FILES = (CONFIG, "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
RESAMPLE: dict[int, Interpolation] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}

# Says nothing of what the network computes, or where its code should come from.
LEFT_OUT = {
    *("architectures", "auto_map", "_name_or_path", "transformers_version", "quantization_config"),
    *("attn_implementation", "_attn_implementation", "dtype", "torch_dtype", "return_dict"),
    *("id2label", "label2id", "output_attentions", "output_hidden_states"),
}


class Backbone(nn.Module):
    """A vision network that gives one vector per photo.

    It is what the network's own image classifier sees: its pooled output, or its class token where
    the pooler is a layer of a pretraining task, or the mean of what it keeps of the photo.

    Attributes:
        network: of transformers.
        features: of the embedding.
    """

    def __init__(self, network: Any, spec: InputSpec, features: int | None = None) -> None:
        """Takes over a network.

        Args:
            network: a `PreTrainedModel` that takes `pixel_values`.
            spec: the input that it will be given.
            features: of its embedding; by default it is tried out.

        Raises:
            FftagError: it takes no photos of that size.
        """
        super().__init__()
        if hasattr(getattr(network, "pooler", None), "dense"):
            network.pooler = None
        self.network = network
        names = [name for name, _ in network.named_parameters()]
        self._has_class_token = any(re.search(r"cls_token|class_", name) for name in names)
        self._options: dict[str, bool] = {}
        if "interpolate_pos_encoding" in inspect.signature(network.forward).parameters:
            made_for = _sides(network.config.image_size)
            self._options["interpolate_pos_encoding"] = made_for != (spec.height, spec.width)
        self.features = features or self._tried(spec)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised float pixels [batch, 3, height, width] -> float [batch, features]."""
        found = self.network(pixels, **self._options)
        pooled: Tensor | None = getattr(found, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        kept: Tensor = found.last_hidden_state
        if kept.dim() == 4:
            return kept.mean(dim=(2, 3))
        return kept[:, 0] if self._has_class_token else kept.mean(dim=1)

    def to_json(self) -> dict[str, Any]:
        """What `rebuilt` needs."""
        config = json.loads(self.network.config.to_json_string(use_diff=False))
        return {"features": self.features, "config": _cleaned(config)}

    @contextmanager
    def watched(self) -> Iterator[list[Any]]:
        """Within the block, a list of what the network gives, pass by pass, with all attention."""
        passes: list[Any] = []
        usual = self.network.config._attn_implementation
        hook = self.network.register_forward_hook(lambda _, given, found: passes.append(found))
        self.network.set_attn_implementation("eager")
        self._options["output_attentions"] = True
        try:
            yield passes
        finally:
            del self._options["output_attentions"]
            self.network.set_attn_implementation(usual)
            hook.remove()

    def of_patches(self, relevance: Tensor, pixels: Tensor) -> Tensor:
        """What the embedding has of each patch, [rows, columns], by tokens [tokens, tokens]."""
        height, width = _sides(self.network.config.patch_size)
        rows, columns = pixels.shape[-2] // height, pixels.shape[-1] // width
        # Class and register tokens come first.
        patches = relevance[:, -rows * columns :]
        averages = getattr(self.network.config, "use_mean_pooling", False)
        if self._has_class_token and not averages:
            return patches[0].reshape(rows, columns)
        return patches[-rows * columns :].mean(dim=0).reshape(rows, columns)

    def _tried(self, spec: InputSpec) -> int:
        photo = torch.zeros(1, 3, spec.height, spec.width)
        kind = self.network.config.model_type
        try:
            with torch.no_grad():
                found: Tensor = self.eval()(photo)
        except Exception as error:
            # What does not fit shows in as many ways as there are networks.
            raise FftagError(
                f"a network of kind {kind} takes no photos of {spec.width} x {spec.height} pixels "
                f"({first_line(error)}): set model.input_size to what it was made for"
            ) from error
        return found.shape[1]


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a folder that transformers wrote, rather than fftag (or nothing)."""
    try:
        content = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "model_type" in content


def checkpoint(weights: str) -> Path:
    """The folder of a checkpoint: one that is there, or that of a name on the hub, downloaded.

    Raises:
        FftagError: there is no such folder, or the download failed.
    """
    if is_checkpoint(Path(weights)):
        return Path(weights)
    if Path(weights).exists():
        raise FftagError(
            f"{weights} is no checkpoint of transformers: give the folder that `save_pretrained` "
            f"wrote, with a {CONFIG} that has a model_type"
        )
    if not HUB_NAME.fullmatch(weights):
        raise FftagError(
            f"{NAME} with --weights {weights}: give the folder of a checkpoint, or its name on the "
            f"hub, such as {EXAMPLE}"
        )
    return _downloaded(weights)


@cache
def _downloaded(name: str) -> Path:
    _transformers()
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:
        # The hub's client raises many kinds of error.
        raise FftagError(
            f"cannot download {name} ({first_line(error)}): where there is a network, run "
            f"`hf download {name} --local-dir FOLDER` and give --weights FOLDER, or take "
            "torchvision's recipe vit_b_16 with a file of its weights"
        ) from error
    if not is_checkpoint(folder):
        raise FftagError(f"{name} on the hub is no checkpoint of transformers")
    return folder


def input_spec(folder: Path) -> InputSpec:
    """Size, interpolation, mean and std of a checkpoint, as its image processor has them.

    Raises:
        FftagError: it has none, or one whose steps fftag does not take.
    """
    _transformers()
    from transformers import AutoImageProcessor

    try:
        steps: Any = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        # So many kinds of error, as in all that reads what others wrote.
        raise FftagError(
            f"cannot read how {folder} takes photos ({first_line(error)}): copy its "
            "preprocessor_config.json from where the checkpoint came from"
        ) from error
    size = steps.crop_size if getattr(steps, "do_center_crop", None) else steps.size
    height, width = size.height or size.shortest_edge, size.width or size.shortest_edge
    if not (height and width and steps.resample in RESAMPLE):
        raise FftagError(
            f"{folder} wants photos of another kind (size {size}, resample {steps.resample}): "
            "fftag takes a height and width, and lanczos, bilinear or bicubic interpolation"
        )
    if not steps.do_rescale or not 0.999 <= 255 * steps.rescale_factor <= 1.001:
        raise FftagError(f"{folder} wants pixels in a range other than 0 to 1, which fftag gives")
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if steps.do_normalize:
        mean, std = tuple(steps.image_mean), tuple(steps.image_std)
    return InputSpec(height, width, mean=mean, std=std, interpolation=RESAMPLE[int(steps.resample)])


def load(folder: Path, spec: InputSpec) -> Backbone:
    """The network of a checkpoint, with its weights, in 32 bits.

    Raises:
        FftagError: it is no vision network that transformers knows, its weights are no safetensors
            or do not fit its config, or it takes no such photos.
    """
    library = _transformers()
    try:
        config = _config(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        network, found = library.AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except FftagError:
        raise
    except Exception as error:
        raise FftagError(
            f"cannot load the checkpoint {folder} ({first_line(error)}): give one that this "
            "transformers knows, with its weights as safetensors (`save_pretrained` writes them)"
        ) from error
    backbone = Backbone(_of_photos(network), spec)
    lacking = sorted(set(found["missing_keys"]) & set(network.state_dict()))
    if lacking:
        raise FftagError(
            f"{folder} is not the network that its {CONFIG} describes: {len(lacking)} tensors are "
            f"missing, the first is {lacking[0]}"
        )
    return backbone


def rebuilt(network: dict[str, Any], spec: InputSpec) -> Backbone:
    """A network without weights, of what `Backbone.to_json` gave.

    Raises:
        FftagError: this transformers does not know it.
    """
    library = _transformers()
    try:
        config = _config(network["config"])
        made = library.AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    except Exception as error:
        raise FftagError(
            f"the model's network cannot be built ({first_line(error)}): it is of another version "
            "of transformers"
        ) from error
    return Backbone(_of_photos(made), spec, network["features"])


def _transformers() -> ModuleType:
    """The library, silent.

    Raises:
        FftagError: it is not installed.
    """
    try:
        import transformers  # seconds
    except ImportError as error:
        raise FftagError(
            "networks of Hugging Face need transformers: pip install 'fftag[transformers]'"
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def _config(content: dict[str, Any]) -> Any:
    """A config of transformers; of a network of photos and text, that of the photos."""
    from transformers import AutoConfig

    config = AutoConfig.for_model(**_cleaned(content))
    of_photos = getattr(config, "vision_config", config)
    # What hides patches is for pretraining.
    for name, value in (("use_mask_token", False), ("mask_ratio", 0.0)):
        if hasattr(of_photos, name):
            setattr(of_photos, name, value)
    return of_photos


def _cleaned(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _cleaned(value) for key, value in content.items() if key not in LEFT_OUT}
    return content


def _of_photos(network: Any) -> Any:
    if network.main_input_name != "pixel_values":
        raise FftagError(
            f"a network of kind {network.config.model_type} takes no photos: give a vision network"
        )
    return network


def _sides(size: Any) -> tuple[int, int]:
    """Height and width, of a size that may be given as one number."""
    return cast(tuple[int, int], (size, size) if isinstance(size, int) else tuple(size))
