"""Trained models that were evaluated on the same photos, ready to be compared."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fftag.base.errors import FftagError
from fftag.evaluation.predictions import FILE, EvaluatedPhotos, read_predictions
from fftag.models.folder import LOG, Bundle, load_bundle


@dataclass(frozen=True)
class Run:
    """A model folder with its predictions.

    Attributes:
        name: its path, as given.
        photos: truth and scores; photos and labels in the same order in all runs compared.
        log: a dict of figures per epoch; empty where the folder has no training log.
    """

    name: str
    photos: EvaluatedPhotos
    log: list[dict[str, Any]]

    @property
    def training_seconds(self) -> float | None:
        """Wall time of all epochs; None where the log does not tell."""
        seconds = [row["seconds"] for row in self.log if _is_number(row.get("seconds"))]
        return float(sum(seconds)) if self.log and len(seconds) == len(self.log) else None


def load_runs(
    folders: Sequence[Path], split: str, evaluate: Callable[[Bundle, Path], None] | None = None
) -> list[Run]:
    """The runs, their photos and labels in the order of the first.

    Args:
        folders: model folders.
        split: which evaluation of theirs.
        evaluate: evaluates a model that lacks one into a folder; None makes that an error.

    Raises:
        FftagError: a folder stands twice or is no model, an evaluation is missing or of another
            model, or photos or labels differ.
    """
    names = [str(folder) for folder in folders]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise FftagError(f"{twice[0]} stands twice: give every run once")
    runs = [
        Run(str(folder), _predictions(folder, split, evaluate), read_log(folder / LOG))
        for folder in folders
    ]
    return [runs[0], *(_in_order_of(runs[0], run) for run in runs[1:])]


def read_log(path: Path) -> list[dict[str, Any]]:
    """The training log, a dict per epoch; empty where there is none.

    Raises:
        FftagError: a line is no JSON object.
    """
    if not path.is_file():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise FftagError(f"{path} cannot be read as a training log: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise FftagError(f"{path} is no training log: a line of it is no JSON object")
    return rows


def curve(run: Run, metric: str) -> tuple[list[float], list[float]]:
    """Epochs and figures of one metric in the training log, where it is a number."""
    points = [
        (row["epoch"], row[metric])
        for row in run.log
        if _is_number(row.get("epoch")) and _is_number(row.get(metric))
    ]
    return [float(epoch) for epoch, _ in points], [float(value) for _, value in points]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _predictions(
    folder: Path, split: str, evaluate: Callable[[Bundle, Path], None] | None
) -> EvaluatedPhotos:
    bundle = load_bundle(folder)
    path = folder / f"evaluation-{split}" / FILE
    command = f"`fftag evaluate {folder} --data DATASET --split {split}`"
    if not path.is_file():
        if evaluate is None:
            raise FftagError(
                f"{folder} has no evaluation of split {split}: run {command}, or give --data"
            )
        evaluate(bundle, path.parent)
    found = read_predictions(path)
    if found.about.model_id != bundle.model_id:
        raise FftagError(f"{path} is of another model than the folder now holds: run {command}")
    if found.about.split != split:
        raise FftagError(f"{path} is of split {found.about.split!r}, not {split!r}: run {command}")
    return found


def _in_order_of(first: Run, run: Run) -> Run:
    """The run with its photos and labels in the first one's order, after making sure they fit."""
    ours, theirs = first.photos, run.photos
    apart = set(ours.labels.names) ^ set(theirs.labels.names)
    if apart:
        raise FftagError(
            f"{first.name} and {run.name} know other labels: {len(apart)} are in one of the two "
            f"only, such as {min(apart)!r}: compare models of the same label set"
        )
    place = {image: position for position, image in enumerate(theirs.images)}
    missing = sum(image not in place for image in ours.images)
    extra = len(theirs.images) - (len(ours.images) - missing)
    shared = [position for position, image in enumerate(ours.images) if image in place]
    rows = [place[ours.images[position]] for position in shared]
    columns = [theirs.labels.index[name] for name in ours.labels.names]
    targets = theirs.targets[np.ix_(rows, columns)]
    differing = int((targets != ours.targets[shared]).any(axis=1).sum())
    if missing or extra or differing:
        raise FftagError(
            f"{first.name} and {run.name} were not evaluated on the same photos: {missing} are in "
            f"the first only, {extra} in the second only, {differing} have other labels: evaluate "
            "both on the same data with `fftag evaluate`"
        )
    about = theirs.about
    by_column: dict[str, Any] = {
        key: tuple(getattr(about, key)[column] for column in columns)
        for key in ("labels", "groups", "thresholds", "prevalence")
    }
    scores = theirs.scores[np.ix_(rows, columns)]
    photos = EvaluatedPhotos(replace(about, **by_column), ours.images, targets, scores)
    return replace(run, photos=photos)
