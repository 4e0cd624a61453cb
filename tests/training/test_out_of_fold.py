"""Out of fold: which model scores which photos, and what an interrupted review trains again."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fftag.data.manifest import Manifest, make_manifest
from fftag.models.folder import DIGESTS
from fftag.models.labels import LabelSet
from fftag.training import out_of_fold
from fftag.training.loop import TrainOptions
from fftag.training.out_of_fold import scores_by_folds
from fftag.training.recipe import Recipe, load_recipe

PHOTOS, FOLDS = 12, 3
FOLD_OF = np.arange(PHOTOS) % FOLDS
RECIPE = load_recipe("cnn", {})


@dataclass(frozen=True)
class FakeBundle:
    """A model that only remembers what it saw: trained on, or validated on."""

    path: Path
    seen: frozenset[str]


class FakeTraining:
    """Stands in for training, loading and scoring; `broken` names a fold that fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models: dict[Path, FakeBundle] = {}
        self.trained: list[str] = []
        self.leaked: set[str] = set()
        self.broken = ""
        monkeypatch.setattr(out_of_fold, "train", self.train)
        monkeypatch.setattr(out_of_fold, "load_bundle", self.models.__getitem__)
        monkeypatch.setattr(out_of_fold, "model_scores", self.score)

    def train(
        self, recipe: Recipe, manifest: Manifest, out: Path, options: TrainOptions
    ) -> FakeBundle:
        if out.name == self.broken:
            raise KeyboardInterrupt
        frame = manifest.frame
        seen = frozenset(frame["image"][frame["split"].isin(["train", "val"])])
        out.mkdir(parents=True)
        (out / DIGESTS).write_text("{}")
        self.trained.append(out.name)
        self.models[out] = FakeBundle(out, seen)
        return self.models[out]

    def score(self, bundle: FakeBundle, manifest: Manifest, options: TrainOptions) -> np.ndarray:
        self.leaked |= bundle.seen & set(manifest.frame["image"])
        numbers = [int(Path(image).stem) for image in manifest.frame["image"]]
        return np.array(numbers, dtype=np.float32)[:, None]


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    return FakeTraining(monkeypatch)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    images = [f"{number}.jpg" for number in range(PHOTOS)]
    labels = [["hat"] if number % 2 else [] for number in range(PHOTOS)]
    return make_manifest(images, labels, LabelSet.of(["hat"]), tmp_path)


def test_no_photo_is_scored_by_a_model_that_saw_it(
    manifest: Manifest, training: FakeTraining, tmp_path: Path
) -> None:
    options = TrainOptions("cpu", 1)
    for _ in ("trained", "used again"):
        scores = scores_by_folds(manifest, FOLD_OF, RECIPE, tmp_path / "folds", options)
        assert not training.leaked
        # Each photo's score stands in the photo's own row.
        assert scores[:, 0].tolist() == list(range(PHOTOS))
    assert training.trained == ["0", "1", "2"]
    assert all(len(model.seen) == PHOTOS - PHOTOS // FOLDS for model in training.models.values())


def test_an_interrupted_review_trains_only_the_folds_that_are_missing(
    manifest: Manifest, training: FakeTraining, tmp_path: Path
) -> None:
    options = TrainOptions("cpu", 1)
    training.broken = "1"
    with pytest.raises(KeyboardInterrupt):
        scores_by_folds(manifest, FOLD_OF, RECIPE, tmp_path / "folds", options)
    assert training.trained == ["0"]
    training.broken = ""
    scores_by_folds(manifest, FOLD_OF, RECIPE, tmp_path / "folds", options)
    assert training.trained == ["0", "1", "2"] and not training.leaked
