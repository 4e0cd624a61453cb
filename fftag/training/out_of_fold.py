"""Scores of photos by models that never saw them: training by folds, or held-out splits."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

from fftag.base.atomic import make_folder, write_text
from fftag.base.errors import FftagError
from fftag.base.progress import say
from fftag.data.manifest import Manifest
from fftag.evaluation.score_split import score_split
from fftag.models.folder import DIGESTS, Bundle, load_bundle
from fftag.models.torch_scorer import predictor_on
from fftag.training.loop import TrainOptions, train
from fftag.training.recipe import Recipe

FEWEST_FOLDS = 3
"""One to score, one to choose the best epoch on, one to train on."""
IDENTITY = "folds.json"


def fold_numbers(targets: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deals photos into folds of about the same labels; no group is in two of them.

    Args:
        targets: uint8 [photos, labels].
        groups: int64 [photos]: photos that must stay together have the same number.
        folds: how many; at least `FEWEST_FOLDS`.
        seed: of the dealing.

    Returns:
        int64 [photos]: 0 to folds - 1.

    Raises:
        FftagError: too few folds, or fewer groups than folds.
    """
    distinct, member_of = np.unique(groups, return_inverse=True)
    if folds < FEWEST_FOLDS:
        raise FftagError(f"--folds {folds}: give at least {FEWEST_FOLDS}")
    if len(distinct) < folds:
        raise FftagError(f"{len(distinct)} distinct photos do not fill {folds} folds: add photos")
    strata = np.zeros((len(distinct), targets.shape[1]), dtype=np.uint8)
    np.maximum.at(strata, member_of, targets)
    # Two columns of zeros more: the library refuses a matrix of fewer than two columns.
    strata = np.hstack([strata, np.zeros((len(strata), 2), dtype=np.uint8)])
    dealt = np.empty(len(distinct), dtype=np.int64)
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    for number, (_, inside) in enumerate(splitter.split(strata, strata)):
        dealt[inside] = number
    return dealt[member_of]


def scores_by_folds(
    manifest: Manifest, fold_of: np.ndarray, recipe: Recipe, out: Path, options: TrainOptions
) -> np.ndarray:
    """Trains a model per fold, on the photos of the others, and scores the fold with it.

    Each model lies in `out/K`; one that is there already is used again, and one that was
    interrupted goes on.

    Args:
        manifest: the photos; its splits are not used.
        fold_of: int64 [photos], as from `fold_numbers`.
        recipe: of every fold.
        out: the folder of the folds.
        options: see `fftag.training.loop.TrainOptions`.

    Returns:
        float32 [photos, labels]: every photo scored by the model that was not trained on it.

    Raises:
        FftagError: the folder holds folds of something else, or a training fails.
    """
    folds = int(fold_of.max()) + 1
    _claim(out, manifest, fold_of, recipe)
    scores = np.zeros((len(manifest), len(manifest.labels)), dtype=np.float32)
    for number in range(folds):
        split = np.full(len(manifest), "train", dtype=object)
        split[fold_of == (number + 1) % folds] = "val"
        split[fold_of == number] = "test"
        part = replace(manifest, frame=manifest.frame.assign(split=split))
        folder = out / str(number)
        if (folder / DIGESTS).is_file():
            say(f"fold {number + 1} of {folds}: {folder} is trained already")
            bundle = load_bundle(folder)
        else:
            say(f"fold {number + 1} of {folds}: training {folder}")
            bundle = train(recipe, part, folder, options)
        scores[fold_of == number] = model_scores(bundle, part.of_split("test"), options)
    return scores


def held_out(manifest: Manifest, bundle: Bundle) -> Manifest:
    """The photos of a manifest that the model was not trained on: all but split `train`.

    Raises:
        FftagError: the model was trained on other data, so that nobody knows what it has seen; or
            all photos are in split `train`.
    """
    if bundle.config.data_fingerprint != manifest.fingerprint:
        raise FftagError(
            f"{bundle.path} was trained on another manifest, so it may have seen any of these "
            "photos: give the manifest it was trained on, or --recipe to train by folds"
        )
    part = manifest.frame[manifest.frame["split"] != "train"].reset_index(drop=True)
    if part.empty:
        raise FftagError(
            f"{bundle.path} was trained on every photo: use --recipe to train by folds"
        )
    return replace(manifest, frame=part)


def model_scores(bundle: Bundle, manifest: Manifest, options: TrainOptions) -> np.ndarray:
    """Scores photos with a model of the same labels: float32 [photos, labels]."""
    predictor = predictor_on(options.device, bundle.build(), bundle.config.input)
    scored = score_split(bundle, manifest, "all", predictor, options.workers, show=True)
    return scored.predictions.scores


def _claim(out: Path, manifest: Manifest, fold_of: np.ndarray, recipe: Recipe) -> None:
    """Writes down what the folds are of, or refuses a folder of others."""
    identity = {
        "recipe": recipe.model_dump(mode="json"),
        "data": manifest.fingerprint,
        "folds": fold_of.tolist(),
    }
    file = out / IDENTITY
    if file.is_file():
        try:
            there = json.loads(file.read_text(encoding="utf-8"))
            differing = [key for key, value in identity.items() if there.get(key) != value]
        except (ValueError, AttributeError) as error:
            raise FftagError(f"{file} is damaged: choose another --out") from error
        if differing:
            raise FftagError(
                f"{out} holds a review with other {' and '.join(differing)}: "
                "run it as it was, or choose another --out"
            )
        return
    make_folder(out)
    write_text(file, json.dumps(identity) + "\n")
