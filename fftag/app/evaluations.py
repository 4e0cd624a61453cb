"""What `fftag train` and `fftag evaluate` wrote into model folders, read back for the app."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fftag.datasets.eda import wilson
from fftag.errors import FftagError
from fftag.training.compare import DIFFERENCES, Comparison, compare
from fftag.training.mistakes import (
    surest_false_negatives,
    surest_false_positives,
)
from fftag.training.predictions import FILE, read_predictions
from fftag.training.runs import LOG, load_runs, read_log

METRICS = "metrics.json"
FOLDER = "evaluation-"
HEADLINES = {
    "subset_accuracy": "exact match",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "mAP": "mAP",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "samples_f1": "samples-F1",
    "brier": "Brier score (lower is better)",
}
PICTURES = {
    "precision_recall.png": "Precision and recall",
    "labels.png": "By label",
    "thresholds.png": "By threshold",
    "reliability.png": "Reliability",
    "missed.png": "What is said instead of a missed label",
    "baselines.png": "Beside the baselines",
    "curves.png": "By epoch",
}
MISTAKES_SHOWN = 24


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a model.

    Attributes:
        model: the model folder.
        split: of the data that it was evaluated on.
        folder: what it lies in.
        content: of its `metrics.json`.
    """

    model: Path
    split: str
    folder: Path
    content: dict[str, Any]


@dataclass(frozen=True)
class Error:
    """A label given wrongly, or missed.

    Attributes:
        image: the photo, as the manifest names it.
        label: the label.
        score: what the model gave.
    """

    image: str
    label: str
    score: float


def evaluations(model: Path) -> list[Evaluation]:
    """Those of a model, the one of the test split first.

    Raises:
        FftagError: a `metrics.json` is not what fftag writes.
    """
    folders = [*sorted(model.glob(f"{FOLDER}*"), key=lambda one: one.name != f"{FOLDER}test")]
    found = [_read(model, folder) for folder in folders if (folder / METRICS).is_file()]
    if (model / METRICS).is_file():
        own = _read(model, model)
        if own.split not in [one.split for one in found]:
            found.append(own)
    return found


def _read(model: Path, folder: Path) -> Evaluation:
    file = folder / METRICS
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["overall"]["photos"], content["per_label"]
        return Evaluation(model, str(content["split"]), folder, content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FftagError(
            f"{file} cannot be read ({error!r}): run `fftag evaluate {model} --data DATASET` again"
        ) from error


def headline_figures(found: Sequence[Evaluation], names: Sequence[str]) -> pd.DataFrame:
    """Figures of evaluations with their 95 % intervals, one row per model and metric."""
    rows = []
    for one, name in zip(found, names, strict=True):
        around = one.content.get("intervals") or {}
        for metric, title in HEADLINES.items():
            low, high = around.get(metric) or (None, None)
            rows.append(
                {
                    "model": name,
                    "metric": title,
                    "value": one.content["overall"].get(metric),
                    "low": low,
                    "high": high,
                    "photos": one.content["overall"]["photos"],
                }
            )
    return pd.DataFrame(rows).dropna(subset=["value"])


def label_figures(one: Evaluation) -> pd.DataFrame:
    """Precision and recall of each label with their 95 % Wilson intervals, the commonest first."""
    frame = pd.DataFrame(one.content["per_label"])
    figures = frame[["label", "group", "support", "predicted"]].copy()
    for name, found, of in (
        ("precision", frame["tp"], frame["tp"] + frame["fp"]),
        ("recall", frame["tp"], frame["tp"] + frame["fn"]),
    ):
        low, high = wilson(found.to_numpy(), of.to_numpy())
        figures[name] = frame[name].astype(float)
        figures[f"{name} low"], figures[f"{name} high"] = low, high
    for name, column in (("F1", "f1"), ("AP", "ap"), ("threshold", "threshold")):
        figures[name] = frame[column].astype(float)
    return figures.sort_values("support", ascending=False, kind="stable", ignore_index=True)


def epochs(models: Sequence[Path], names: Sequence[str], metric: str) -> pd.DataFrame:
    """One figure of the training logs: `x` (epoch), `y` and `series` (the model's name).

    Raises:
        FftagError: a log cannot be read.
    """
    rows = [
        {"x": row["epoch"], "y": row[metric], "series": name}
        for model, name in zip(models, names, strict=True)
        for row in read_log(model / LOG)
        if isinstance(row.get("epoch"), int) and isinstance(row.get(metric), (int, float))
    ]
    return pd.DataFrame(rows, columns=["x", "y", "series"])


def differences(models: Sequence[Path], names: Sequence[str], split: str) -> pd.DataFrame:
    """Each model less the first, metric by metric, with paired 95 % intervals.

    Raises:
        FftagError: they were not evaluated on the same photos; see `fftag compare`.
    """
    found: Comparison = compare(load_runs(models, split))
    called = {str(model): name for model, name in zip(models, names, strict=True)}
    rows = [
        {
            "model": called[one.run],
            "metric": DIFFERENCES[one.metric],
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "better in": one.better,
        }
        for one in found.differences
    ]
    return pd.DataFrame(rows)


def surest_errors(one: Evaluation, label: str | None = None) -> tuple[list[Error], list[Error]]:
    """The tags most surely wrong, and the labels most surely missed.

    Args:
        one: the evaluation.
        label: only errors of this one.

    Raises:
        FftagError: its predictions are not there, or cannot be read.
    """
    file = one.folder / FILE
    if not file.is_file():
        raise FftagError(
            f"the evaluation keeps no predictions: run `fftag evaluate {one.model} --data DATASET "
            f"--split {one.split}`"
        )
    photos = read_predictions(file)
    names = photos.about.labels
    columns = np.arange(len(names)) if label is None else np.array([list(names).index(label)])
    arrays = (
        photos.targets[:, columns],
        photos.tags[:, columns],
        photos.scores[:, columns],
    )
    wrong, missed = (
        [
            Error(photos.images[mistake.photo], names[columns[mistake.label]], mistake.score)
            for mistake in found(*arrays, MISTAKES_SHOWN)
        ]
        for found in (surest_false_positives, surest_false_negatives)
    )
    return wrong, missed
