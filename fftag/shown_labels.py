"""What labels are called where they are shown: a taxonomy's names, groups and translations."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fftag.errors import FftagError
from fftag.labels import load_taxonomy, taxonomy_file

COUNTS = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True)
class Taxonomy:
    """How labels are shown.

    Attributes:
        groups: shown name -> its group.
        shown: any name of a label -> the name that it is shown under.
        translations: shown name -> language -> name.
    """

    groups: dict[str, str | None]
    shown: dict[str, str]
    translations: dict[str, dict[str, str]]


def read_taxonomy(name_or_file: str | None) -> Taxonomy:
    """A taxonomy with its synonyms and translations; an empty one for None.

    Each `[[label]]` may have, besides `name` and `group` (see `fftag.labels.load_taxonomy`),
    `synonyms`, a list of names that mean the same, and a table `translations` by language.

    Raises:
        FftagError: it is none, or a name stands for two labels.
    """
    if name_or_file is None:
        return Taxonomy({}, {}, {})
    labels = load_taxonomy(name_or_file)
    path = taxonomy_file(name_or_file)
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["label"]
    shown = {name: name for name in labels.names}
    translations: dict[str, dict[str, str]] = {}
    for table in tables:
        name = table["name"]
        for other in _names(table.get("synonyms"), f"{path}: synonyms of {name!r}"):
            if shown.get(other, name) != name:
                raise FftagError(f"{path}: {other!r} stands for {shown[other]!r} and for {name!r}")
            shown[other] = name
        given = table.get("translations", {})
        if not isinstance(given, dict):
            raise FftagError(f"{path}: translations of {name!r} are a table, language = name")
        _names(list(given.values()), f"{path}: translations of {name!r}")
        translations[name] = given
    return Taxonomy(dict(zip(labels.names, labels.groups, strict=True)), shown, translations)


def _names(values: Any, where: str) -> list[str]:
    """A list of names; empty where there is none."""
    if values is None:
        return []
    if not isinstance(values, list) or not all(
        isinstance(name, str) and name.strip() for name in values
    ):
        raise FftagError(f"{where} are no names")
    return values


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


def shown_labels(run: dict[str, Any], taxonomy: Taxonomy) -> list[ShownLabel]:
    """The labels of a run (see `fftag.store.RunInfo`), in the order of its scores."""
    counted = run["validation"] or [{}] * len(run["labels"])
    found = []
    for position, (name, group, threshold, counts) in enumerate(
        zip(run["labels"], run["groups"], run["thresholds"], counted, strict=True)
    ):
        label = taxonomy.shown.get(name, name)
        shown_group = taxonomy.groups.get(label) or group
        found.append(ShownLabel(position, name, label, shown_group, threshold, dict(counts)))
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
