"""A dataset as its makers publish it -> the manifest, checked, split, and reported on."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fftag.base.errors import FftagError
from fftag.base.tables import examples
from fftag.data import ccp, fashionpedia, folders, imaterialist, sheet, table
from fftag.data.manifest import SPLITS, Manifest, make_manifest, write_manifest
from fftag.data.near_duplicates import join_groups, near_duplicates
from fftag.data.reading import Importer, ImportOptions, Photo, Reading, find_photos
from fftag.data.splits import check_shares, duplicate_groups, stratified_splits
from fftag.models.labels import LabelSet

__all__ = ["IMPORTERS", "ImportOptions", "ImportReport", "import_dataset"]

IMPORTERS: dict[str, Importer] = {
    "imaterialist2019": imaterialist.read_2019,
    "imaterialist2020": imaterialist.read_2020,
    "fashionpedia": fashionpedia.read,
    "ccp": ccp.read,
    "sheet": sheet.read,
    "table": table.read,
    "folders": folders.read,
}

WITH_COLUMNS = ("table", "sheet")
LARGE_CLUSTER = 0.03
"""The share of the photos from which a cluster of near duplicates is hardly one scene."""


@dataclass(frozen=True)
class ImportReport:
    """What an import found, left out and wrote.

    Attributes:
        out: the manifest.
        photos: photos in it.
        labels: labels in its label set.
        labels_given: labels over all photos: divided by `photos`, the labels per photo.
        unlabelled: photos without any label.
        splits: photos by split.
        absent: labels that no photo of a split has, by split.
        copies: photos beyond the first of each group of identical files.
        near: near duplicates: the photos of each cluster, the largest cluster first.
        moved: photos whose split, as the dataset gave it, was changed to that of their copy.
        missing: photos left out because their files are not there, or cannot be told.
        dropped: labels dropped for being on too few photos, with their photo counts.
        notes: what was left out or decided, one line each.
    """

    out: Path
    photos: int
    labels: int
    labels_given: int
    unlabelled: int
    splits: dict[str, int]
    absent: dict[str, tuple[str, ...]]
    copies: int
    near: tuple[tuple[str, ...], ...]
    moved: int
    missing: int
    dropped: dict[str, int]
    notes: tuple[str, ...]

    def content(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return asdict(self) | {"out": str(self.out)}

    def lines(self) -> list[str]:
        """The report for a person to read."""
        splits = ", ".join(f"{name} {count:,}" for name, count in self.splits.items())
        lines = [
            f"{self.out}: {self.photos:,} photos, {self.labels} labels, "
            f"{self.labels_given / self.photos:.2f} labels per photo",
            f"splits: {splits}",
        ]
        for split, names in self.absent.items():
            shown = examples(list(names), 5)
            lines.append(f"{_count(len(names), 'label')} on no photo of {split}: {shown}")
        if self.copies:
            copies = _count(self.copies, "photo")
            lines.append(f"{copies} with the same content as another, kept in its split")
        if self.near:
            shown = examples([" = ".join(cluster[:3]) for cluster in self.near], 2)
            clusters = _count(len(self.near), "cluster")
            largest = len(self.near[0])
            lines.append(
                f"{clusters} of near duplicates, each kept in one split, the largest of "
                f"{largest:,} photos: {shown}"
            )
            if largest > max(LARGE_CLUSTER * self.photos, 3):
                lines.append(
                    f"warning: {largest:,} of {self.photos:,} photos are one cluster; look whether "
                    "they are one scene, and lower --near-distance or raise --near-similarity if "
                    "they are not"
                )
        if self.moved:
            moved = _count(self.moved, "photo")
            lines.append(f"{moved} moved from the split given to that of a copy")
        if self.dropped:
            shown = examples([f"{name} ({count})" for name, count in self.dropped.items()], 5)
            dropped = _count(len(self.dropped), "label")
            lines.append(f"{dropped} dropped, on too few photos: {shown}")
        if self.unlabelled:
            lines.append(f"{_count(self.unlabelled, 'photo')} without any label, kept")
        return lines + list(self.notes)


def import_dataset(format: str, source: Path, out: Path, options: ImportOptions) -> ImportReport:  # noqa: A002
    """Reads a dataset, makes splits where it has none, and writes the manifest.

    Rows are sorted by path, so that the result does not hang on the order of the source. Photos
    under the manifest's folder get relative paths, others absolute ones.

    Args:
        format: one of `IMPORTERS`.
        source: where the dataset lies; a file or a folder, as the format has it.
        out: the manifest to write, ending in `.parquet`; its folder is made if need be.
        options: see `ImportOptions`.

    Raises:
        FftagError: the dataset, or an option, is not as it should be; says where and what to do.
    """
    if format not in IMPORTERS:
        raise FftagError(f"unknown format {format!r}: use one of {', '.join(IMPORTERS)}")
    if out.suffix != ".parquet":
        raise FftagError(f"--out {out}: a manifest is a Parquet; let its name end in .parquet")
    if options.stratify != "source" and format not in WITH_COLUMNS:
        raise FftagError(
            f"--stratify {options.stratify}: photos of format {format} have no columns but source; "
            f"use the format {' or '.join(WITH_COLUMNS)}"
        )
    check_shares(options.splits)
    if not os.path.exists(source):  # noqa: PTH110 (Path.exists raises on some names)
        raise FftagError(f"there is no {source}")
    reading = IMPORTERS[format](source, options)
    _refuse_unknown(reading)
    present, missing, left_out = _present(reading, options.allow_missing)
    notes = left_out + reading.notes
    photos, label_set, dropped = _drop_rare(present, reading.labels, options.min_photos)
    photos = sorted(photos, key=lambda photo: os.path.abspath(photo.path))  # noqa: PTH100

    paths = [photo.path for photo in photos]
    exact = duplicate_groups(paths)
    groups = join_groups(exact, _near(paths, options))
    splits = stratified_splits(
        label_set.encode([photo.labels for photo in photos]),
        options.splits,
        options.seed,
        groups,
        sources=[
            photo.source if options.stratify == "source" else photo.stratum for photo in photos
        ],
        fixed=[photo.split for photo in photos],
    )
    manifest = make_manifest(
        _paths_for(photos, out.parent),
        [photo.labels for photo in photos],
        label_set,
        out.parent,
        splits,
        [photo.source for photo in photos],
    )
    write_manifest(manifest, out)
    moved = sum(
        photo.split is not None and photo.split != split
        for photo, split in zip(photos, splits, strict=True)
    )
    copies = len(photos) - len(np.unique(exact))
    clusters = _near_clusters(manifest, exact, groups)
    return _report(manifest, out, copies, clusters, moved, missing, dropped, notes)


def _near(paths: list[Path], options: ImportOptions) -> list[np.ndarray]:
    """Near duplicates, as the options have them looked for."""
    pairs = []
    if options.near_duplicates:
        pairs.append(near_duplicates(paths, options.near_distance))
    if options.near_model is not None:
        # Only here is torch needed, which takes seconds to load.
        from fftag.data.near_embeddings import similar_embeddings
        from fftag.models.folder import load_bundle

        bundle = load_bundle(options.near_model)
        pairs.append(similar_embeddings(paths, bundle, options.near_similarity))
    return pairs


def _near_clusters(
    manifest: Manifest, exact: np.ndarray, groups: np.ndarray
) -> tuple[tuple[str, ...], ...]:
    """The groups that hold more than copies of one photo, the largest first, as image paths."""
    images = manifest.frame["image"].to_numpy()
    clusters: dict[int, dict[int, str]] = {}
    for image, group, content in zip(images, groups.tolist(), exact.tolist(), strict=True):
        clusters.setdefault(group, {}).setdefault(content, image)
    near = [tuple(members.values()) for members in clusters.values() if len(members) > 1]
    return tuple(sorted(near, key=len, reverse=True))


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}" + ("" if number == 1 else "s")


def _refuse_unknown(reading: Reading) -> None:
    """A taxonomy given by the user, or a split column, may not fit the dataset."""
    found = Counter(label for photo in reading.photos for label in photo.labels)
    unknown = [label for label in found if label not in reading.labels.index]
    if unknown:
        raise FftagError(
            f"{len(unknown)} labels of the dataset are not in the taxonomy: "
            f"{examples(sorted(unknown))}; add them to it, or import without --taxonomy"
        )
    strange = sorted({photo.split for photo in reading.photos if photo.split} - set(SPLITS))
    if strange:
        raise FftagError(f"unknown split {examples(strange)}: use train, val or test")


def _present(reading: Reading, allow_missing: bool) -> tuple[list[Photo], int, tuple[str, ...]]:
    """The photos whose files are there, how many are not, and what is left out for what reason."""
    found = find_photos(reading.photos, reading.folder)
    left_out = {
        "have the name of several files": found.ambiguous,
        "are missing": found.missing,
    }
    for what, photos in left_out.items():
        if photos and not (allow_missing and found.photos):
            fix = ", or leave them out with --allow-missing" if found.photos else ""
            raise FftagError(
                f"{len(photos)} of {len(reading.photos)} photos {what}: {examples(photos)}; "
                f"say where they lie with --photos{fix}"
            )
    left_out["are companion files of other programs"] = found.companions
    notes = tuple(
        f"{_count(len(photos), 'photo')} left out that {what}: {examples(photos)}"
        for what, photos in left_out.items()
        if photos
    )
    return found.photos, len(found.missing) + len(found.ambiguous), notes


def _drop_rare(
    photos: list[Photo], labels: LabelSet, min_photos: int
) -> tuple[list[Photo], LabelSet, dict[str, int]]:
    """Takes labels on fewer than `min_photos` photos out of the label set and off the photos."""
    found = Counter(label for photo in photos for label in photo.labels)
    dropped = {name: found[name] for name in labels.names if found[name] < min_photos}
    if not dropped:
        return photos, labels, dropped
    kept = [position for position, name in enumerate(labels.names) if name not in dropped]
    if not kept:
        raise FftagError(f"no label is on {min_photos} photos: give a smaller --min-photos")
    smaller = LabelSet.of(
        [labels.names[position] for position in kept],
        [labels.groups[position] for position in kept],
    )
    return (
        [
            replace(photo, labels=tuple(name for name in photo.labels if name not in dropped))
            for photo in photos
        ],
        smaller,
        dropped,
    )


def _paths_for(photos: Sequence[Photo], folder: Path) -> list[str]:
    """Paths as the manifest has them. Links are not followed: a tree of links stays in use."""
    root = Path(os.path.abspath(folder))  # noqa: PTH100
    paths = [Path(os.path.abspath(photo.path)) for photo in photos]  # noqa: PTH100
    return [
        path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        for path in paths
    ]


def _report(
    manifest: Manifest,
    out: Path,
    copies: int,
    near: tuple[tuple[str, ...], ...],
    moved: int,
    missing: int,
    dropped: dict[str, int],
    notes: tuple[str, ...],
) -> ImportReport:
    targets = manifest.targets()
    split_column = manifest.frame["split"].to_numpy()
    counts = {name: int((split_column == name).sum()) for name in SPLITS}
    absent = {}
    for name, count in counts.items():
        support = targets[split_column == name].sum(axis=0)
        none = tuple(np.array(manifest.labels.names, dtype=object)[support == 0].tolist())
        if count and none:
            absent[name] = none
    return ImportReport(
        out=out,
        photos=len(manifest),
        labels=len(manifest.labels),
        labels_given=int(targets.sum()),
        unlabelled=int((targets.sum(axis=1) == 0).sum()),
        splits=counts,
        absent=absent,
        copies=copies,
        near=near,
        moved=moved,
        missing=missing,
        dropped=dropped,
        notes=notes,
    )
