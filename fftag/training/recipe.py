"""The training recipe: small frozen settings that check themselves, set by a TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fftag import models
from fftag.decode import InputSpec
from fftag.errors import FftagError
from fftag.resources import recipes_folder

Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Settings):
    """The network.

    Attributes:
        architecture: a name that `fftag models` lists.
        weights: `imagenet`, `none`, the name of torchvision weights, or a file.
        input_size: height and width in pixels; by default what the architecture was made for.
        resize: how the whole photo is brought to that size.
    """

    architecture: str
    weights: str = "imagenet"
    input_size: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]] | None = None
    resize: Literal["squash", "pad"] = "squash"

    def input_spec(self) -> InputSpec:
        """How photos are presented to this network."""
        spec = models.input_spec(self.architecture, self.weights)
        height, width = self.input_size or (spec.height, spec.width)
        return InputSpec(height, width, self.resize, spec.mean, spec.std)


class DataSettings(Settings):
    """Photos on their way to the network.

    Attributes:
        sampler: `shuffle` sees each photo once an epoch; `class_weighted` draws photos with
            replacement, by the summed weights of their labels (see `fftag.training.sampling`).
        flip: mirror every second photo, left to right.
        crop_area: the smallest share of the photo's area that a random crop keeps; 1 keeps all.
        rotate: rotate by up to this many degrees either way.
        colour_jitter: change brightness, contrast and saturation by up to this share.
        cache_gb: keep decoded photos in memory when they take no more than this, in GiB.
    """

    sampler: Literal["shuffle", "class_weighted"] = "shuffle"
    flip: bool = True
    crop_area: Share = 0.7
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    colour_jitter: Share = 0.0
    cache_gb: Annotated[float, Field(ge=0)] = 2.0


class LossSettings(Settings):
    """The loss.

    Attributes:
        name: `bce` or `focal` (Lin et al. 2017, as in torchvision).
        alpha: weight of positives in the focal loss; -1 for none.
        gamma: focusing of the focal loss.
    """

    name: Literal["bce", "focal"] = "bce"
    alpha: Annotated[float, Field(ge=-1, le=1)] = -1.0
    gamma: Annotated[float, Field(ge=0)] = 2.0


class OptimizerSettings(Settings):
    """AdamW with a linear warm-up and a cosine decay to zero.

    Attributes:
        lr: the highest learning rate.
        weight_decay: not applied to biases and norms.
        warmup: share of all steps that the rate rises over.
        clip_norm: the gradient's norm is cut to this; 0 leaves it.
    """

    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup: Share = 0.05
    clip_norm: Annotated[float, Field(ge=0)] = 1.0


class RunSettings(Settings):
    """The course of the training.

    Attributes:
        epochs: most epochs.
        batch_size: photos per step.
        max_steps: steps per epoch at most; 0 goes through all photos.
        patience: stop after this many epochs without a better validation metric; 0 never stops.
        monitor: the validation metric that picks the best epoch.
        precision: see `fftag.predict.choose_precision`.
        seed: of everything random.
    """

    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=1)] = 32
    max_steps: Annotated[int, Field(ge=0)] = 0
    patience: Annotated[int, Field(ge=0)] = 0
    monitor: Literal["mAP", "micro_f1", "macro_f1"] = "mAP"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    seed: int = 0


class Recipe(Settings):
    """All of a training run that is not data."""

    model: ModelSettings
    data: DataSettings = DataSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    run: RunSettings = RunSettings()


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with fftag."""
    return sorted(path.stem for path in recipes_folder().glob("*.toml"))


def load_recipe(name_or_file: str, changes: dict[str, str] | None = None) -> Recipe:
    """Reads a recipe: a shipped one by name, or a TOML file.

    Args:
        name_or_file: such as `cnn`, or a path.
        changes: settings that beat the file's, `section.key` -> value as TOML (a bare word is
            taken as a string).

    Raises:
        FftagError: there is no such recipe, it is no TOML, or a key or value is not allowed.
    """
    shipped = recipes_folder() / f"{name_or_file}.toml"
    path = shipped if shipped.is_file() else Path(name_or_file)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(shipped_recipes())
        raise FftagError(f"no recipe {name_or_file!r}: name a file, or one of {known}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FftagError(f"recipe {path} is no TOML: {error}") from error
    for key, value in (changes or {}).items():
        _change(content, key, value)
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise FftagError(f"recipe {path}: {_first_problem(error)}") from error
    recipe.model.input_spec()  # an unknown architecture or weights ends here
    return recipe


def _change(content: dict[str, Any], key: str, value: str) -> None:
    section, dot, name = key.partition(".")
    if not dot or not isinstance(content.setdefault(section, {}), dict):
        raise FftagError(f"cannot set {key!r}: write section.key=value, such as optimizer.lr=1e-3")
    try:
        content[section][name] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        content[section][name] = value


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg']} (got {problem['input']!r})"
    section: Any = Recipe
    for part in problem["loc"][:-1]:
        section = section.model_fields[part].annotation
    return f"unknown key {place}: use one of {', '.join(section.model_fields)}"
