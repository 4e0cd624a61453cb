"""The ordered, frozen label set: what a model's outputs, in order, mean."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fftag.base.errors import FftagError

BUILT_IN = Path(__file__).parent / "taxonomies"


@dataclass(frozen=True)
class LabelSet:
    """Label names in the order of the model's outputs, each with its group.

    Attributes:
        names: unique, non-empty label names.
        groups: the supercategory of each label, None where it has none; as long as `names`.

    Raises:
        FftagError: a name is empty or stands twice, or the lengths differ.
    """

    names: tuple[str, ...]
    groups: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.groups):
            raise FftagError(f"{len(self.names)} label names but {len(self.groups)} groups")
        if not self.names:
            raise FftagError("the label set is empty: name at least one label")
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise FftagError(f"label {twice[0]!r} stands twice in the label set: keep one")
        if any(not name.strip() for name in self.names):
            raise FftagError("a label name is empty: give every label a name")

    @classmethod
    def of(cls, names: Iterable[str], groups: Iterable[str | None] | None = None) -> "LabelSet":
        """A label set from names alone, or names and groups."""
        names = tuple(names)
        return cls(names, tuple(groups) if groups is not None else (None,) * len(names))

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each label name."""
        return {name: position for position, name in enumerate(self.names)}

    def unknown(self, labels: Iterable[str]) -> list[str]:
        """Those of `labels` that are not in the set, in the order met, each once."""
        return list(dict.fromkeys(label for label in labels if label not in self.index))

    def encode(self, photos: Sequence[Iterable[str]]) -> np.ndarray:
        """Multi-hot matrix: uint8 [photos, labels], 1 where the photo has the label.

        Raises:
            KeyError: a label is not in the set.
        """
        matrix = np.zeros((len(photos), len(self)), dtype=np.uint8)
        for row, labels in enumerate(photos):
            for label in labels:
                matrix[row, self.index[label]] = 1
        return matrix


def taxonomy_file(name_or_file: str | Path) -> Path:
    """Where a built-in taxonomy lies, or the file that is named."""
    built_in = BUILT_IN / f"{name_or_file}.toml"
    return built_in if built_in.is_file() else Path(name_or_file)


def load_taxonomy(name_or_file: str | Path) -> LabelSet:
    """Reads a taxonomy: the built-in one named (`fashionpedia`), or a TOML file.

    The file holds one `[[label]]` table per label with `name` and, optionally, `group`; their
    order is the order of the label set.

    Raises:
        FftagError: there is no such taxonomy, or the file is not of that form.
    """
    path = taxonomy_file(name_or_file)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))["label"]
        names = [table["name"] for table in tables]
        groups = [table.get("group") for table in tables]
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in BUILT_IN.glob("*.toml")))
        raise FftagError(
            f"no taxonomy {str(name_or_file)!r}: name a TOML file, or one of: {known}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise FftagError(
            f"{path} is no taxonomy: it needs [[label]] tables with name and group ({error})"
        ) from error
    return LabelSet.of(names, groups)
