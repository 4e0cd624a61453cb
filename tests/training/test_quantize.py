"""`fftag quantize` on a trained model, and tagging with what it made."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from catalogues import save_bands
from typer.testing import CliRunner

import fftag.training.quantize as module
from fftag.base.errors import FftagError
from fftag.cli import app
from fftag.data.manifest import read_manifest
from fftag.models import openvino_scorer
from fftag.models.architectures import factory
from fftag.models.devices import CPU
from fftag.models.folder import Bundle, load_bundle
from fftag.models.scorers import Arithmetic, Predictions, open_scorer
from fftag.photos.decode import InputSpec
from fftag.training.quantize import compare_apparel, compare_scorers, quantize, report_lines
from fftag.training.screen_fit import Known, fit_screen
from fftag.training.screening import add_screen
from fftag.training.settings import ScreenSettings

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import agreement


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
        "1",
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
    result = CliRunner().invoke(app, [*command, "--photos", "40", "--workers", "1"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    stored = json.loads((model.path / "int8" / "quantization.json").read_text())
    assert report == stored
    assert (report["calibrated_on"], report["photos"]) == (40, 16)
    assert report["pairs_agreeing"] >= 0.9
    tried = report["tags_agreeing_in_calibration"]
    assert set(tried) == set(module.RANGES) and tried[report["ranges"]] == max(tried.values())
    assert 0.5 <= report["apparel_agreeing"] <= 1 and report["apparel_moved_most"] < 0.6
    (said,) = [line for line in report_lines(model, report) if "same verdict" in line]
    assert f"{report['apparel_agreeing']:.1%}" in said
    assert load_bundle(model.path).model_id == before

    manifest = read_manifest(bands_manifest)
    scorers = {
        precision: open_scorer(model, Arithmetic(backend, precision), CPU)
        for backend, precision in (("torch", "fp32"), ("openvino", "int8"))
    }
    again = compare_scorers(model, manifest.of_split("val"), scorers, 1)
    assert again == {key: report[key] for key in again}
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    one, other = (scorer(pixels).scores for scorer in scorers.values())
    assert 0 < np.abs(one - other).max() < 0.2


@pytest.mark.parametrize("architecture", ["cnn", "resnet18"])
def test_all_but_the_head_is_int8(architecture: str) -> None:
    spec = InputSpec(64, 64)
    network = factory.build(architecture, 5, spec).eval()
    photos = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64, 3), np.uint8)
    graph = module._quantized(
        openvino_scorer.convert(network, spec), list(photos), module._has_attention(network)
    )

    def kind_of_weights(operation: Any) -> str:
        value = operation.input(1).get_source_output()
        while value.get_node().get_type_name() != "Constant":
            value = value.get_node().input(0).get_source_output()
        return value.get_element_type().get_type_name()

    kinds = ("Convolution", "MatMul")
    *body, head = [op for op in graph.get_ordered_ops() if op.get_type_name() in kinds]
    assert list(head.output(0).shape) == [1, 5] and kind_of_weights(head) == "f32"
    assert {kind_of_weights(one) for one in body} == {"i8"} and len(body) >= 3


def test_of_ways_to_set_ranges_the_one_that_agrees_best_is_kept(
    model: Bundle, bands_manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = module._quantized

    def spoiled(graph: Any, photos: list[np.ndarray], attention: bool, ranges: str) -> Any:
        # Ranges of black photos cut off all that is bright.
        some = photos if ranges == good else [np.zeros_like(photo) for photo in photos]
        return made(graph, some, attention, ranges)

    monkeypatch.setattr(module, "_quantized", spoiled)
    for good in module.RANGES:
        report = quantize(model, read_manifest(bands_manifest), photos=40, max_drop=1, workers=1)
        tried = report["tags_agreeing_in_calibration"]
        assert report["ranges"] == good and tried[good] > min(tried.values())


def test_tags_of_int8_are_not_mixed_with_those_of_fp32(
    model: Bundle, bands_manifest: Path, tmp_path: Path
) -> None:
    photos, out = bands_manifest.parent / "photos", tmp_path / "tags.parquet"
    command = ["tag", str(photos), "--out", str(out), "--model", str(model.path), "--workers", "1"]
    run = CliRunner().invoke

    def header() -> dict[str, Any]:
        return json.loads(pq.read_schema(out).metadata[b"fftag"])

    assert run(app, [*command, "--tier", "int8"]).exit_code == 1
    assert run(app, [*command, "--tier", "exact"]).exit_code == 0
    exact = header()
    assert (exact["settings"]["backend"], exact["settings"]["precision"]) == ("torch", "fp32")
    assert exact["settings"]["decoder"] == "full"
    quantize(model, read_manifest(bands_manifest), photos=40, max_drop=1, workers=1)
    result = run(app, [*command, "--tier", "int8"])
    assert result.exit_code == 0 and "every file is tagged anew" in result.stderr
    small = header()
    assert (small["settings"]["backend"], small["settings"]["precision"]) == ("openvino", "int8")
    assert small["scores_id"] != exact["scores_id"]
    assert run(app, ["retag", str(out), "--model", str(model.path)]).exit_code == 0
    quantize(model, read_manifest(bands_manifest), photos=3, seed=5, max_drop=1, workers=1)
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
        quantize(model, manifest, photos=20, workers=1)
    assert not (model.path / "int8").exists()
    quantize(model, manifest, photos=20, max_drop=0.03, workers=1)
    assert (model.path / "int8" / "SHA256SUMS").exists()


def test_without_its_packages_it_says_what_to_install(
    model: Bundle, bands_manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "nncf" else object())
    with pytest.raises(FftagError, match=r"nncf is not installed: pip install 'fftag\[openvino\]'"):
        quantize(model, read_manifest(bands_manifest))


def embedded(count: int) -> Predictions:
    points = np.random.default_rng(count).normal(0, 1, (count, 8)).astype(np.float32)
    return Predictions(points[:, :3], points, points[:, :3])


def test_verdicts_of_the_screen_are_compared_at_its_threshold(session_bundle: Bundle) -> None:
    screen = fit_screen(ScreenSettings(keep=0.99), Known(embedded(100), embedded(50)))
    screened = replace(session_bundle, screen=screen)
    assert screen.reject == 0.01

    def predicted(*scores: float) -> Predictions:
        rows = np.zeros((len(scores), 3), np.float32)
        return Predictions(rows, rows, rows, np.array(scores, np.float32))

    one, other = predicted(0.9, 0.02, 0.005, 0.01), predicted(0.5, 0.005, 0.0, 0.01)
    found = compare_apparel(screened, one, other)
    assert found["apparel_agreeing"] == 0.75  # the second photo alone crosses the threshold
    assert found["apparel_moved_most"] == pytest.approx(0.4)
    assert found["apparel_moved"] == pytest.approx((0.4 + 0.015 + 0.005) / 4)
    assert compare_apparel(session_bundle, one, other) == {}
    assert compare_apparel(screened, one, other._replace(apparel=None)) == {}


def test_the_benchmark_shows_the_screen_beside_the_tags(
    session_bundle: Bundle, bands_manifest: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(bands_manifest)
    save_bands(tmp_path / "other/0.jpg", ["red"])
    bf16 = Arithmetic("torch", "bf16")
    plain = agreement.row(session_bundle, manifest.of_split("test"), bf16, None)
    assert plain.count("|") == len(agreement.HEADINGS) + 1 and plain.endswith("| - | - |")

    settings = ScreenSettings(keep=0.9, accept=0.6)
    model = shutil.copytree(session_bundle.path, tmp_path / "model")
    fitted = add_screen(load_bundle(model), manifest, settings, device="cpu", workers=1)
    row = agreement.row(fitted.bundle, manifest.of_split("test"), bf16, tmp_path / "other")
    alike, moves = row.strip("| ").split(" | ")[-2:]
    assert all(0.5 < float(one.rstrip("%")) / 100 <= 1 for one in alike.split(" / "))
    assert len(alike.split(" / ")) == len(moves.split(" / ")) == 2
    assert row.split(" | ")[1:6] == plain.split(" | ")[1:6]  # the screen changes no tag
