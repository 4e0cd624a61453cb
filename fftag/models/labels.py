"""The ordered, frozen label set: what a model's outputs, in order, mean."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from fftag.base.errors import FftagError

BUILT_IN = Path(__file__).parent / "taxonomies"


UNGROUPED = "labels"  # the group of labels of which no other is said

Kind = Literal["many", "one"]


@dataclass(frozen=True)
class Group:
    """Labels that answer one question.

    Attributes:
        name: of the group.
        kind: `many` where any number of its labels hold, `one` where exactly one does.
        above: what stands above its labels and has no score of its own: name -> its parent, None
            where that is the top.
    """

    name: str
    kind: Kind = "many"
    above: Mapping[str, str | None] = field(default_factory=dict)

    def ancestors(self, parent: str | None) -> Iterator[str]:
        """A parent, its parent, and so on to the top; ends where it would go round."""
        met: set[str] = set()
        while parent is not None and parent not in met:
            yield parent
            met.add(parent)
            parent = self.above.get(parent)


def wrong_labels(
    groups: Sequence[Group], labels: Sequence[tuple[str, str, str | None]]
) -> Iterator[str]:
    """What is wrong with labels and their groups, a line each.

    Args:
        groups: each once.
        labels: group, name and parent of each.
    """
    of_name = {group.name: group for group in groups}
    for name, count in Counter(group.name for group in groups).items():
        if count > 1:
            yield f"the group {name!r} stands {count} times in groups"
    for (name, label), count in Counter((group, label) for group, label, _ in labels).items():
        if count > 1:
            yield f"the label {label!r} stands {count} times in group {name!r}"
        if not label.strip():
            yield f"a label of group {name!r} has no name"
    for name in sorted(of_name.keys() ^ {name for name, _, _ in labels}):
        yield f"the group {name!r} " + ("has no label" if name in of_name else "is not in groups")
    within: dict[str, list[tuple[str, str | None]]] = {name: [] for name in of_name}
    for name, label, parent in labels:
        within.setdefault(name, []).append((label, parent))
    for group in groups:
        own = within[group.name]
        for name, parent in [*own, *group.above.items()]:
            if parent is not None and parent not in group.above:
                yield f"{parent!r}, the parent of {name!r}, is not above group {group.name!r}"
        for name, parent in group.above.items():
            if name in group.ancestors(parent):
                yield f"{name!r} stands above itself in group {group.name!r}"
        for name in sorted(group.above.keys() & {label for label, _ in own}):
            yield f"{name!r} is a label of group {group.name!r}, and above it too"


@dataclass(frozen=True)
class LabelSet:
    """Labels in the order of the model's outputs, each with its group.

    Attributes:
        names: unique, non-empty label names.
        groups: the group of each label; as long as `names`.
        parents: what stands above each label in its group, None where nothing does; likewise.
        group_set: the groups, each once.

    Raises:
        FftagError: a name is empty or stands twice, the lengths differ, or see `wrong_labels`.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    parents: tuple[str | None, ...]
    group_set: tuple[Group, ...]

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
        labels = list(zip(self.groups, self.names, self.parents, strict=True))
        if wrong := next(wrong_labels(self.group_set, labels), None):
            raise FftagError(f"the label set contradicts itself: {wrong}")

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        groups: Iterable[str | None] | None = None,
        parents: Iterable[str | None] | None = None,
        group_set: Iterable[Group] = (),
    ) -> "LabelSet":
        """A label set.

        Args:
            names: of the labels.
            groups: of each; a label of none belongs to the group `labels`.
            parents: of each; by default none has one.
            group_set: the groups of which there is more to say than their name.
        """
        names = tuple(names)
        named = [None] * len(names) if groups is None else list(groups)
        of_each = tuple(group or UNGROUPED for group in named)
        described = {name: Group(name) for name in of_each}
        described |= {group.name: group for group in group_set}
        return cls(
            names,
            of_each,
            tuple(parents) if parents is not None else (None,) * len(names),
            tuple(described.values()),
        )

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
