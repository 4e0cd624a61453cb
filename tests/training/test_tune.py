import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fftag.base.errors import FftagError
from fftag.data.manifest import Manifest, read_manifest
from fftag.models.folder import Bundle, load_bundle
from fftag.models.labels import LabelSet
from fftag.training.loop import TrainOptions, train
from fftag.training.recipe import load_recipe
from fftag.training.tune import tune

RECIPE = {
    "model.input_size": "[32, 24]",
    "run.epochs": "3",
    "run.batch_size": "16",
    "tags.calibration": "none",
    "tags.platt_support": "4",
}


@pytest.fixture(scope="module")
def manifest(bands_manifest: Path) -> Manifest:
    return read_manifest(bands_manifest)


@pytest.fixture(scope="module")
def trained(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("tune") / "run"
    return train(load_recipe("cnn", RECIPE), manifest, out, TrainOptions("cpu", 1))


def test_the_network_stays_and_the_thresholds_change(
    trained: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    changes = {"tags.objective": "fixed", "tags.threshold": "0.75"}
    tuned = tune(trained, manifest, tmp_path / "new", changes, "cpu", 1)
    assert tuned.config.thresholds == (0.75,) * 3 and tuned.model_id != trained.model_id
    old, new = trained.build().state_dict(), tuned.build().state_dict()
    assert all((old[key] == new[key]).all() for key in old)
    assert tuned.config.recipe["tags"]["threshold"] == 0.75
    assert load_bundle(trained.path) == trained
    assert "a tag at a score of\n0.750 or more" in (tuned.path / "README.md").read_text()
    files = {path.name for path in tuned.path.iterdir()}
    assert {"log.jsonl", "curves.png", "README.md", "metrics.json"} <= files


def test_the_card_tells_thresholds_that_differ(
    trained: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    tuned = tune(trained, manifest, tmp_path / "new", {"tags.objective": "macro_f1"}, "cpu", 1)
    card = (tuned.path / "README.md").read_text()
    assert "a tag at a score of\nits own threshold (below) or more" in card
    assert len(set(tuned.config.thresholds)) > 1
    for label, threshold in zip(tuned.config.labels.names, tuned.config.thresholds, strict=True):
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {label} |")]
        assert row.split(" | ")[2] == f"{threshold:.3f}"


def test_a_calibration_on_top_of_another_is_recorded_as_one_line(
    trained: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    once = tune(trained, manifest, tmp_path / "once", {"tags.calibration": "platt"}, "cpu", 1)
    twice = tune(once, manifest, tmp_path / "twice", {"tags.calibration": "global"}, "cpu", 1)
    before, after = trained.build().head, twice.build().head
    assert twice.config.calibration is not None
    slope = np.array(twice.config.calibration["slope"])
    expected = before.weight.detach().numpy() * slope[:, None]
    np.testing.assert_allclose(after.weight.detach().numpy(), expected, rtol=1e-4)
    intercept = np.array(twice.config.calibration["intercept"])
    expected = before.bias.detach().numpy() * slope + intercept
    np.testing.assert_allclose(after.bias.detach().numpy(), expected, rtol=1e-3, atol=1e-5)


def test_what_is_not_decided_after_training_is_refused(
    trained: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(FftagError, match=r"cannot set optimizer\.lr"):
        tune(trained, manifest, tmp_path / "a", {"optimizer.lr": "1"}, "cpu", 1)
    with pytest.raises(FftagError, match=r"unknown key tags\.nothing"):
        tune(trained, manifest, tmp_path / "a", {"tags.nothing": "1"}, "cpu", 1)
    with pytest.raises(FftagError, match="not empty"):
        tune(trained, manifest, trained.path, {}, "cpu", 1)
    strange = replace(manifest, labels=LabelSet.of(["red", "green", "blue", "white"]))
    with pytest.raises(FftagError, match="does not know"):
        tune(trained, strange, tmp_path / "a", {}, "cpu", 1)
    assert not (tmp_path / "a").exists()


def test_the_log_of_a_run_counts_its_frozen_stages(trained: Bundle) -> None:
    log = [json.loads(line) for line in (trained.path / "log.jsonl").read_text().splitlines()]
    assert [row["frozen_stages"] for row in log] == [0, 0, 0]
