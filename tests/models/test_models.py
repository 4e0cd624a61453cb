import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models as zoo

from fftag.base.errors import FftagError
from fftag.models.architectures import factory
from fftag.photos.decode import InputSpec

FAMILIES = ["cnn", "resnet101", "vit_b_16", "inception_v3"]
OTHERS = [
    "alexnet",
    "vgg11",
    "squeezenet1_1",
    "densenet121",
    "mobilenet_v3_small",
    "googlenet",
    "efficientnet_b0",
    "convnext_tiny",
    "swin_t",
    "regnet_y_400mf",
    "shufflenet_v2_x0_5",
]


def small_spec(name: str) -> InputSpec:
    return InputSpec(299, 299) if name == "inception_v3" else InputSpec(96, 96)


@pytest.fixture(scope="module", params=FAMILIES + OTHERS)
def network(request: pytest.FixtureRequest) -> factory.Classifier:
    return factory.build(request.param, 5, small_spec(request.param)).eval()


def test_every_architecture_gives_logits_and_an_embedding(network: factory.Classifier) -> None:
    side = 299 if isinstance(network.backbone, zoo.Inception3) else 96
    with torch.no_grad():
        outputs = network(torch.rand(2, 3, side, side))
    assert outputs.logits.shape == (2, 5) and outputs.auxiliary is None
    assert outputs.embedding.shape == (2, network.head.in_features)
    assert torch.equal(network.head(outputs.embedding), outputs.logits)


def test_stages_run_from_head_to_stem_and_hold_each_parameter_once(
    network: factory.Classifier,
) -> None:
    stages = network.stages()
    assert stages[0].name == "head" and len(stages) >= 4
    held = [id(parameter) for stage in stages for parameter in stage.parameters]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in network.parameters()}
    first_filter = next(p for p in network.parameters() if p.ndim == 4)
    assert id(first_filter) in {id(parameter) for parameter in stages[-1].parameters}


def test_a_transformers_class_token_and_positions_belong_to_its_stem() -> None:
    network = factory.build("vit_b_16", 5, InputSpec(96, 96))
    stem = {id(parameter) for parameter in network.stages()[-1].parameters}
    assert {id(network.backbone.class_token), id(network.backbone.encoder.pos_embedding)} <= stem  # type: ignore[union-attr]


def test_the_cnn_has_three_blocks_of_32_64_and_128() -> None:
    network = factory.build("cnn", 46, InputSpec(64, 64))
    shapes = [tuple(p.shape) for p in network.parameters() if p.ndim == 4]
    assert shapes == [(32, 3, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3)]
    assert network.head.weight.shape == (46, 128)


def test_inception_has_an_auxiliary_head_in_training_only() -> None:
    network = factory.build("inception_v3", 5, InputSpec(299, 299)).train()
    outputs = network(torch.rand(2, 3, 299, 299))
    assert outputs.auxiliary is not None and outputs.auxiliary.shape == (2, 5)


def test_each_architecture_knows_the_input_it_was_made_for() -> None:
    assert factory.input_spec("inception_v3").height == 299
    assert factory.input_spec("vit_b_16").height == 224
    assert factory.input_spec("vit_b_16", "IMAGENET1K_SWAG_E2E_V1").height == 384
    assert factory.input_spec("resnet101").mean == (0.485, 0.456, 0.406)
    assert factory.input_spec("resnet101").resize == "squash"


def test_swag_weights_carry_their_licence_and_the_others_none() -> None:
    assert "non-commercial" in str(factory.licence("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"))
    assert factory.licence("vit_b_16", "imagenet") is None
    assert factory.licence("cnn", "none") is None


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", ["resnet101", "vit_b_16"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_weights_load_from_a_file(tmp_path: Path, name: str, suffix: str) -> None:
    spec = factory.input_spec(name)
    torch.manual_seed(3)
    published = zoo.get_model(name, weights=None).eval()
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(published.state_dict(), file)
    else:
        save_file(published.state_dict(), file)
    network = factory.build(name, 5, spec, str(file)).eval()
    stem = "conv1.weight" if name == "resnet101" else "conv_proj.weight"
    assert torch.equal(network.backbone.state_dict()[stem], published.state_dict()[stem])
    assert network.head.weight.shape[0] == 5


def test_a_model_of_our_own_is_a_start_for_another(tmp_path: Path) -> None:
    first = factory.build("cnn", 3, InputSpec(32, 32))
    save_file(first.state_dict(), tmp_path / "model.safetensors")
    second = factory.build("cnn", 7, InputSpec(32, 32), str(tmp_path))
    assert torch.equal(next(second.backbone.parameters()), next(first.backbone.parameters()))
    assert second.head.weight.shape == (7, 128)


def test_weights_that_do_not_fit_are_refused_with_the_first_difference(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file(zoo.get_model("resnet18", weights=None).state_dict(), file)
    with pytest.raises(FftagError, match=r"does not fit resnet101: .* backbone\."):
        factory.build("resnet101", 5, InputSpec(64, 64), str(file))
    (tmp_path / "no.pth").write_bytes(b"not weights")
    with pytest.raises(FftagError, match="cannot read weights"):
        factory.build("resnet101", 5, InputSpec(64, 64), str(tmp_path / "no.pth"))


def test_a_pickle_with_code_in_it_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub/checkpoints"
    cache.mkdir(parents=True)
    in_cache = cache / zoo.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    for file, weights in (
        (tmp_path / "trap.pth", str(tmp_path / "trap.pth")),
        (in_cache, "imagenet"),
    ):
        torch.save({"conv1.weight": Trap()}, file)
        with pytest.raises(FftagError, match="cannot read") as refused:
            factory.build("resnet18", 5, InputSpec(64, 64), weights)
        assert str(file) in str(refused.value) and "\n" not in str(refused.value)
        assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "content", [[1, 2], {1: torch.ones(1)}, {"conv1.weight": 3}, {"state_dict": {}}, torch.ones(1)]
)
def test_what_is_no_state_dict_is_one_line(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(FftagError, match=r"odd\.pth") as refused:
        factory.build("resnet18", 5, InputSpec(64, 64), str(tmp_path / "odd.pth"))
    assert "\n" not in str(refused.value)


def test_a_failed_download_names_the_alternatives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FftagError) as refused:
        factory.build("resnet18", 5, InputSpec(64, 64), "imagenet")
    message = str(refused.value)
    assert "unreachable" in message and "\n" not in message
    for way_out in ("--weights FILE", "--weights none", str(tmp_path / "hub/checkpoints/resnet18")):
        assert way_out in message


def test_downloaded_weights_are_found_in_torchs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    named = zoo.ResNet18_Weights.DEFAULT
    cache = tmp_path / "hub/checkpoints"
    cache.mkdir(parents=True)
    published = zoo.resnet18(weights=None)
    torch.save(published.state_dict(), cache / named.url.rpartition("/")[2])
    network = factory.build("resnet18", 5, InputSpec(64, 64), "imagenet")
    assert torch.equal(network.backbone.conv1.weight, published.conv1.weight)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("resnet1001", "none", "fftag models"),
        ("resnet101", "imagnet", "use one of none, imagenet, IMAGENET1K_V1"),
        ("cnn", "imagenet", "no published weights"),
        ("inception_v3", "none", "at least 299 pixels"),
    ],
)
def test_unknown_names_are_answered_with_the_known(name: str, weights: str, words: str) -> None:
    with pytest.raises(FftagError, match=words):
        factory.build(name, 5, InputSpec(64, 64), weights)
