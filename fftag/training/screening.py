"""The apparel screen of a model: fitted after training, or later to a folder that is there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fftag.base.errors import FftagError
from fftag.base.progress import say
from fftag.data.manifest import Manifest
from fftag.data.photos import Photos
from fftag.evaluation.score_split import BATCH_SIZE, score_photos, score_split, split_photos
from fftag.models.folder import Bundle, save_screen
from fftag.models.scorers import Predictions, Scorer
from fftag.models.screen import Screen
from fftag.models.torch_scorer import Predictor, predictor_on
from fftag.photos.pool import ReadOptions, batches
from fftag.photos.sources.choose import list_source
from fftag.photos.sources.local import Folder
from fftag.training.screen_fit import Known, fit_screen
from fftag.training.settings import ScreenSettings

MOST_PHOTOS = 20_000  # clusters of more look the same
HELD_BACK = 5  # of photos without apparel, every fifth measures what the others taught


def screen_of(
    settings: ScreenSettings,
    predictor: Predictor,
    train_photos: Photos,
    held_out: Predictions,
    workers: int,
    seed: int = 0,
    others: Predictions | None = None,
) -> Screen | None:
    """A screen for a model; None where the settings want none.

    Args:
        settings: how.
        predictor: the model, calibrated.
        train_photos: what it learned from; at most 20,000 of them, drawn at random, are used.
        held_out: what it makes of apparel photos that it did not learn from.
        workers: decoding processes.
        seed: of everything random.
        others: what it makes of photos without apparel.

    Raises:
        FftagError: a photo cannot be read, or the method needs `others`.
    """
    if settings.method == "none":
        return None
    needed = 1 / (1 - settings.keep)
    if len(held_out.scores) < needed:
        say(
            f"the apparel screen is set by {len(held_out.scores)} validation photos: fewer than "
            f"{needed:.0f} say little about a loss of {1 - settings.keep:.1%}"
        )
    drawn = train_photos.drawn(MOST_PHOTOS, seed)
    train = score_photos(predictor, drawn, BATCH_SIZE, workers)
    return fit_screen(settings, Known(train, held_out, others, seed))


@dataclass(frozen=True)
class Fitted:
    """A screen that was put into a model folder, and what it does.

    Attributes:
        bundle: the folder, loaded.
        verdicts: name of some photos -> how many get which verdict.
    """

    bundle: Bundle
    verdicts: dict[str, dict[str, int]]

    @property
    def screen(self) -> Screen:
        assert self.bundle.screen is not None
        return self.bundle.screen

    def to_json(self) -> dict[str, Any]:
        return {
            "model_id": self.bundle.model_id,
            "screen": self.screen.to_json() | {"about": self.screen.about},
            "verdicts": self.verdicts,
        }

    def lines(self) -> Iterator[str]:
        """For a person."""
        about = self.screen.about
        clusters = f", {about['clusters']} clusters" if "clusters" in about else ""
        yield (
            f"apparel screen in {self.bundle.path}: {self.screen.method}{clusters}, of "
            f"{about['train']:,} training and {about['held_out']:,} validation photos "
            f"(model id now {self.bundle.model_id[:12]})"
        )
        for name, counts in self.verdicts.items():
            said = ", ".join(f"{verdict} {count:,}" for verdict, count in counts.items())
            yield f"  {name:24} {said}"


def add_screen(
    bundle: Bundle,
    manifest: Manifest,
    settings: ScreenSettings,
    non_apparel: Path | None = None,
    device: str = "auto",
    workers: int = 2,
) -> Fitted:
    """Fits a screen to a model folder, in the place of any that it has.

    Args:
        bundle: the model.
        manifest: its training split is what the screen learns, its validation split sets the
            scores, and its test split, where there is one, shows what they come to.
        settings: how.
        non_apparel: a folder of photos without apparel, all of which are judged; `contrast` learns
            from four in five of them and is judged by the rest.
        device: see `fftag.models.devices.choose_device`.
        workers: decoding processes.

    Raises:
        FftagError: the manifest has other labels or lacks a split, a photo of it cannot be read,
            or the method needs photos without apparel.
    """
    train_photos = split_photos(bundle, manifest, "train")
    predictor = predictor_on(device, bundle.build(), bundle.config.input)

    def scored(split: str) -> Predictions:
        return score_split(bundle, manifest, split, predictor, workers).predictions

    others = score_folder(predictor, non_apparel, workers) if non_apparel else None
    taught, judged = others, others
    if others is not None and settings.method == "contrast":
        held_back = np.arange(len(others.scores)) % HELD_BACK == HELD_BACK - 1
        taught, judged = others.chosen(~held_back), others.chosen(held_back)
    held_out = scored("val")
    screen = screen_of(settings, predictor, train_photos, held_out, workers, others=taught)
    if screen is None:
        raise FftagError("no screen was asked for: give --method kmeans, or another")
    shown = {"validation photos": held_out}
    if manifest.has_split("test"):
        shown["test photos"] = scored("test")
    if judged is not None:
        shown["photos without apparel"] = judged
    verdicts = {name: count_verdicts(screen, found) for name, found in shown.items()}
    return Fitted(save_screen(bundle.path, screen), verdicts)


def count_verdicts(screen: Screen, found: Predictions) -> dict[str, int]:
    """How many photos are accepted, to be reviewed, and rejected."""
    scores = screen.scores(found.embeddings)
    passed, accepted = screen.is_apparel(scores), scores >= np.float32(screen.review)
    return {
        "accept": int(accepted.sum()),
        "review": int((passed & ~accepted).sum()),
        "reject": int((~passed).sum()),
    }


def score_folder(scorer: Scorer, folder: Path, workers: int) -> Predictions:
    """What a model makes of every photo of a folder; what is none is left out, and counted.

    Raises:
        FftagError: there is no photo in the folder.
    """
    source = Folder(folder)
    entries = list_source(source).files.to_pylist()
    options = ReadOptions(batch_size=BATCH_SIZE, workers=workers)
    starts = range(0, len(entries), BATCH_SIZE)
    plan = ((start, entries[start : start + BATCH_SIZE]) for start in starts)
    parts, failed = [], 0
    for batch in batches(source, plan, scorer.spec, options):
        good = [place for place, photo in enumerate(batch.photos) if photo.has_pixels]
        failed += len(batch.photos) - len(good)
        if good:
            parts.append(scorer(batch.pixels[good]))
    if not parts:
        raise FftagError(f"none of the {failed} files in {folder} can be read as a photo")
    if failed:
        say(f"{failed} of {len(entries)} files in {folder} cannot be read as photos: left out")
    return Predictions.joined(parts)
