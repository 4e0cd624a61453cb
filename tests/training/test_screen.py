"""The apparel screen: what it scores, what it keeps, and what tagging makes of it."""

import base64
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from catalogues import save_bands
from click.testing import Result
from markupsafe import escape
from PIL import Image
from sklearn.metrics import roc_auc_score
from torchvision import models as zoo
from typer.testing import CliRunner

from fftag.base.errors import FftagError
from fftag.catalogue.load import load
from fftag.cli import app
from fftag.data.manifest import Manifest, make_manifest, write_manifest
from fftag.data.photos import Photos
from fftag.evaluation.score_split import score_photos
from fftag.models.architectures import factory
from fftag.models.devices import CPU
from fftag.models.folder import Bundle, load_bundle, save_screen
from fftag.models.labels import LabelSet
from fftag.models.scorers import Predictions
from fftag.models.screen import FILE, METHODS, Screen, Tensors
from fftag.models.torch_scorer import Predictor
from fftag.photos.sources.local import Folder
from fftag.reports.ask import run_report
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import retag, tag
from fftag.tagging.validate import validate
from fftag.training import screen_evaluation
from fftag.training.screen_fit import Known, curve, fit_method, fit_screen
from fftag.training.screening import score_folder
from fftag.training.settings import ScreenSettings

OPTIONS = TagOptions(backend="torch", workers=1, batch_size=4, shard_size=8, max_removal_rate=1)


def clouds(count: int, seed: int, apparel: bool = True, features: int = 8) -> Predictions:
    """Embeddings about two centres (or, without apparel, about a third), and logits with them."""
    rng = np.random.default_rng(seed)
    centres = np.eye(features)[[0, 1] if apparel else [2, 2]] * 4
    points = centres[rng.integers(0, 2, count)] + rng.normal(0, 0.4, (count, features))
    logits = np.where(apparel, 2.0, -3.0) + rng.normal(0, 0.5, (count, 3))
    return Predictions(
        1 / (1 + np.exp(-logits)), points.astype(np.float32), logits.astype(np.float32)
    )


KNOWN = Known(clouds(400, 1), clouds(400, 2), clouds(80, 3, apparel=False))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_tells_other_photos_apart_and_loses_what_it_promises(method: str) -> None:
    screen = fit_screen(ScreenSettings(method=method, keep=0.98, accept=0.9), KNOWN)
    apparel, others = clouds(2000, 4), clouds(300, 5, apparel=False)
    kept = screen.scores(apparel.embeddings)
    turned_down = screen.scores(others.embeddings)
    assert kept.dtype == np.float32 and 0 <= min(kept.min(), turned_down.min()) <= kept.max() <= 1
    assert not screen.is_apparel(turned_down).any()
    # Of photos that nothing was fitted to; both are shares of samples.
    assert abs((~screen.is_apparel(kept)).mean() - 0.02) < 0.015
    verdicts = screen.verdicts(kept)
    assert abs(verdicts.count("accept") / 2000 - 0.9) < 0.05
    assert set(screen.verdicts(turned_down)) == {"reject"}


def test_photos_farther_out_than_any_that_was_seen_keep_their_order() -> None:
    screen = fit_screen(ScreenSettings(), KNOWN)
    points = np.eye(8, dtype=np.float32)[[0] * 4] * 4
    points[:, 5] = [3, 6, 12, 40]
    scores = screen.scores(points)
    assert (np.diff(scores) < 0).all() and scores[-1] > 0


def test_the_curve_is_the_share_that_lies_farther_out() -> None:
    knots, shares = curve(np.array([1.0, 2.0, 2.0, 3.0]))
    assert knots.tolist() == [1, 2, 3]
    np.testing.assert_allclose(shares, [4 / 5, 2 / 5, 1 / 5])


def test_the_number_of_clusters_follows_the_data() -> None:
    assert fit_screen(ScreenSettings(), KNOWN).about["clusters"] <= 400 / 20
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(16, 16)))[0] * 5

    def many(seed: int) -> Predictions:
        drawn = np.random.default_rng(seed)
        points = centres[drawn.integers(0, 16, 800)] + drawn.normal(0, 0.05, (800, 16))
        return Predictions(np.zeros((800, 3)), points.astype(np.float32), np.zeros((800, 3)))

    sixteen = fit_screen(ScreenSettings(), Known(many(1), many(2))).about["clusters"]
    assert sixteen == 16


def test_what_learns_from_other_photos_needs_them() -> None:
    with pytest.raises(FftagError, match="--non-apparel"):
        fit_screen(ScreenSettings(method="contrast"), replace(KNOWN, others=None))


def noise(count: int, seed: int) -> Predictions:
    points = np.random.default_rng(seed).normal(size=(count, 64)).astype(np.float32)
    return Predictions(points[:, :3], points, points[:, :3])


def test_contrast_is_measured_on_photos_that_it_did_not_learn_from() -> None:
    """What tells nothing looks like chance: a regression on 64 numbers knows by heart 50 photos."""
    known = Known(noise(400, 1), noise(50, 2))
    near, far = screen_evaluation.cross_validated(known, noise(300, 3), noise(50, 4))
    assert (near.shape, far.shape) == ((300,), (50,))
    assert 0.35 < roc_auc_score(np.repeat([0, 1], [300, 50]), np.r_[near, far]) < 0.65
    near, far = screen_evaluation.cross_validated(KNOWN, clouds(300, 6), clouds(50, 7, False))
    assert near.max() < far.min()


@pytest.fixture(scope="module")
def made(session_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Photos of bands, named in a manifest; beside them a model with a screen fitted to them."""
    folder = tmp_path_factory.mktemp("made")
    images, labels, splits = [], [], []
    for number in range(120):
        names = [name for bit, name in enumerate(("red", "green", "blue")) if number >> bit & 1]
        save_bands(folder / f"bands/{number}.jpg", names or ["red"], seed=number)
        images.append(f"bands/{number}.jpg")
        labels.append(names or ["red"])
        splits.append(("train", "val", "test")[0 if number < 70 else 1 + number % 2])
    label_set = LabelSet.of(("red", "green", "blue"), ("warm", "cool", "cool"))
    data, model = folder / "data.parquet", folder / "model"
    manifest = make_manifest(images, labels, label_set, folder, splits)
    write_manifest(manifest, data)
    shutil.copytree(session_bundle.path, model)
    command = ["screen", str(model), "--data", str(data), "--json", "--workers", "1"]
    command += ["--keep", "0.9", "--accept", "0.6"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    bundle = load_bundle(model)
    assert content["model_id"] == bundle.model_id != session_bundle.model_id
    assert bundle.scores_id == session_bundle.scores_id
    assert sum(content["verdicts"]["validation photos"].values()) == 25
    return manifest


@pytest.fixture
def photos(made: Manifest, tmp_path: Path) -> Manifest:
    """A copy of the photos for training, validation and test, and of what lies beside them."""
    shutil.copytree(made.root, tmp_path, dirs_exist_ok=True)
    return replace(made, root=tmp_path)


@pytest.fixture
def screened(photos: Manifest, tmp_path: Path) -> Bundle:
    """A model with a screen."""
    return load_bundle(tmp_path / "model")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A catalogue: twelve bands, one of them twice, two plain pictures, and one broken file."""
    root = tmp_path / "catalog"
    for number in range(12):
        save_bands(root / f"b{number:02d}.jpg", ["red", "blue"][number % 2 :], seed=900 + number)
    shutil.copy(root / "b03.jpg", root / "copy.jpg")
    for number, colour in enumerate([(255, 255, 255), (0, 0, 0)]):
        Image.new("RGB", (60, 80), colour).save(root / f"plain{number}.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xffno photo")
    for path in root.iterdir():
        os.utime(path, (1.7e9, 1.7e9))  # long enough ago to be trusted not to change
    return root


def rows_of(out: Path) -> dict[str, dict]:
    return {row["image"]: row for row in pq.read_table(out).to_pylist()}


def test_tagging_writes_the_screens_word_and_reports_leave_photos_out(
    screened: Bundle, mixed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tags.parquet"
    options = replace(OPTIONS, max_failure_rate=1)
    summary = tag(Folder(mixed), out, screened, options)
    rows = rows_of(out)
    assert validate(out).valid
    assert rows["broken.jpg"]["apparel_score"] is None and rows["broken.jpg"]["is_apparel"] is None
    assert rows["copy.jpg"]["apparel_score"] == rows["b03.jpg"]["apparel_score"]
    reject = np.float32(screened.screen.reject)  # type: ignore[union-attr]
    good = [row for row in rows.values() if row["status"] == "ok"]
    assert all(row["is_apparel"] == (row["apparel_score"] >= reject) for row in good)
    plain = [rows[f"plain{number}.png"] for number in range(2)]
    assert not any(row["is_apparel"] for row in plain)
    down = sum(not row["is_apparel"] for row in good)
    assert 2 <= down < len(good)
    assert summary.verdicts["reject"] == down and sum(summary.verdicts.values()) == len(good)
    assert any(f"{down:,} show none" in line for line in summary.lines())

    load(out, tmp_path / "c.duckdb")
    with duckdb.connect(str(tmp_path / "c.duckdb"), read_only=True) as connection:
        (said,) = connection.execute(
            "select screen_method, screen_reject, screen_review from runs"
        ).fetchall()
    assert said == ("kmeans", screened.screen.reject, screened.screen.review)  # type: ignore[union-attr]
    answer = run_report(tmp_path / "c.duckdb", "share")
    assert f"{down:,} photos without apparel" in answer.basis
    assert set(answer.table["of_items"]) == {len(good) - down}

    again = tag(Folder(mixed), out, screened, options)
    assert again.read == 1  # the broken file is tried again
    now = rows_of(out)
    assert all(now[name] == row for name, row in rows.items() if name != "broken.jpg")


def test_another_threshold_needs_no_photo_and_another_screen_all(
    screened: Bundle, mixed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tags.parquet"
    (mixed / "broken.jpg").unlink()
    tag(Folder(mixed), out, screened, OPTIONS)
    before = rows_of(out)
    assert screened.screen is not None
    stricter = save_screen(screened.path, replace(screened.screen, reject=0.5, review=0.8))
    assert retag(out, stricter) == len(before)
    rows = rows_of(out)
    assert {name: row["apparel_score"] for name, row in rows.items()} == {
        name: row["apparel_score"] for name, row in before.items()
    }
    assert all(row["is_apparel"] == (row["apparel_score"] >= 0.5) for row in rows.values())
    assert validate(out).valid
    other = save_screen(stricter.path, replace(stricter.screen, knots=screened.screen.knots * 2))
    with pytest.raises(FftagError, match="another apparel screen"):
        retag(out, other)
    assert tag(Folder(mixed), out, other, OPTIONS).read == len(before)


def test_a_screen_that_does_not_fit_is_refused(screened: Bundle, tmp_path: Path) -> None:
    assert screened.screen is not None
    broken: dict[str, Screen] = {
        "method": replace(screened.screen, method="guess"),
        "order": replace(screened.screen, reject=0.9, review=0.1),
        "spread": replace(
            screened.screen,
            tensors=dict(screened.screen.tensors)
            | {"spreads": -np.ones_like(screened.screen.tensors["spreads"])},
        ),
        "features": replace(
            screened.screen,
            tensors=dict(screened.screen.tensors)
            | {"centroids": screened.screen.tensors["centroids"][:, :-1]},
        ),
        "number": replace(
            screened.screen, knots=np.full_like(screened.screen.knots, np.nan)
        ),
    }  # fmt: skip
    for name, screen in broken.items():
        folder = tmp_path / name
        shutil.copytree(screened.path, folder)
        with pytest.raises(FftagError, match="no screen of this model"):
            save_screen(folder, screen)
    (screened.path / FILE).write_bytes(b"something else")
    with pytest.raises(FftagError, match="not the file that was saved"):
        load_bundle(screened.path)
    (screened.path / FILE).unlink()
    with pytest.raises(FftagError, match="has lost its screen"):
        load_bundle(screened.path)


@pytest.fixture
def without_apparel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve pictures of one colour; intervals are by few resamples, which are quick."""
    monkeypatch.setattr(screen_evaluation, "RESAMPLES", 20)
    other = tmp_path / "other"
    other.mkdir()
    for number in range(12):
        Image.new("RGB", (60, 80), (number * 20, 255 - number * 20, 0)).save(
            other / f"{number}.png"
        )
    (other / "readme.txt").write_text("no photo")
    return other


def evaluate(model: Path, tmp_path: Path, other: Path, *more: str) -> Result:
    data = str(tmp_path / "data.parquet")
    command = ["evaluate", str(model), "--data", data, "--non-apparel", str(other)]
    command += ["--workers", "1", "--resamples", "2", *more]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def test_evaluation_measures_it_beside_other_scores(
    screened: Bundle, tmp_path: Path, without_apparel: Path
) -> None:
    result = evaluate(screened.path, tmp_path, without_apparel, "--json")
    content = json.loads(result.stdout)["screen"]
    assert (content["apparel_photos"], content["photos_without_apparel"]) == (25, 12)
    titles = [one["title"] for one in content["measured"]]
    assert titles[0] == "this model's screen (kmeans)" and len(titles) == 4
    for one in content["measured"]:
        value, low, high = one["figures"]["auroc"]
        assert 0 <= low <= value <= high <= 1
    own, again = content["measured"][:2]
    assert own["figures"] == again["figures"]  # the same clusters, of the same splits
    auroc = own["figures"]["auroc"][0]
    assert auroc > 0.9
    folder = screened.path / "evaluation-test"
    assert json.loads((folder / "screen.json").read_text()) == content
    for name in ("screen.png", "screen_scores.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("undrawn")
def test_the_page_has_a_section_on_it(
    screened: Bundle, session_bundle: Bundle, tmp_path: Path, without_apparel: Path
) -> None:
    evaluate(screened.path, tmp_path, without_apparel)
    folder = screened.path / "evaluation-test"
    page = (folder / "evaluation.html").read_text()
    section = page[page.index("Apparel or not</h2>") :].split("<h2")[0]
    content = json.loads((folder / "screen.json").read_text())
    for one in content["measured"]:
        (row,) = [row for row in section.split("<tr")[2:] if f">{escape(one['title'])}<" in row]
        for value, low, high in one["figures"].values():
            assert f"{100 * value:.1f} ({100 * low:.1f}-{100 * high:.1f})" in row
    for name in ("screen.png", "screen_scores.png"):
        assert base64.b64encode((folder / name).read_bytes()).decode() in section
    counts = content["verdicts"]["without apparel"]
    assert f"without apparel: accept {counts['accept']}" in section

    evaluate(session_bundle.path, tmp_path, without_apparel, "--out", str(folder))
    assert "has no screen" in (folder / "evaluation.html").read_text()
    # And without such photos there is no such section.
    command = ["evaluate", str(screened.path), "--data", str(tmp_path / "data.parquet")]
    done = CliRunner().invoke(app, [*command, "--workers", "1", "--resamples", "2"])
    assert done.exit_code == 0
    assert "Apparel or not" not in (folder / "evaluation.html").read_text()


@pytest.mark.usefixtures("undrawn")
def test_a_general_backbone_is_measured_on_the_same_photos(
    screened: Bundle, photos: Manifest, tmp_path: Path, without_apparel: Path
) -> None:
    torch.manual_seed(5)
    file = tmp_path / "general.pth"
    torch.save(zoo.mobilenet_v3_small().state_dict(), file)
    more = ("--backbone", "mobilenet_v3_small", "--weights", str(file))
    result = evaluate(screened.path, tmp_path, without_apparel, *more)
    folder = screened.path / "evaluation-test"
    content = json.loads((folder / "screen.json").read_text())
    assert content["backbone"] == {"architecture": "mobilenet_v3_small", "weights": str(file)}
    measured = {one["title"]: one["figures"] for one in content["measured"]}
    assert len(measured) == 5

    spec = factory.input_spec("mobilenet_v3_small", str(file))
    network = Predictor(factory.build("mobilenet_v3_small", 1, spec, str(file)), spec, CPU)
    known = {
        split: score_photos(network, Photos(photos.of_split(split), spec, None), 64, 1)
        for split in ("train", "val", "test")
    }
    others = score_folder(network, without_apparel, 1)
    tensors = fit_method("neighbour", Known(known["train"], known["val"]))
    near, far = (
        METHODS["neighbour"].distance(tensors, one.embeddings * 7)  # lengths are out
        for one in (known["test"], others)
    )
    wanted = (far[:, None] > near).mean() + (far[:, None] == near).mean() / 2
    title = "nearest neighbour, mobilenet_v3_small"
    assert measured[title]["auroc"][0] == pytest.approx(wanted, abs=0.01)
    assert title in result.stdout and title in (folder / "evaluation.html").read_text()


def test_a_backbone_that_cannot_be_had_is_one_line(
    screened: Bundle, tmp_path: Path, without_apparel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    backbone = ("--backbone", "resnet18")
    for more, said in (
        (backbone, "cannot download the weights IMAGENET1K_V1 of resnet18"),
        ((*backbone, "--weights", "none"), "has learned nothing"),
        ((*backbone, "--weights", "gone.pth"), "no weights 'gone.pth' for resnet18"),
        (("--backbone", "resnet1"), "no architecture 'resnet1'"),
    ):
        with pytest.raises(FftagError, match=said):
            evaluate(screened.path, tmp_path, without_apparel, *more)
    assert evaluate(screened.path, tmp_path, without_apparel, "--weights", "x").exit_code == 2
    command = ["evaluate", str(screened.path), "--data", "data.parquet", *backbone]
    assert CliRunner().invoke(app, command).exit_code == 2


def test_what_is_measured_does_not_choose_the_clusters(
    screened: Bundle, photos: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Known] = []

    def noted(method: str, known: Known) -> Tensors:
        given.append(known)
        return fit_method(method, known)

    monkeypatch.setattr(screen_evaluation, "fit_method", noted)
    monkeypatch.setattr(screen_evaluation, "RESAMPLES", 20)
    save_bands(tmp_path / "other/0.jpg", ["red"])
    screen_evaluation.measure_screen(
        screened, photos, "test", tmp_path / "other", device="cpu", workers=1
    )
    spec = screened.config.input
    deciding = Photos(photos.of_split("val"), spec, None)
    wanted = score_photos(Predictor(screened.build(), spec, CPU), deciding, 16, 1)
    np.testing.assert_allclose(given[0].held_out.embeddings, wanted.embeddings, atol=1e-5)


def test_the_screen_is_not_measured_on_what_it_was_fitted_to(
    screened: Bundle, tmp_path: Path
) -> None:
    for split in ("train", "all"):
        command = ["evaluate", str(screened.path), "--data", str(tmp_path / "data.parquet")]
        command += ["--split", split, "--non-apparel", str(tmp_path)]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2 and "not trained on" in result.output
