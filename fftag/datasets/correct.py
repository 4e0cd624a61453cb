"""A reviewed sheet, applied: the same manifest with the labels that a person corrected."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fftag.datasets.manifest import Manifest, make_manifest, write_manifest
from fftag.datasets.review_sheet import Correction, read_sheet
from fftag.datasets.tables import examples
from fftag.errors import FftagError


@dataclass(frozen=True)
class CorrectReport:
    """What a reviewed sheet changed.

    Attributes:
        out: the manifest written.
        added: labels given to photos that had been without them.
        removed: labels taken off.
        confirmed: rows whose `correct` says what the manifest said already.
        unanswered: rows whose `correct` is empty.
        photos: photos of which a label changed.
        unlabelled: photos that are without any label now, and were not before.
    """

    out: Path
    added: int
    removed: int
    confirmed: int
    unanswered: int
    photos: int
    unlabelled: int

    def content(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return asdict(self) | {"out": str(self.out)}

    def lines(self) -> list[str]:
        """The report for a person to read."""
        lines = [
            f"{self.out}: {self.added} labels added and {self.removed} removed, "
            f"on {self.photos} photos",
            f"{self.confirmed} rows confirmed, {self.unanswered} left without an answer",
        ]
        if self.unlabelled:
            lines.append(f"{self.unlabelled} photos are without any label now")
        return lines


def correct_manifest(manifest: Manifest, sheet: Path, out: Path) -> CorrectReport:
    """Applies a reviewed sheet and writes the corrected manifest.

    Photos, their order, splits and sources stay; only labels change.

    Args:
        manifest: the one that was reviewed.
        sheet: CSV or Excel, its column `correct` filled with yes or no where somebody looked.
        out: the manifest to write, ending in `.parquet`; its folder is made if need be.

    Raises:
        FftagError: the sheet names photos or labels that the manifest does not have, no longer
            agrees with what it says, contradicts itself, or has no answer.
    """
    if out.suffix != ".parquet":
        raise FftagError(f"--out {out}: a manifest is a Parquet; let its name end in .parquet")
    rows = read_sheet(sheet)
    labels = dict(zip(manifest.frame["image"], map(list, manifest.frame["labels"]), strict=True))
    _refuse(manifest, labels, rows, sheet)
    answers = {(one.image, one.label): one for one in rows if one.correct is not None}
    changes = [one for one in answers.values() if one.correct != one.given]
    touched = {one.image for one in changes}
    before = sum(not labels[image] for image in touched)
    for one in changes:
        if one.correct:
            labels[one.image].append(one.label)
        else:
            labels[one.image].remove(one.label)
    order = manifest.labels.index
    corrected = make_manifest(
        _moved(manifest, out.parent),
        [sorted(names, key=order.__getitem__) for names in labels.values()],
        manifest.labels,
        out.parent,
        list(manifest.frame["split"]),
        list(manifest.frame["source"]),
    )
    write_manifest(corrected, out)
    return CorrectReport(
        out=out,
        added=sum(bool(one.correct) for one in changes),
        removed=sum(not one.correct for one in changes),
        confirmed=len(answers) - len(changes),
        unanswered=sum(one.correct is None for one in rows),
        photos=len(touched),
        unlabelled=sum(not labels[image] for image in touched) - before,
    )


def _refuse(
    manifest: Manifest, labels: dict[str, list[str]], rows: Sequence[Correction], sheet: Path
) -> None:
    """Refuses a sheet of another manifest, or one that contradicts itself."""
    review = "give the manifest that was reviewed, or review this one anew"
    strange = list(dict.fromkeys(one.image for one in rows if one.image not in labels))
    if strange:
        raise FftagError(
            f"{len(strange)} photos of {sheet} are not in the manifest: {examples(strange)}; "
            f"{review}"
        )
    unknown = manifest.labels.unknown(one.label for one in rows)
    if unknown:
        raise FftagError(
            f"{len(unknown)} labels of {sheet} are not in the manifest: {examples(unknown)}; "
            f"{review}"
        )
    stale = [one for one in rows if one.given != (one.label in labels[one.image])]
    if stale:
        first = stale[0]
        raise FftagError(
            f"{len(stale)} rows of {sheet} no longer say what the manifest says (row {first.row}: "
            f"{first.label!r} of {first.image!r} was {'given' if first.given else 'not given'}); "
            f"{review}"
        )
    said: dict[tuple[str, str], Correction] = {}
    for one in rows:
        if one.correct is None:
            continue
        other = said.setdefault((one.image, one.label), one)
        if other.correct != one.correct:
            raise FftagError(
                f"rows {other.row} and {one.row} of {sheet} contradict each other: "
                f"decide whether {one.image!r} has {one.label!r}"
            )
    if not said:
        raise FftagError(f"no row of {sheet} has yes or no in its column correct: fill it first")


def _moved(manifest: Manifest, folder: Path) -> list[str]:
    """The image paths as a manifest in another folder has them."""
    root = Path(os.path.abspath(folder))  # noqa: PTH100
    if root == Path(os.path.abspath(manifest.root)):  # noqa: PTH100
        return list(manifest.frame["image"])
    paths = [Path(os.path.abspath(path)) for path in manifest.files()]  # noqa: PTH100
    return [
        path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        for path in paths
    ]
