"""A trained model's calibration and thresholds, decided anew; nothing is trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fftag.base.atomic import make_folder
from fftag.base.errors import FftagError
from fftag.base.progress import say
from fftag.data.manifest import Manifest
from fftag.evaluation.score_split import BATCH_SIZE, split_photos
from fftag.models.folder import CURVES, LOG, Bundle
from fftag.models.torch_scorer import predictor_on
from fftag.training.calibration import Calibration
from fftag.training.publish import finish, tune_head
from fftag.training.recipe import Recipe, change_recipe


def tune(
    bundle: Bundle,
    manifest: Manifest,
    out: Path,
    changes: dict[str, str],
    device: str = "auto",
    workers: int = 2,
) -> Bundle:
    """Writes a model folder with the same network and other thresholds.

    Args:
        bundle: the model.
        manifest: its validation split decides.
        out: the new model folder.
        changes: settings `tags.key` -> value; the others stay as the model was trained with.
        device: see `fftag.models.devices.choose_device`.
        workers: decoding processes.

    Raises:
        FftagError: a setting is none of `tags`, the manifest has other labels or no validation
            split, or the folder is not empty.
    """
    strange = [key for key in changes if not key.startswith("tags.")]
    if strange:
        raise FftagError(f"cannot set {strange[0]}: only tags.* is decided after the training")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FftagError(f"{out} is not empty: choose another --out")
    config = bundle.config
    recipe = change_recipe(Recipe.model_validate(config.recipe), changes)
    photos = split_photos(bundle, manifest, "val")
    if manifest.fingerprint != config.data_fingerprint:
        say("the model was trained on other data: make sure that it has not seen these photos")
    predictor = predictor_on(device, bundle.build(), config.input)
    tuned = tune_head(predictor, photos, recipe.tags, BATCH_SIZE, workers)
    new = replace(
        config,
        thresholds=tuned.thresholds,
        validation=tuned.validation,
        calibration=_after(config.calibration, tuned.calibration).to_json(),
        recipe=recipe.model_dump(mode="json"),
    )
    make_folder(out)
    for name in (CURVES, LOG):
        if (bundle.path / name).exists():
            shutil.copyfile(bundle.path / name, out / name)
    state = predictor.model.state_dict()
    # A screen reads embeddings, which another head leaves as they are.
    return finish(out, new, tuned, _history(bundle.path), state, bundle.screen)


def _after(before: dict[str, list[Any]] | None, line: Calibration) -> Calibration:
    """One line for two, the second through what the first gave."""
    if before is None:
        return line
    slope, intercept = np.array(before["slope"]), np.array(before["intercept"])
    methods = tuple(
        old if new == "none" else new
        for old, new in zip(before["method"], line.methods, strict=True)
    )
    return Calibration(methods, slope * line.slope, intercept * line.slope + line.intercept)


def _history(folder: Path) -> list[dict[str, float]]:
    try:
        lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise FftagError(f"cannot read {folder / LOG}: {error.strerror}") from error
    return [json.loads(line) for line in lines]
