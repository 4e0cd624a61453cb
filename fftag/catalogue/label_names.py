"""What labels are called where they are shown: a taxonomy's names, in one language or several."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fftag.base.errors import FftagError
from fftag.models.labels import load_taxonomy, taxonomy_file
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
        position: in the model's scores.
        name: the model's.
        label: that it is shown under.
        group: of it.
        threshold: the model's.
        counts: `tp`, `fp`, `fn`, `tn` on the validation split; empty where there are none.
    """

    position: int
    name: str
    label: str
    group: str | None
    threshold: float
    counts: dict[str, int]


def shown_labels(run: RunInfo, names: Sequence[Name]) -> list[ShownLabel]:
    """The labels of a run, in the order of its scores."""
    known = {one.name: one for one in names if one.language is None}
    counted = run.validation or [{}] * len(run.labels)
    found = []
    for position, (name, group, threshold, counts) in enumerate(
        zip(run.labels, run.groups, run.thresholds, counted, strict=True)
    ):
        one = known.get(name, Name(name, group, name))
        found.append(
            ShownLabel(position, name, one.label, one.group or group, threshold, dict(counts))
        )
    return found


def joined(models: Sequence[Sequence[ShownLabel]]) -> list[dict[str, Any]]:
    """One row per label that is shown, of all models together.

    Threshold and validation counts are those of the only model label behind it; where several
    stand behind it, none of them is, as nobody validated them together.
    """
    rows: dict[str, dict[str, Any]] = {}
    for model in models:
        for one in model:
            single: dict[str, Any] = {"threshold": one.threshold}
            single |= {key: one.counts.get(key) for key in COUNTS}
            if one.label in rows:
                rows[one.label] |= dict.fromkeys(("threshold", *COUNTS))
            else:
                rows[one.label] = {"label": one.label, "group": one.group} | single
    return [{"position": position} | row for position, row in enumerate(rows.values())]
