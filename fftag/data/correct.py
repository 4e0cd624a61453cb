"""A reviewed sheet, applied: the same manifest with the labels that a person corrected."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fftag.base.errors import FftagError
from fftag.base.tables import examples
from fftag.catalogue.review_sheet import Correction, read_sheet
from fftag.data.manifest import Manifest, make_manifest, write_manifest

OTHER_MANIFEST = "give the manifest that was reviewed, or review this one anew"


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
        left_out: answers of photos or labels that the manifest does not have, a line for each.
    """

    out: Path
    added: int
    removed: int
    confirmed: int
    unanswered: int
    photos: int
    unlabelled: int
    left_out: list[str]

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
        return lines + [f"left out: {one}" for one in self.left_out]


def correct_manifest(manifest: Manifest, sheet: Path, out: Path) -> CorrectReport:
    """Applies a reviewed sheet and writes the corrected manifest.

    Photos, their order, splits and sources stay; only labels change.

    Args:
        manifest: the one that was reviewed.
        sheet: CSV or Excel, its column `correct` filled with yes or no where somebody looked.
        out: the manifest to write, ending in `.parquet`; its folder is made if need be.

    Raises:
        FftagError: the sheet has no answer, or none of a photo and a label of the manifest; an
            answer contradicts another, or is about something that the manifest no longer says.
    """
    if out.suffix != ".parquet":
        raise FftagError(f"--out {out}: a manifest is a Parquet; let its name end in .parquet")
    rows = read_sheet(sheet)
    labels = dict(zip(manifest.frame["image"], map(list, manifest.frame["labels"]), strict=True))
    given = [one for one in rows if one.correct is not None]
    if not given:
        raise FftagError(f"no row of {sheet} has yes or no in its column correct: fill it first")
    known, left_out = _known(manifest, labels, given, sheet)
    _refuse(labels, known, sheet)
    answers = {(one.image, one.label): one for one in known}
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
        unanswered=len(rows) - len(given),
        photos=len(touched),
        unlabelled=sum(not labels[image] for image in touched) - before,
        left_out=left_out,
    )


def _known(
    manifest: Manifest, labels: dict[str, list[str]], given: Sequence[Correction], sheet: Path
) -> tuple[list[Correction], list[str]]:
    """The answers of photos and labels that the manifest has; a line for each kind of others."""
    left_out = []
    strange = [one.image for one in given if one.image not in labels]
    unknown = [one.label for one in given if one.label not in manifest.labels.index]
    for what, names in (("photos", strange), ("labels", unknown)):
        if names:
            few = examples(list(dict.fromkeys(names)))
            left_out.append(f"{len(names)} answers of {what} that are not in the manifest: {few}")
    known = [one for one in given if one.image in labels and one.label in manifest.labels.index]
    if not known:
        raise FftagError(
            f"no answer of {sheet} can be taken: {'; '.join(left_out)}; {OTHER_MANIFEST}"
        )
    return known, left_out


def _refuse(labels: dict[str, list[str]], known: Sequence[Correction], sheet: Path) -> None:
    """Refuses answers about what the manifest no longer says, or that contradict each other."""
    stale = [one for one in known if one.given != (one.label in labels[one.image])]
    if stale:
        first = stale[0]
        raise FftagError(
            f"{len(stale)} rows of {sheet} no longer say what the manifest says (row {first.row}: "
            f"{first.label!r} of {first.image!r} was {'given' if first.given else 'not given'}); "
            f"{OTHER_MANIFEST}"
        )
    said: dict[tuple[str, str], Correction] = {}
    for one in known:
        other = said.setdefault((one.image, one.label), one)
        if other.correct != one.correct:
            raise FftagError(
                f"rows {other.row} and {one.row} of {sheet} contradict each other: "
                f"decide whether {one.image!r} has {one.label!r}"
            )


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
