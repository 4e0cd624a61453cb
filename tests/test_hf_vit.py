"""Hugging Face checkpoints, made here with random weights by transformers itself."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchvision.models import VisionTransformer

from fftag import hf_vit, models
from fftag.bundle import Bundle, ModelConfig, load_bundle, save_bundle
from fftag.decode import InputSpec, Photo, decode
from fftag.errors import FftagError
from fftag.labels import LabelSet
from fftag.predict import Normalise
from fftag.training.recipe import load_recipe

SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 64,
}


@pytest.fixture(scope="module")
def hf() -> SimpleNamespace:
    """The few classes of transformers that the tests need: importing it all takes long."""
    from transformers.models.vit.configuration_vit import ViTConfig
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
    from transformers.models.vit.modeling_vit import ViTForImageClassification, ViTModel

    return SimpleNamespace(
        config=ViTConfig,
        backbone=ViTModel,
        classifier=ViTForImageClassification,
        processor=ViTImageProcessorPil,
    )


def lively(network: Any) -> Any:
    """Random biases, norms and tokens as well: as made, most are 0 or 1 and hide a mix-up."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return network.eval()


@pytest.fixture(scope="module")
def base(hf: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A checkpoint of the size of vit-base-patch16, for small photos, and its network."""
    network = lively(hf.classifier(hf.config(image_size=32, num_labels=4)))
    folder = tmp_path_factory.mktemp("vit-base-patch16-32")
    network.save_pretrained(folder)
    hf.processor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder, network


@pytest.fixture
def small(hf: SimpleNamespace, tmp_path: Path) -> tuple[Path, Any]:
    network = lively(hf.backbone(hf.config(**SMALL)))
    network.save_pretrained(tmp_path / "small")
    return tmp_path / "small", network


def load_small(file: Path, image_size: int = 32, **changes: Any) -> VisionTransformer:
    network = VisionTransformer(image_size, 8, 2, 4, 32, 64).eval()
    network.heads = torch.nn.Identity()  # type: ignore[assignment]
    config = hf_vit.Config.model_validate({"model_type": "vit", **SMALL, **changes})
    hf_vit.load_tensors(network, config, file)
    return network


def class_token(network: Any, pixels: Tensor, **options: Any) -> Tensor:
    with torch.no_grad():
        tokens: Tensor = network(pixels, **options).last_hidden_state
    return tokens[:, 0]


def photos(count: int = 3, side: int = 32) -> Tensor:
    torch.manual_seed(6)
    return torch.rand(count, 3, side, side) * 2 - 1


def write_config(folder: Path, **content: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", **content}))
    return folder


def test_the_embedding_is_the_class_token_that_transformers_computes(
    base: tuple[Path, Any],
) -> None:
    folder, theirs = base
    spec = models.input_spec("vit_b_16", str(folder))
    network = models.build("vit_b_16", 7, spec, str(folder)).eval()
    with torch.no_grad():
        outputs = network(photos())
    expected = class_token(theirs.vit, photos())
    assert outputs.logits.shape == (3, 7)
    assert (outputs.embedding - expected).abs().max() < 1e-4
    hf_vit.set_norm_eps(network.backbone, hf_vit.TORCHVISION_EPS)
    with torch.no_grad():  # the epsilon alone would spoil it
        assert (network(photos()).embedding - expected).abs().max() > 1e-4


def test_a_model_folder_keeps_the_epsilon_and_hands_it_on(
    base: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = str(base[0])
    spec = models.input_spec("vit_b_16", folder)
    network = models.build("vit_b_16", 1, spec, folder).eval()
    save_bundle(tmp_path, describe(network, spec), network.state_dict())
    again = load_bundle(tmp_path).build()
    with torch.no_grad():
        assert torch.equal(again(photos()).logits, network(photos()).logits)
    assert models.input_spec("vit_b_16", str(tmp_path)).mean == (0.5, 0.5, 0.5)
    started = models.build("vit_b_16", 2, spec, str(tmp_path))
    assert hf_vit.norm_eps(started.backbone) == 1e-12


def describe(network: models.Classifier, spec: InputSpec) -> ModelConfig:
    return ModelConfig(
        architecture="vit_b_16",
        labels=LabelSet.of(["shoe"], ["wear"]),
        thresholds=(0.5,),
        input=spec,
        prevalence=(0.5,),
        validation=({"tp": 1, "fp": 1, "fn": 1, "tn": 1},),
        recipe={},
        data_fingerprint="0" * 64,
        versions={"fftag": "0"},
        norm_eps=hf_vit.norm_eps(network.backbone),
    )


def test_a_model_folder_of_our_own_is_not_taken_for_a_checkpoint(session_bundle: Bundle) -> None:
    assert not hf_vit.is_checkpoint(session_bundle.path)
    network = models.build("cnn", 9, session_bundle.config.input, str(session_bundle.path))
    assert torch.equal(
        next(network.backbone.parameters()), next(session_bundle.build().backbone.parameters())
    )


def test_every_spelling_of_the_names_loads(small: tuple[Path, Any], tmp_path: Path) -> None:
    folder, theirs = small
    first = load_file(folder / "model.safetensors")
    current = theirs.state_dict()
    assert first.keys() != current.keys()
    expected = class_token(theirs, photos())
    for names in (first, current):
        for prefix in ("", "vit."):
            file = tmp_path / "model.safetensors"
            save_file({prefix + key: value.contiguous() for key, value in names.items()}, file)
            with torch.no_grad():
                assert (load_small(file)(photos()) - expected).abs().max() < 1e-5


def test_half_precision_and_missing_qkv_biases_load(hf: SimpleNamespace, tmp_path: Path) -> None:
    theirs = lively(hf.backbone(hf.config(**SMALL, qkv_bias=False))).bfloat16()
    theirs.save_pretrained(tmp_path)
    network = load_small(tmp_path / "model.safetensors", qkv_bias=False)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    with torch.no_grad():
        assert (network(photos()) - class_token(theirs.float(), photos())).abs().max() < 1e-5


def test_another_image_size_interpolates_the_positions(small: tuple[Path, Any]) -> None:
    folder, theirs = small
    network = load_small(folder / "model.safetensors", image_size=48)
    theirs_positions = theirs.embeddings.position_embeddings
    assert network.encoder.pos_embedding.shape == (1, 37, 32)
    assert torch.equal(network.encoder.pos_embedding[:, 0], theirs_positions[:, 0])
    corners = network.encoder.pos_embedding[0, [1, 6, 31, 36]]
    assert torch.allclose(corners, theirs_positions[0, [1, 4, 13, 16]], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("encoder.layer.1.attention.attention.key.bias"), "1 tensors are missing"),
        (lambda t: t.pop("layernorm.weight"), r"the first is layernorm\.weight"),
        (lambda t: t.update(more=torch.ones(1), most=torch.ones(1)), "2 tensors are unknown"),
        (
            lambda t: t.update({"vit.layernorm.bias": torch.ones(32)}),
            r"1 tensors are unknown, the first is .*layernorm\.bias",
        ),
        (
            lambda t: t.update({"embeddings.position_embeddings": torch.ones(1, 5, 32)}),
            r"misshapen, the first is embeddings\.position_embeddings",
        ),
        (
            lambda t: t.update({"encoder.layer.0.output.dense.bias": torch.ones(31)}),
            r"misshapen, the first is encoder\.layer\.0\.output\.dense\.bias",
        ),
    ],
)
def test_a_tensor_missing_unknown_or_misshapen_is_named(
    small: tuple[Path, Any], change: Callable[[dict[str, Tensor]], Any], words: str
) -> None:
    file = small[0] / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    with pytest.raises(FftagError, match=words) as refused:
        load_small(file)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("architecture", "content", "words"),
    [
        ("vit_b_32", {}, "does not fit vit_b_32: use vit_b_16"),
        ("resnet18", {}, "does not fit resnet18: use vit_b_16"),
        ("cnn", {}, "does not fit cnn: use vit_b_16"),
        ("resnet18", {"hidden_size": 1024}, "no architecture has its sizes"),
        ("vit_b_16", {"num_hidden_layers": 6}, r"no architecture .*num_hidden_layers 6"),
        ("vit_b_16", {"hidden_act": "gelu_new"}, "hidden_act: .* 'gelu_new'"),
        ("vit_b_16", {"model_type": "deit"}, "model_type: .* 'deit'"),
        ("vit_b_16", {"image_size": [224, 160]}, "image_size"),
        ("vit_b_16", {"image_size": "large"}, "image_size"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    tmp_path: Path, architecture: str, content: dict[str, Any], words: str
) -> None:
    weights = str(write_config(tmp_path, **content))
    for ask in (
        lambda: models.input_spec(architecture, weights),
        lambda: models.build(architecture, 2, InputSpec(32, 32), weights),
    ):
        with pytest.raises(FftagError, match=words) as refused:
            ask()
        assert "\n" not in str(refused.value)


def test_a_folder_without_safetensors_says_how_to_get_them(tmp_path: Path) -> None:
    weights = str(write_config(tmp_path))
    with pytest.raises(FftagError, match="save_pretrained"):
        models.build("vit_b_16", 2, InputSpec(32, 32), weights)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(FftagError, match="cannot read weights"):
        models.build("vit_b_16", 2, InputSpec(32, 32), weights)


def test_the_input_is_the_checkpoints_own(tmp_path: Path) -> None:
    weights = str(write_config(tmp_path, image_size=[384, 384]))
    halves = (0.5, 0.5, 0.5)
    assert models.input_spec("vit_b_16", weights) == InputSpec(384, 384, mean=halves, std=halves)
    steps = tmp_path / "preprocessor_config.json"
    steps.write_text(json.dumps({"image_mean": [0.4, 0.5, 0.6], "image_std": [0.1, 0.2, 0.3]}))
    spec = models.input_spec("vit_b_16", weights)
    assert (spec.mean, spec.std) == ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    steps.write_text(json.dumps({"do_normalize": False}))
    spec = models.input_spec("vit_b_16", weights)
    assert (spec.mean, spec.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    for content in ('{"rescale_factor": 1.0}', '{"image_std": [0.5, 0.5]}', "{"):
        steps.write_text(content)
        with pytest.raises(FftagError, match=r"cannot use .*preprocessor_config") as refused:
            models.input_spec("vit_b_16", weights)
        assert "\n" not in str(refused.value)


def test_a_recipe_takes_mean_and_std_from_the_checkpoint(tmp_path: Path) -> None:
    weights = str(write_config(tmp_path))
    spec = load_recipe("vit_b_16", {"model.weights": json.dumps(weights)}).model.input_spec()
    assert spec.mean == spec.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("size", [(32, 32), (57, 80)])
def test_a_photo_is_prepared_as_transformers_prepares_it(
    hf: SimpleNamespace, base: tuple[Path, Any], size: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    spec = models.input_spec("vit_b_16", str(base[0]))
    photo = decode(file.getvalue(), spec)
    assert isinstance(photo, Photo)
    ours = Normalise(spec)(torch.from_numpy(photo.pixels.copy())[None])
    processor = hf.processor.from_pretrained(base[0])
    theirs = processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    assert torch.allclose(ours, theirs, atol=1e-5)


# What docs/training.md says can go wrong with such a checkpoint, as far as it can be shown.


def test_a_second_sigmoid_puts_a_floor_under_the_loss() -> None:
    targets = torch.zeros(1, 46)
    targets[:, :5] = 1
    perfect = torch.where(targets > 0, 100.0, -100.0)
    assert binary_cross_entropy_with_logits(perfect, targets) < 1e-6
    floor = binary_cross_entropy_with_logits(perfect.sigmoid(), targets).item()
    assert floor == pytest.approx(0.652, abs=1e-3)


def test_softmax_cross_entropy_of_five_labels_cannot_go_below_eight() -> None:
    targets = torch.zeros(1, 46)
    targets[:, :5] = 1
    best = torch.where(targets > 0, 100.0, -100.0)  # a fifth for each of the five
    assert cross_entropy(best, targets).item() == pytest.approx(5 * math.log(5), abs=1e-3)


def test_a_classification_checkpoint_leaves_the_pooler_random(
    hf: SimpleNamespace, tmp_path: Path
) -> None:
    hf.classifier(hf.config(**SMALL)).save_pretrained(tmp_path)
    poolers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        backbone, found = hf.backbone.from_pretrained(tmp_path, output_loading_info=True)
        assert set(found["missing_keys"]) == {"pooler.dense.weight", "pooler.dense.bias"}
        poolers.append(backbone.pooler.dense.weight)
    assert not torch.equal(*poolers)


def test_imagenets_mean_and_std_double_the_contrast_that_the_network_sees(
    base: tuple[Path, Any],
) -> None:
    spec = models.input_spec("vit_b_16", str(base[0]))
    torch.manual_seed(8)
    bytes_ = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    right, wrong = Normalise(spec)(bytes_), Normalise(InputSpec(32, 32))(bytes_)
    factor = torch.tensor([0.5 / std for std in InputSpec(32, 32).std]).view(1, 3, 1, 1)
    assert factor.min() > 2.18 and factor.max() < 2.24
    shift = (wrong - right * factor).amax((0, 2, 3)) - (wrong - right * factor).amin((0, 2, 3))
    assert shift.max() < 1e-5  # the same for all pixels
    network = models.build("vit_b_16", 2, spec, str(base[0])).eval()
    with torch.no_grad():
        likeness = torch.cosine_similarity(network(right).embedding, network(wrong).embedding)
    assert likeness.min() > 0.8 and likeness.max() < 0.95  # random weights: no more than a sign
