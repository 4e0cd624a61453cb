"""Networks of transformers: made here with random weights, and compared with its own passes."""

import io
import json
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from catalogues import save_bands
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from fftag.base.errors import FftagError
from fftag.data.manifest import Manifest, read_manifest
from fftag.explain.heat import heat
from fftag.explain.maps import Explainer
from fftag.models.architectures import factory, hugging_face
from fftag.models.devices import CPU
from fftag.models.folder import Bundle, load_bundle
from fftag.models.torch_scorer import Normalise, Predictor
from fftag.photos.decode import InputSpec, Photo, decode
from fftag.photos.sources.local import Folder
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import tag
from fftag.training.loop import TrainOptions, train
from fftag.training.quantize import quantize
from fftag.training.recipe import load_recipe

PLAIN = {
    "image_size": 32,
    "patch_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 64,
}
WINDOWS = {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
WINDOWS |= {"image_size": 32, "patch_size": 4}
STAGES = {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1]}


def class_token(found: Any) -> Tensor:
    return found.last_hidden_state[:, 0]  # type: ignore[no-any-return]


def pooled(found: Any) -> Tensor:
    return found.pooler_output.flatten(1)  # type: ignore[no-any-return]


# Kind -> its sizes, and what its own image classifier sees.
KINDS: dict[str, tuple[dict[str, Any], Callable[[Any], Tensor]]] = {
    "vit": (PLAIN, class_token),
    "deit": (PLAIN, class_token),
    "beit": (PLAIN | {"use_mean_pooling": True}, pooled),
    "dinov2": (PLAIN, class_token),
    "dinov2_with_registers": (PLAIN, class_token),
    "vit_msn": (PLAIN, class_token),
    "clip_vision_model": (PLAIN, pooled),
    "siglip_vision_model": (PLAIN, pooled),
    "swin": (WINDOWS, pooled),
    "convnext": (STAGES, pooled),
    "resnet": (STAGES | {"embedding_size": 8, "layer_type": "basic"}, pooled),
}
SPEC = InputSpec(32, 32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """Makes a checkpoint of a kind; returns its folder and its network."""
    from transformers import AutoConfig, AutoModel, ViTImageProcessor

    made: dict[str, tuple[Path, Any]] = {}

    def make(kind: str) -> tuple[Path, Any]:
        if kind not in made:
            torch.manual_seed(5)
            network = AutoModel.from_config(AutoConfig.for_model(kind, **KINDS[kind][0])).eval()
            with torch.no_grad():  # as made, biases and norms are 0 and 1, which hides a mix-up
                for parameter in network.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.1)
            folder = tmp_path_factory.mktemp(kind)
            network.save_pretrained(folder)
            ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
            made[kind] = folder, network
        return made[kind]

    return make


def photos(count: int = 3, side: int = 32) -> Tensor:
    torch.manual_seed(6)
    return torch.rand(count, 3, side, side) * 2 - 1


def copy_of(folder: Path, to: Path) -> Path:
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


@pytest.mark.parametrize("kind", KINDS)
def test_the_embedding_is_what_the_networks_own_classifier_sees(
    kind: str, checkpoint: Callable[[str], tuple[Path, Any]]
) -> None:
    folder, theirs = checkpoint(kind)
    spec = factory.input_spec("hugging_face", str(folder))
    assert spec == SPEC
    network = factory.build("hugging_face", 7, spec, str(folder)).eval()
    with torch.no_grad():
        outputs, expected = network(photos()), KINDS[kind][1](theirs(photos()))
    assert outputs.logits.shape == (3, 7) and expected.std() > 1e-3
    torch.testing.assert_close(outputs.embedding, expected, atol=1e-5, rtol=1e-4)
    stages = network.stages()
    assert stages[0].name == "head" and len(stages) >= 4
    held = [id(parameter) for stage in stages for parameter in stage.parameters]
    assert sorted(held) == sorted(id(parameter) for parameter in network.parameters())
    stem = {id(parameter) for parameter in stages[-1].parameters}
    assert id(next(p for p in network.parameters() if p.ndim == 4)) in stem


@pytest.mark.parametrize("kind", ["vit", "dinov2", "swin", "convnext", "resnet"])
def test_openvino_gives_the_scores_of_torch(
    kind: str, checkpoint: Callable[[str], tuple[Path, Any]]
) -> None:
    from fftag.models.openvino_scorer import OpenVinoPredictor, convert

    model = factory.build("hugging_face", 5, SPEC, str(checkpoint(kind)[0])).eval()
    pixels = np.random.default_rng(4).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    wanted = Predictor(factory.fused(model), SPEC, CPU)(pixels)
    found = OpenVinoPredictor(convert(model, SPEC), SPEC, "fp32")(pixels)
    assert wanted.scores.std() > 1e-4
    np.testing.assert_allclose(found.scores, wanted.scores, atol=2e-3)
    np.testing.assert_allclose(found.embeddings, wanted.embeddings, atol=1e-2)


@pytest.mark.parametrize(
    ("kind", "spec", "shape"),
    [
        ("vit", SPEC, (4, 4)),
        ("deit", SPEC, (4, 4)),  # two tokens before those of the patches
        ("beit", SPEC, (4, 4)),  # the mean of them
        ("siglip_vision_model", SPEC, (4, 4)),  # no class token
        ("convnext", InputSpec(96, 64), (3, 2)),
    ],
)
def test_maps_have_the_places_of_the_photo(
    kind: str,
    spec: InputSpec,
    shape: tuple[int, int],
    checkpoint: Callable[[str], tuple[Path, Any]],
) -> None:
    model = factory.build("hugging_face", 4, spec, str(checkpoint(kind)[0])).eval()
    pixels = torch.rand(1, 3, spec.height, spec.width)
    before = model(pixels).logits
    maps = heat(model, "hugging_face", pixels, range(4))
    assert all(one.shape == shape and (one >= 0).all() for one in maps)
    assert any(one.any() for one in maps)
    torch.testing.assert_close(model(pixels).logits, before)  # it is as it was


def test_the_map_of_a_convolutional_network_is_what_its_places_add_to_the_logit(
    checkpoint: Callable[[str], tuple[Path, Any]],
) -> None:
    """A ResNet's head is linear in the mean of its last map, so that Grad-CAM of it is known."""
    folder, theirs = checkpoint("resnet")
    model = factory.build("hugging_face", 3, InputSpec(96, 64), str(folder)).eval()
    pixels = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        last = theirs(pixels).last_hidden_state[0]
        wanted = torch.einsum("lc,crk->lrk", model.head.weight, last) / 6
    assert wanted.shape == (3, 3, 2) and (wanted > 0).any()
    for one, other in zip(heat(model, "hugging_face", pixels, range(3)), wanted, strict=True):
        np.testing.assert_allclose(one, other.clamp(min=0).numpy(), rtol=1e-3, atol=1e-6)


def test_the_attention_that_is_kept_is_the_networks_own(
    checkpoint: Callable[[str], tuple[Path, Any]],
) -> None:
    folder, theirs = checkpoint("vit")
    model = factory.build("hugging_face", 4, SPEC, str(folder)).eval()
    theirs.set_attn_implementation("eager")
    try:
        wanted = theirs(photos(1), output_attentions=True).attentions
    finally:
        theirs.set_attn_implementation("sdpa")
    with torch.no_grad(), model.backbone.watched() as passes:  # type: ignore[operator, union-attr]
        model(photos(1))
    assert len(passes) == 1 and len(wanted) == 2
    for one, other in zip(passes[0].attentions, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_windows_have_no_maps_and_say_so(checkpoint: Callable[[str], tuple[Path, Any]]) -> None:
    model = factory.build("hugging_face", 4, SPEC, str(checkpoint("swin")[0])).eval()
    with pytest.raises(FftagError, match="windows of the photo"):
        heat(model, "hugging_face", photos(1), [0])


@pytest.fixture(scope="module")
def trained(
    checkpoint: Callable[[str], tuple[Path, Any]],
    bands_manifest: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    changes = {
        "model.weights": json.dumps(
            str(copy_of(checkpoint("vit")[0], tmp_path_factory.mktemp("c")))
        ),
        "run.epochs": "3",
        "run.batch_size": "8",
        "run.max_steps": "2",
        "freeze.schedule": "gradual",
    }
    manifest: Manifest = read_manifest(bands_manifest)
    out = tmp_path_factory.mktemp("runs") / "vit"
    return train(load_recipe("hugging_face", changes), manifest, out, TrainOptions("cpu", 1))


def test_a_model_folder_needs_no_checkpoint_and_starts_another(
    trained: Bundle, tmp_path: Path
) -> None:
    Path(trained.config.recipe["model"]["weights"]).rename(tmp_path / "gone")
    network = load_bundle(trained.path).build()
    assert trained.config.input == SPEC and trained.config.versions["transformers"]
    folder = str(trained.path)
    again = factory.build("hugging_face", 2, factory.input_spec("hugging_face", folder), folder)
    with torch.no_grad():
        torch.testing.assert_close(
            again.eval()(photos()).embedding, network(photos()).embedding, rtol=0, atol=0
        )
    (tmp_path / "gone").rename(trained.config.recipe["model"]["weights"])


def test_its_stages_thaw_from_the_head(trained: Bundle) -> None:
    log = [json.loads(line) for line in (trained.path / "log.jsonl").read_text().splitlines()]
    assert [row["frozen_stages"] for row in log] == [3, 2, 1]


def test_its_photos_are_explained(trained: Bundle, tmp_path: Path) -> None:
    save_bands(tmp_path / "one.jpg", ["red"], 1)
    with closing(Explainer(trained, tmp_path)) as explainer:
        explained = explainer("one.jpg", ["red"])
    assert explained.maps["red"].max() == pytest.approx(1, abs=1e-5)


def test_without_transformers_it_says_how_to_get_it(
    trained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    for ask in (trained.build, lambda: load_recipe("hugging_face")):
        with pytest.raises(FftagError, match=r"pip install 'fftag\[transformers\]'"):
            ask()


def test_another_size_interpolates_the_positions(
    checkpoint: Callable[[str], tuple[Path, Any]],
) -> None:
    folder, theirs = checkpoint("vit")
    network = factory.build("hugging_face", 1, InputSpec(48, 64), str(folder)).eval()
    larger = torch.rand(2, 3, 48, 64)
    with torch.no_grad():
        wanted = class_token(theirs(larger, interpolate_pos_encoding=True))
        torch.testing.assert_close(network(larger).embedding, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (57, 80)])
@pytest.mark.parametrize("resample", [1, 2, 3])
def test_a_photo_is_prepared_as_transformers_prepares_it(
    tmp_path: Path, size: tuple[int, int], resample: int
) -> None:
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    processor = ViTImageProcessorPil(
        size={"height": 32, "width": 24}, resample=resample, image_mean=[0.4, 0.5, 0.6]
    )
    processor.save_pretrained(tmp_path)
    pixels = np.random.default_rng(7).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    spec = hugging_face.input_spec(tmp_path)
    photo = decode(file.getvalue(), spec)
    assert isinstance(photo, Photo)
    ours = Normalise(spec)(torch.from_numpy(photo.pixels.copy())[None])
    theirs = processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_crop_of_the_centre_is_the_size_of_the_whole_photo(tmp_path: Path) -> None:
    from transformers import CLIPImageProcessor

    CLIPImageProcessor(size={"shortest_edge": 256}, crop_size=224).save_pretrained(tmp_path)
    spec = hugging_face.input_spec(tmp_path)
    assert (spec.height, spec.width, spec.interpolation) == (224, 224, "bicubic")
    assert spec.mean[0] == pytest.approx(0.48145466)


def test_no_patch_is_hidden_as_in_pretraining(tmp_path: Path) -> None:
    from transformers import ViTMAEConfig, ViTMAEModel

    ViTMAEModel(ViTMAEConfig(**PLAIN)).save_pretrained(tmp_path)
    network = factory.build("hugging_face", 3, SPEC, str(tmp_path)).eval()
    with torch.no_grad():
        first, second = network(photos()).embedding, network(photos()).embedding
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


def test_of_photos_and_text_the_network_of_photos_is_taken(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
    text |= {"intermediate_size": 16, "bos_token_id": 1, "eos_token_id": 2}
    theirs = CLIPModel(CLIPConfig(text_config=text, vision_config=PLAIN)).eval()
    theirs.save_pretrained(tmp_path)
    network = factory.build("hugging_face", 3, SPEC, str(tmp_path)).eval()
    with torch.no_grad():
        wanted = theirs.vision_model(photos()).pooler_output
        torch.testing.assert_close(network(photos()).embedding, wanted, atol=1e-5, rtol=1e-4)


def test_nothing_of_a_checkpoint_is_run(
    checkpoint: Callable[[str], tuple[Path, Any]], tmp_path: Path
) -> None:
    folder = copy_of(checkpoint("vit")[0], tmp_path)
    sprung = tmp_path / "sprung"
    (folder / "modeling_own.py").write_text(f"open({str(sprung)!r}, 'w')\nclass Own: pass\n")
    content = json.loads((folder / "config.json").read_text())
    content["auto_map"] = {"AutoConfig": "modeling_own.Own", "AutoModel": "modeling_own.Own"}
    (folder / "config.json").write_text(json.dumps(content))
    factory.build("hugging_face", 2, SPEC, str(folder))
    content["model_type"] = "own"
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(FftagError, match="cannot load the checkpoint"):
        factory.build("hugging_face", 2, SPEC, str(folder))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    content["model_type"] = "vit"
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "model.safetensors").unlink()
    with pytest.raises(FftagError, match="safetensors"):
        factory.build("hugging_face", 2, SPEC, str(folder))
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("layernorm.weight"), r"1 tensors are missing, the first is layernorm\.w"),
        (lambda t: t.update({"layernorm.bias": torch.ones(5)}), "cannot load the checkpoint"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    checkpoint: Callable[[str], tuple[Path, Any]],
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], Any],
    words: str,
) -> None:
    folder = copy_of(checkpoint("vit")[0], tmp_path)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(FftagError, match=words) as refused:
        factory.build("hugging_face", 2, SPEC, str(folder))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.safetensors", "no weights", "cannot load the checkpoint"),
        ("config.json", '{"model_type": "no_such"}', "cannot load the checkpoint"),
        ("config.json", '{"model_type": "bert"}', "takes no photos|cannot load"),
        ("config.json", "{}", "is no checkpoint of transformers"),
        ("preprocessor_config.json", "{", "cannot read how .* takes photos"),
        ("preprocessor_config.json", None, "cannot read how .* takes photos"),
        ("preprocessor_config.json", '{"resample": 0}', "wants photos of another kind"),
        ("preprocessor_config.json", '{"rescale_factor": 1.0}', "a range other than 0 to 1"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    checkpoint: Callable[[str], tuple[Path, Any]],
    tmp_path: Path,
    name: str,
    content: str | None,
    words: str,
) -> None:
    folder = copy_of(checkpoint("vit")[0], tmp_path)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(FftagError, match=words) as refused:
        spec = factory.input_spec("hugging_face", str(folder))
        factory.build("hugging_face", 2, spec, str(folder))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("architecture", "side", "words"),
    [("vit_b_16", 32, "recipe hugging_face"), ("hugging_face", 4, r"4 x 4 pixels.*input_size")],
)
def test_another_architecture_or_size_is_refused(
    checkpoint: Callable[[str], tuple[Path, Any]], architecture: str, side: int, words: str
) -> None:
    with pytest.raises(FftagError, match=words):
        factory.build(architecture, 2, InputSpec(side, side), str(checkpoint("vit")[0]))


def test_a_name_on_the_hub_that_cannot_be_had_is_answered_with_the_alternatives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FftagError) as refused:
        load_recipe("hugging_face")
    message = str(refused.value)
    for words in ("google/vit-base-patch16-224", "unreachable", "--local-dir", "recipe vit_b_16"):
        assert words in message
    assert "\n" not in message
    with pytest.raises(FftagError, match="give the folder of a checkpoint, or its name on the hub"):
        factory.input_spec("hugging_face", "none")


@pytest.mark.slow
def test_it_is_quantized_and_tags(trained: Bundle, bands_manifest: Path, tmp_path: Path) -> None:
    photos, exact, small = bands_manifest.parent / "photos", tmp_path / "a", tmp_path / "b"
    options = TagOptions(tier="exact", workers=1)
    summary = tag(Folder(photos), exact, trained, options)
    assert summary.read == 96 and not summary.failed
    quantize(trained, read_manifest(bands_manifest), photos=20, max_drop=1, workers=1)
    tag(Folder(photos), small, trained, replace(options, tier="int8"))
    scores = [np.array(pq.read_table(out)["scores"].to_pylist()) for out in (exact, small)]
    assert 0 < np.abs(scores[0] - scores[1]).max() < 0.2
