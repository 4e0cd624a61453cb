"""predictions.parquet: what a model said of each photo of a split, beside the truth."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.atomic import PARQUET, replacing
from fftag.base.errors import FftagError, first_line
from fftag.models.folder import ModelConfig
from fftag.models.labels import LabelSet

FILE = "predictions.parquet"
FORMAT_VERSION = 1
METADATA_KEY = b"fftag"


@dataclass(frozen=True)
class About:
    """What the file's metadata says, as JSON under the key `fftag`.

    Attributes:
        split: `train`, `val`, `test` or `all`.
        model_id: of the model folder.
        architecture: of the model.
        data_fingerprint: of the manifest that was evaluated on.
        labels: names, in the order of `scores`.
        groups: the group of each label, or None.
        thresholds: a label is a tag at or above its threshold.
        prevalence: share of the training photos with each label.
        format_version: of this file.
    """

    split: str
    model_id: str
    architecture: str
    data_fingerprint: str
    labels: Sequence[str]
    groups: Sequence[str | None]
    thresholds: Sequence[float]
    prevalence: Sequence[float]
    format_version: int = FORMAT_VERSION

    @classmethod
    def of(cls, config: ModelConfig, model_id: str, split: str, data_fingerprint: str) -> "About":
        """Of a model on one split of a manifest."""
        return cls(
            split=split,
            model_id=model_id,
            architecture=config.architecture,
            data_fingerprint=data_fingerprint,
            labels=config.labels.names,
            groups=config.labels.groups,
            thresholds=config.thresholds,
            prevalence=config.prevalence,
        )


@dataclass(frozen=True)
class EvaluatedPhotos:
    """The content of a predictions file.

    Attributes:
        about: what made it.
        images: as the manifest names them.
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels].
    """

    about: About
    images: tuple[str, ...]
    targets: np.ndarray
    scores: np.ndarray

    @property
    def labels(self) -> LabelSet:
        return LabelSet.of(self.about.labels, self.about.groups)

    @property
    def tags(self) -> np.ndarray:
        """uint8 [photos, labels], 1 where the score is at or above the label's threshold."""
        return (self.scores >= np.asarray(self.about.thresholds, np.float32)).astype(np.uint8)


def write_predictions(
    path: Path, about: About, images: Sequence[str], targets: np.ndarray, scores: np.ndarray
) -> None:
    """Writes a row per photo: `image`, `labels` and `scores`, atomically.

    Args:
        path: the file.
        about: its metadata.
        images: names of the photos.
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels].

    Raises:
        FftagError: it cannot be written, or a name is no UTF-8.
    """
    names = np.asarray(about.labels, dtype=object)
    schema = pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            pa.field("labels", pa.list_(pa.string()), nullable=False),
            pa.field("scores", pa.list_(pa.float32(), len(names)), nullable=False),
        ],
        metadata={METADATA_KEY: json.dumps(asdict(about), ensure_ascii=False).encode()},
    )
    flat = pa.array(np.ascontiguousarray(scores, dtype=np.float32).ravel())
    try:
        columns = [
            pa.array(images, pa.string()),
            pa.array([names[row == 1].tolist() for row in targets], pa.list_(pa.string())),
            pa.FixedSizeListArray.from_arrays(flat, len(names)),
        ]
    except UnicodeEncodeError as error:
        raise FftagError(f"a path or label is no UTF-8: {error.object!r}; rename it") from error
    with replacing(path, PARQUET) as temporary:
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), temporary, compression="zstd")


def read_predictions(path: Path) -> EvaluatedPhotos:
    """Reads the file that `write_predictions` wrote.

    Raises:
        FftagError: it is no such file, is damaged, or was written by a newer fftag.
    """
    try:
        table = pq.read_table(path)
        about = _about(json.loads((table.schema.metadata or {})[METADATA_KEY]), path)
        labels = LabelSet.of(about.labels, about.groups)
        images = tuple(table["image"].to_pylist())
        targets = labels.encode(table["labels"].to_pylist())
        column = table["scores"].combine_chunks()
        scores = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        scores = scores.reshape(len(images), len(labels))
        lengths = {len(about.thresholds), len(about.prevalence), len(labels)}
    except FftagError:
        raise
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FftagError(
            f"{path} is no predictions file ({type(error).__name__}: {first_line(error)}): "
            "write it again with `fftag evaluate`"
        ) from error
    if len(lengths) > 1 or not np.isfinite(scores).all() or len(set(images)) < len(images):
        raise FftagError(f"{path} is damaged: write it again with `fftag evaluate`")
    return EvaluatedPhotos(about, images, targets, scores)


def _about(content: dict[str, Any], path: Path) -> About:
    if content["format_version"] > FORMAT_VERSION:
        raise FftagError(f"{path} was written by a newer fftag: upgrade fftag to read it")
    return About(**content)
