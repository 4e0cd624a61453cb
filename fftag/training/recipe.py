"""The training recipe: all settings of a run, read from a TOML file."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fftag.base.errors import FftagError
from fftag.base.resources import recipes_folder
from fftag.training.settings import (
    DataSettings,
    FreezeSettings,
    LossSettings,
    ModelSettings,
    OptimizerSettings,
    RunSettings,
    ScreenSettings,
    Settings,
    TagSettings,
)


class Recipe(Settings):
    """All of a training run that is not data."""

    model: ModelSettings
    data: DataSettings = DataSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    freeze: FreezeSettings = FreezeSettings()
    tags: TagSettings = TagSettings()
    screen: ScreenSettings = ScreenSettings()
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
    recipe = _validated(content, changes or {}, f"recipe {path}")
    recipe.model.input_spec()  # an unknown architecture or weights ends here
    return recipe


def change_recipe(recipe: Recipe, changes: dict[str, str]) -> Recipe:
    """A recipe with some settings changed; see `load_recipe`."""
    return _validated(recipe.model_dump(mode="json"), changes, "recipe")


def _validated(content: dict[str, Any], changes: dict[str, str], what: str) -> Recipe:
    for key, value in changes.items():
        _change(content, key, value)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise FftagError(f"{what}: {_first_problem(error)}") from error


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
