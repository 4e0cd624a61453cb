"""The manifest: one row per photo with its labels, the single form all training data takes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.atomic import PARQUET, Kind, replacing
from fftag.base.errors import FftagError
from fftag.base.tables import METADATA_KEY, examples, is_file, need_columns, read_table
from fftag.models.labels import LabelSet

FORMAT_VERSION = 1
SPLITS = ("train", "val", "test")
SEPARATOR = "|"

SCHEMA = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("split", pa.string()),
        pa.field("source", pa.string()),
    ]
)


@dataclass(frozen=True)
class Manifest:
    """Photos and their labels.

    Attributes:
        frame: one row per photo: `image` (str: absolute, or relative to `root`), `labels`
            (list[str]), `split` (train, val, test or None), `source` (str or None).
        labels: the label set that `labels` draws on.
        root: the folder that relative `image` paths start from.
    """

    frame: pd.DataFrame
    labels: LabelSet
    root: Path

    def __len__(self) -> int:
        return len(self.frame)

    def files(self) -> list[Path]:
        """Where each photo lies, in row order."""
        return [self.root / image for image in self.frame["image"]]

    def targets(self) -> np.ndarray:
        """Multi-hot labels: uint8 [photos, labels]."""
        return self.labels.encode(list(self.frame["labels"]))

    def has_split(self, split: str) -> bool:
        return bool((self.frame["split"] == split).any())

    def of_split(self, split: str) -> "Manifest":
        """The photos of one split.

        Raises:
            FftagError: no photo is in that split.
        """
        part = self.frame[self.frame["split"] == split].reset_index(drop=True)
        if part.empty:
            there = ", ".join(sorted(self.frame["split"].dropna().unique())) or "none"
            raise FftagError(f"no photo is in split {split!r} (splits in this manifest: {there})")
        return replace(self, frame=part)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over label names, image paths, labels and splits, in row order."""
        digest = hashlib.sha256(json.dumps([self.labels.names, self.labels.groups]).encode())
        columns = (self.frame["image"], self.frame["labels"], self.frame["split"])
        for image, labels, split in zip(*columns, strict=True):
            fields = [image, list(labels), split]
            digest.update(json.dumps(fields).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def make_manifest(
    images: Sequence[str],
    labels: Sequence[Sequence[str]],
    label_set: LabelSet,
    root: Path,
    splits: Sequence[str | None] | None = None,
    sources: Sequence[str | None] | None = None,
) -> Manifest:
    """A checked manifest from its columns; see `check` for what is refused."""
    columns: dict[str, Sequence[object]] = {
        "image": images,
        "labels": [list(dict.fromkeys(names)) for names in labels],
        "split": splits if splits is not None else [None] * len(images),
        "source": sources if sources is not None else [None] * len(images),
    }
    frame = pd.DataFrame(
        {name: pd.Series(list(values), dtype=object) for name, values in columns.items()}
    )
    manifest = Manifest(frame, label_set, root)
    check(manifest)
    return manifest


def check(manifest: Manifest) -> None:
    """Refuses a manifest that training could not trust; says how often, and where.

    Raises:
        FftagError: it is empty, a photo stands twice, a label is unknown, a split has a name other
            than train, val and test, or no photo has any label.
    """
    frame = manifest.frame
    if frame.empty:
        raise FftagError("the manifest has no photos")
    twice = frame["image"][frame["image"].duplicated()].tolist()
    if twice:
        raise FftagError(f"{len(twice)} photos stand twice in the manifest: {examples(twice)}")
    unknown = manifest.labels.unknown(name for names in frame["labels"] for name in names)
    if unknown:
        raise FftagError(
            f"{len(unknown)} labels are not in the label set: {examples(unknown)}; "
            "correct them, or give a taxonomy that has them"
        )
    strange = sorted({str(split) for split in frame["split"].dropna()} - set(SPLITS))
    if strange:
        raise FftagError(f"unknown split {examples(strange)}: use train, val or test")
    if not any(len(names) for names in frame["labels"]):
        raise FftagError("no photo in the manifest has any label")


def check_files(manifest: Manifest) -> None:
    """Makes sure that every photo is there.

    Raises:
        FftagError: photos are missing; says how many, and names some.
    """
    missing = [str(path) for path in manifest.files() if not is_file(path)]
    if missing:
        raise FftagError(
            f"{len(missing)} of {len(manifest)} photos are missing: {examples(missing)}; "
            "put them there, or import the dataset again from where it lies now"
        )


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Writes a manifest as Parquet, its label names and groups in the metadata, atomically."""
    metadata = {
        "format_version": FORMAT_VERSION,
        "labels": [
            {"name": name, "group": group}
            for name, group in zip(manifest.labels.names, manifest.labels.groups, strict=True)
        ],
    }
    schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(metadata).encode()})
    try:
        table = pa.Table.from_pandas(manifest.frame, schema=schema, preserve_index=False)
    except UnicodeEncodeError as error:
        raise FftagError(
            f"a path or label is no UTF-8: {error.object!r}; rename it, then import again"
        ) from error
    table = table.replace_schema_metadata(schema.metadata)
    with replacing(path, MANIFEST) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _is_manifest(path: Path) -> bool:
    """Whether it is a manifest that `write_manifest` wrote."""
    if not PARQUET.knows(path):
        return False
    try:
        metadata = pq.read_schema(path).metadata or {}
        return set(json.loads(metadata[METADATA_KEY])) == {"format_version", "labels"}
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return False


MANIFEST = Kind("a manifest", _is_manifest)


def read_manifest(path: Path, taxonomy: LabelSet | None = None) -> Manifest:
    """Reads a manifest: Parquet, CSV or Excel, by suffix.

    The label set is, in this order: `taxonomy`; the one in the Parquet's metadata; the names met,
    sorted. Photos are not touched; `check_files` does that.

    Raises:
        FftagError: there is no such file, it has no `image` and `labels` columns, or `check`
            refuses it.
    """
    if not path.exists():
        raise FftagError(f"no manifest at {path}: make one with `fftag data import`")
    frame, metadata = read_table(path)
    known = label_set_of(metadata, path)
    need_columns(
        frame,
        ["image", "labels"],
        path,
        "a manifest has image and labels (and may have split and source); "
        "`fftag data import table` makes one of other columns",
    )
    unnamed = int((frame["image"].isna() | (frame["image"] == "")).sum())
    if unnamed:
        raise FftagError(f"{unnamed} rows of {path} have no image path")
    photos = [split_labels(value) for value in frame["labels"]]
    met = sorted({name for names in photos for name in names})
    if not met and taxonomy is None and known is None:
        raise FftagError(f"no photo in {path} has any label")

    return make_manifest(
        images=[str(image) for image in frame["image"]],
        labels=photos,
        label_set=taxonomy or known or LabelSet.of(met),
        root=path.parent,
        splits=optional_text(frame, "split"),
        sources=optional_text(frame, "source"),
    )


def optional_text(frame: pd.DataFrame, column: str) -> list[str | None]:
    """A column as text, None where a cell is empty or the whole column is not there."""
    if column not in frame.columns:
        return [None] * len(frame)
    return [None if pd.isna(value) or value == "" else str(value) for value in frame[column]]


def split_labels(value: object, separator: str = SEPARATOR) -> list[str]:
    """`a|b` or a list of names -> the names; None, NaN and the empty string -> no names."""
    if isinstance(value, str):
        return [name for part in value.split(separator) if (name := part.strip())]
    if isinstance(value, (list, tuple, np.ndarray)):
        return [name for part in value if part is not None and (name := str(part).strip())]
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return []
    return [str(value)]


def label_set_of(metadata: dict[str, Any], path: Path) -> LabelSet | None:
    """The label set in a Parquet's metadata, None where there is none."""
    try:
        if metadata.get("format_version", FORMAT_VERSION) > FORMAT_VERSION:
            raise FftagError(f"{path} was written by a newer fftag: upgrade fftag to read it")
        known = metadata.get("labels")
        if not known:
            return None
        return LabelSet.of([label["name"] for label in known], [label["group"] for label in known])
    except (KeyError, TypeError) as error:
        raise FftagError(
            f"{path} has no readable label set in its metadata: import the dataset again"
        ) from error
