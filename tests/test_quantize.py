"""`fftag quantize` on a trained model, and tagging with what it made."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

import fftag.training.quantize as module
from fftag.backends import Arithmetic, open_scorer
from fftag.bundle import Bundle, load_bundle
from fftag.cli import app
from fftag.datasets.manifest import read_manifest
from fftag.errors import FftagError
from fftag.training.quantize import compare_scorers, quantize


@pytest.fixture(scope="module")
def trained(bands_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the bands, trained for a few epochs."""
    out = tmp_path_factory.mktemp("quantize") / "model"
    settings = ("run.epochs=4", "model.input_size=[32,32]")
    changes = [part for setting in settings for part in ("--set", setting)]
    command = [
        "train",
        "cnn",
        "--data",
        str(bands_manifest),
        "--out",
        str(out),
        "--workers",
        "0",
        *changes,
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Bundle:
    return load_bundle(shutil.copytree(trained, tmp_path / "model"))


def test_the_int8_form_agrees_and_says_how_much(
    model: Bundle, bands_manifest: Path, tmp_path: Path
) -> None:
    before = model.model_id
    command = ["quantize", str(model.path), "--data", str(bands_manifest), "--json"]
    result = CliRunner().invoke(app, [*command, "--photos", "40", "--workers", "0"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    stored = json.loads((model.path / "int8" / "quantization.json").read_text())
    assert report == stored
    assert (report["calibrated_on"], report["photos"]) == (40, 16)
    assert report["pairs_agreeing"] >= 0.9
    assert load_bundle(model.path).model_id == before

    manifest = read_manifest(bands_manifest)
    scorers = {
        precision: open_scorer(model, Arithmetic(backend, precision), torch.device("cpu"))
        for backend, precision in (("torch", "fp32"), ("openvino", "int8"))
    }
    again = compare_scorers(model, manifest.of_split("val"), scorers, 0)
    assert again == {key: report[key] for key in again}
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    one, other = (scorer(pixels).scores for scorer in scorers.values())
    assert 0 < np.abs(one - other).max() < 0.2


def test_tags_of_int8_are_not_mixed_with_those_of_fp32(
    model: Bundle, bands_manifest: Path, tmp_path: Path
) -> None:
    photos, out = bands_manifest.parent / "photos", tmp_path / "tags.parquet"
    command = ["tag", str(photos), "--out", str(out), "--model", str(model.path), "--workers", "0"]
    run = CliRunner().invoke

    def header() -> dict[str, Any]:
        return json.loads(pq.read_schema(out).metadata[b"fftag"])

    assert run(app, [*command, "--tier", "int8"]).exit_code == 1
    assert run(app, [*command, "--tier", "exact"]).exit_code == 0
    exact = header()
    assert (exact["settings"]["backend"], exact["settings"]["precision"]) == ("torch", "fp32")
    assert exact["settings"]["decoder"] == "full"
    quantize(model, read_manifest(bands_manifest), photos=40, max_drop=1, workers=0)
    result = run(app, [*command, "--tier", "int8"])
    assert result.exit_code == 0 and "every file is tagged anew" in result.stderr
    small = header()
    assert (small["settings"]["backend"], small["settings"]["precision"]) == ("openvino", "int8")
    assert small["scores_id"] != exact["scores_id"]
    assert run(app, ["retag", str(out), "--model", str(model.path)]).exit_code == 0
    quantize(model, read_manifest(bands_manifest), photos=3, seed=5, max_drop=1, workers=0)
    result = run(app, [*command, "--tier", "int8"])
    assert "is of another model" in result.stderr


def test_an_int8_form_that_costs_too_much_is_not_kept(
    model: Bundle, bands_manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse(*args: Any) -> dict[str, Any]:
        found = compare_scorers(*args)
        found["macro_f1"]["int8"] = found["macro_f1"]["fp32"] - 0.02
        return found

    monkeypatch.setattr(module, "compare_scorers", worse)
    manifest = read_manifest(bands_manifest)
    with pytest.raises(FftagError, match=r"costs 0\.0200 of macro-F1 .* nothing was written"):
        quantize(model, manifest, photos=20, workers=0)
    assert not (model.path / "int8").exists()
    quantize(model, manifest, photos=20, max_drop=0.03, workers=0)
    assert (model.path / "int8" / "SHA256SUMS").exists()


def test_without_its_packages_it_says_what_to_install(
    model: Bundle, bands_manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "nncf" else object())
    with pytest.raises(FftagError, match=r"nncf is not installed: pip install 'fftag\[openvino\]'"):
        quantize(model, read_manifest(bands_manifest))
