"""Heat maps: where they point, whose coordinates they have, and that they depend on the weights."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from catalogues import SPEC, save_bands
from faults import SITE, afflict, install
from PIL import Image
from scipy.stats import spearmanr
from torch import nn
from torchvision.models.swin_transformer import SwinTransformer
from typer.testing import CliRunner

from fftag.base.errors import FftagError
from fftag.cli import app
from fftag.explain.heat import _attention_kept, heat
from fftag.explain.maps import Explainer, heat_maps
from fftag.models.architectures import factory
from fftag.models.folder import Bundle, save_bundle
from fftag.photos.decode import InputSpec

BANDS = {"red": 0, "green": 1, "blue": 2}  # from the top


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session_bundle: Bundle) -> Bundle:
    """A network that has learned the bands, in a few steps."""
    folder = tmp_path_factory.mktemp("bands")
    torch.manual_seed(3)
    model = factory.build("cnn", 3, SPEC)
    photos, targets = [], []
    for number in range(64):
        names = [name for bit, name in enumerate(BANDS) if number >> bit & 1]
        save_bands(folder / "x.jpg", names, seed=number, size=(SPEC.width, SPEC.height))
        with Image.open(folder / "x.jpg") as photo:
            photos.append(np.asarray(photo))
        targets.append([float(name in names) for name in BANDS])
    pixels = torch.tensor(np.stack(photos)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor(SPEC.mean)[:, None, None], torch.tensor(SPEC.std)[:, None, None]
    pixels, wanted = (pixels - mean) / std, torch.tensor(targets)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(pixels).logits, wanted).backward()
        optimizer.step()
    return save_bundle(folder / "model", session_bundle.config, model.eval().state_dict())


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    save_bands(tmp_path / "all.jpg", list(BANDS), seed=500, size=(480, 640))
    return tmp_path / "all.jpg"


@pytest.fixture
def explainer(trained: Bundle, tmp_path: Path) -> Iterator[Explainer]:
    with closing(Explainer(trained, tmp_path)) as made:
        yield made


def test_the_peak_lies_on_what_the_label_names(explainer: Explainer, tmp_path: Path) -> None:
    hits = 0
    for seed in range(10):
        save_bands(tmp_path / "one.jpg", list(BANDS), seed=600 + seed, size=(480, 640))
        explained = explainer("one.jpg", list(BANDS))
        for label, band in BANDS.items():
            found = explained.maps[label]
            assert found.shape == (640, 480) and found.dtype == np.float32
            assert found.min() >= 0 and found.max() == pytest.approx(1, abs=1e-5)
            row = np.unravel_index(found.argmax(), found.shape)[0]
            hits += int(row * 3 // 640 == band)
    assert hits >= 25  # of 30; a third of them by chance


def test_a_map_is_over_the_photo_without_its_padding(
    trained: Bundle, photo: Path, tmp_path: Path
) -> None:
    padded = replace(trained.config, input=replace(SPEC, resize="pad"))
    bundle = save_bundle(tmp_path / "padded", padded, trained.build().state_dict())
    with Image.open(photo) as image:
        wide = image.resize((1280, 320))
    wide.save(tmp_path / "wide.png")
    with closing(Explainer(bundle, tmp_path)) as explainer:
        explained = explainer("wide.png", ["red"])
    assert explained.photo.shape == (160, 640, 3) and explained.maps["red"].shape == (160, 640)


def test_other_weights_give_another_map(explainer: Explainer, photo: Path) -> None:
    """The check of Adebayo et al. 2018: what does not depend on the weights explains nothing."""
    before = explainer(photo.name, ["red"]).maps["red"]
    np.testing.assert_array_equal(explainer(photo.name, ["red"]).maps["red"], before)
    alike = []
    for seed in range(5):
        torch.manual_seed(seed)
        explainer.model = factory.build("cnn", 3, SPEC).eval()
        other = explainer(photo.name, ["red"]).maps["red"]
        alike.append(spearmanr(before.ravel(), other.ravel())[0])
    assert np.nanmean(np.abs(alike)) < 0.7


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize(
    "name",
    [
        "hog_cnn",
        "resnet18",
        "vit_b_32",
        "convnext_tiny",
        "mobilenet_v3_small",
        "swin_t",
        "swin_v2_t",
    ],
)
def test_every_kind_of_network_has_maps(name: str) -> None:
    spec = InputSpec(64, 64)
    torch.manual_seed(0)
    model = factory.build(name, 8, spec).eval()
    nn.init.normal_(model.head.weight, 0, 0.5)
    pixels = torch.randn(1, 3, 64, 64)
    before = model(pixels).logits
    maps = heat(model, name, pixels, range(8))
    assert all(one.ndim == 2 and min(one.shape) > 1 for one in maps)
    assert all((one >= 0).all() and np.isfinite(one).all() for one in maps)
    assert len({one.tobytes() for one in maps if one.any()}) > 1
    torch.testing.assert_close(model(pixels).logits, before)  # it is as it was


def test_the_attention_that_is_gathered_is_the_networks_own() -> None:
    torch.manual_seed(0)
    model = factory.build("vit_b_32", 3, InputSpec(64, 64)).eval()
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        own = model(pixels).logits
        with _attention_kept(model.backbone) as kept:
            torch.testing.assert_close(model(pixels).logits, own, rtol=1e-3, atol=1e-4)
    assert len(kept) == 12 and kept[0].shape == (1, 12, 5, 5)
    torch.testing.assert_close(kept[0].sum(-1), torch.ones(1, 12, 5))


def test_a_swin_transformers_map_is_what_its_places_add_to_the_logit() -> None:
    """Its head is linear in the mean of the last map, so that Grad-CAM of it is known."""
    torch.manual_seed(0)
    swin = SwinTransformer([4, 4], 8, [2, 2], [2, 4], [4, 4], num_classes=1)
    swin.head = nn.Identity()  # type: ignore[assignment]
    model = factory.Classifier(swin, 16, 5).eval()
    pixels = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        last = swin.norm(swin.features(pixels))[0]  # [rows, columns, channels]
        places = last @ model.head.weight.T / last.shape[:2].numel()
    maps = heat(model, "swin_small", pixels, range(5))
    assert places.shape == (12, 8, 5) and any(one.any() for one in maps)
    for label, one in enumerate(maps):
        wanted = places[..., label].clamp(min=0).numpy()
        np.testing.assert_allclose(one, wanted, rtol=1e-4, atol=1e-7)


def test_channels_that_stand_last_are_no_columns_of_a_wide_photo() -> None:
    model = factory.build("convnext_tiny", 2, InputSpec(64, 832)).eval()  # of 768 channels
    (found,) = heat(model, "convnext_tiny", torch.randn(1, 3, 64, 832), [0])
    assert found.shape == (2, 26)


def test_what_has_no_maps_says_so() -> None:
    model = factory.build("resnet18", 3, InputSpec(32, 32)).eval()
    with pytest.raises(FftagError, match=r"no heat maps of resnet18 at 32 x 32 .* a larger input"):
        heat(model, "resnet18", torch.zeros(1, 3, 32, 32), [0])


def test_bad_input_is_one_line(explainer: Explainer, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(FftagError, match="did you mean 'green'"):
        explainer(photo.name, ["gren"])
    (tmp_path / "none.jpg").write_bytes(b"no photo")
    with pytest.raises(FftagError, match="cannot be explained, as it is unsupported"):
        explainer("none.jpg")
    with pytest.raises(FftagError, match="it is vanished"):
        heat_maps(explainer.bundle, tmp_path / "gone.jpg", ["red"])


@pytest.mark.usefixtures("decoding_processes")
def test_a_photo_that_kills_its_decoder_costs_itself_alone(
    explainer: Explainer, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", install(tmp_path / "site", SITE))
    shutil.copy(photo, tmp_path / "bad.jpg")
    afflict(tmp_path / "bad.jpg", "segfault")
    with pytest.raises(FftagError, match="it is crashed"):
        explainer("bad.jpg")
    assert explainer(photo.name, ["red"]).maps["red"].any()


def test_pictures_and_a_page_come_from_the_command_line(
    trained: Bundle, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(photo, folder / "<script>.jpg")
    (folder / "broken.jpg").write_bytes(photo.read_bytes()[:200])
    shutil.copy(folder / "<script>.jpg", tmp_path / "one.jpg")
    runner, model = CliRunner(), str(trained.path)
    out = tmp_path / "heat.png"
    done = runner.invoke(
        app, ["explain", model, str(tmp_path / "one.jpg"), "--label", "red", "--out", str(out)]
    )
    assert done.exit_code == 0 and Image.open(out).size[0] > Image.open(out).size[1]
    done = runner.invoke(app, ["explain", model, str(folder), "--html", str(tmp_path / "site")])
    assert done.exit_code == 0
    text = (tmp_path / "site/index.html").read_text()
    assert "&lt;script&gt;.jpg" in text and "<script>.jpg" not in text
    assert "1 could not be explained" in text and "truncated" in text and "http" not in text
    assert text.count("data:image/png;base64") == 1
    assert runner.invoke(app, ["explain", model, str(folder)]).exit_code == 2
    pictures = heat_maps(trained, tmp_path / "one.jpg", ["red", "blue"])
    assert pictures["red"] != pictures["blue"] and pictures["red"].startswith(b"\x89PNG")
