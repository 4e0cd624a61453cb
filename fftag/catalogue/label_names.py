"""What labels are called where they are shown: a taxonomy's names, in one language or several."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fftag.base.errors import FftagError
from fftag.models.labels import Kind, load_taxonomy, taxonomy_file
from fftag.tagging.tags_file import RunInfo

COUNTS = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True)
class Name:
    """A name of a label.

    Attributes:
        label: the name that it is shown under.
        group: of the label.
        name: the label's own, a synonym, or a translation.
        language: of a translation; None for a name that a model may have.
    """

    label: str
    group: str | None
    name: str
    language: str | None = None


def read_taxonomy(name_or_file: str | None) -> list[Name]:
    """The names in a taxonomy; none for None.

    Each `[[label]]` may have, besides `name` and `group` (see `fftag.models.labels.load_taxonomy`),
    `synonyms`, a list of names that mean the same, and a table `translations` by language.

    Raises:
        FftagError: it is none, or a name stands for two labels.
    """
    if name_or_file is None:
        return []
    groups = load_taxonomy(name_or_file).groups
    path = taxonomy_file(name_or_file)
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["label"]
    names = [
        name
        for group, table in zip(groups, tables, strict=True)
        for name in _names_of(table, group, str(path))
    ]
    labels: dict[str, str] = {}
    for one in names:
        if one.language is None and labels.setdefault(one.name, one.label) != one.label:
            raise FftagError(
                f"{path}: {one.name!r} stands for {labels[one.name]!r} and for {one.label!r}"
            )
    return names


def _names_of(table: dict[str, Any], group: str | None, where: str) -> Iterator[Name]:
    label, synonyms = table["name"], table.get("synonyms", [])
    translations = table.get("translations", {})
    if not isinstance(synonyms, list) or not all(map(_is_name, synonyms)):
        raise FftagError(f"{where}: synonyms of {label!r} are a list of names")
    if not isinstance(translations, dict) or not all(map(_is_name, translations.values())):
        raise FftagError(f"{where}: translations of {label!r} are a table, language = name")
    for name in dict.fromkeys([label, *synonyms]):
        yield Name(label, group, name)
    for language, name in translations.items():
        yield Name(label, group, name, language)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


@dataclass(frozen=True)
class ShownLabel:
    """A label of one model, as it is shown.

    Attributes:
        position: in the model's scores; None of what stands above labels, which has none.
        key: the model's group and name.
        group: that it is shown in.
        label: that it is shown under.
        kind: of its group; see `fftag.models.labels.Group`.
        parent: what stands above it, as it is shown; None where nothing does.
        threshold: the model's, or its group's; None of what stands above labels.
        counts: `tp`, `fp`, `fn`, `tn` on the validation split; empty where there are none.
    """

    position: int | None
    key: tuple[str, str]
    group: str
    label: str
    kind: Kind
    parent: str | None
    threshold: float | None
    counts: dict[str, int]


def shown_labels(run: RunInfo, names: Sequence[Name]) -> list[ShownLabel]:
    """The labels of a run, in the order of its scores, and behind them what stands above them."""
    known = {one.name: one for one in names if one.language is None}
    often = Counter(label.name for label in run.labels)
    groups = {group.name: group for group in run.groups}

    def shown(group: str, name: str) -> tuple[str, str]:
        one = known.get(name)
        # Of a name that several groups have, the taxonomy's is the one of its group.
        if one is None or (often[name] > 1 and one.group not in (None, group)):
            return group, name
        return one.group or group, one.label

    found = []
    for position, label in enumerate(run.labels):
        group, counts = groups[label.group], dict(label.validation or {})
        parent = label.parent and shown(label.group, label.parent)[1]
        found.append(
            ShownLabel(
                position,
                (label.group, label.name),
                *shown(label.group, label.name),
                group.kind,
                parent,
                group.threshold if label.threshold is None else label.threshold,
                counts,
            )
        )
    for group in run.groups:
        for name, above in group.above.items():
            parent = above and shown(group.name, above)[1]
            key = (group.name, name)
            found.append(ShownLabel(None, key, *shown(*key), group.kind, parent, None, {}))
    return found


def joined(models: Sequence[Sequence[ShownLabel]]) -> list[dict[str, Any]]:
    """One row per label that is shown, of all models together.

    Threshold and validation counts are those of the only model label behind it; where several
    stand behind it, none of them is, as nobody validated them together.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for model in models:
        for one in model:
            single: dict[str, Any] = {"threshold": one.threshold}
            single |= {key: one.counts.get(key) for key in COUNTS}
            if (one.group, one.label) in rows:
                rows[one.group, one.label] |= dict.fromkeys(("threshold", *COUNTS))
            else:
                about = {key: getattr(one, key) for key in ("group", "label", "kind", "parent")}
                rows[one.group, one.label] = about | single
    return [{"position": position} | row for position, row in enumerate(rows.values())]
