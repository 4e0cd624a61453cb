"""Tiers and backends: the same scores, whatever computes them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import models as zoo

import fftag.models.scorers
from fftag.base.errors import FftagError
from fftag.models.architectures import factory
from fftag.models.devices import CPU, Device
from fftag.models.folder import Bundle
from fftag.models.scorers import Arithmetic, choose_arithmetic, open_scorer
from fftag.models.torch_scorer import Predictor, rounded
from fftag.photos.decode import InputSpec
from fftag.tagging.options import TagOptions, scorer_for

FAMILIES = ["cnn", "resnet18", "mobilenet_v3_small", "vit_b_32", "swin_t", "convnext_tiny"]


def photos(spec: InputSpec, count: int = 3) -> np.ndarray:
    draw = np.random.default_rng(4)
    return draw.integers(0, 256, (count, spec.height, spec.width, 3), dtype=np.uint8)


def settled(architecture: str, spec: InputSpec) -> factory.Classifier:
    """A network of random weights whose batch norms have seen some photos."""
    torch.manual_seed(1)
    model = factory.build(architecture, 5, spec)
    with torch.no_grad():
        for seed in range(3):
            torch.manual_seed(seed)
            model.train()(torch.randn(4, 3, spec.height, spec.width))
    return model.eval()


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("architecture", FAMILIES)
def test_openvino_gives_the_scores_of_torch(architecture: str) -> None:
    from fftag.models.openvino_scorer import OpenVinoPredictor, convert

    spec = InputSpec(64, 64)
    model, pixels = settled(architecture, spec), photos(spec)
    wanted = Predictor(model, spec, CPU)(pixels)
    found = OpenVinoPredictor(convert(model, spec), spec, "fp32")(pixels)
    assert wanted.scores.std() > 1e-4
    for name in ("scores", "embeddings", "logits"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert one.dtype == np.float32 and one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=2e-3 * max(1, np.abs(other).max()))


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("architecture", ["cnn", "resnet18", "googlenet", "vit_b_32"])
def test_folding_batch_norms_changes_no_score(architecture: str) -> None:
    spec = InputSpec(64, 64)
    pixels = photos(spec)
    wanted = Predictor(settled(architecture, spec), spec, CPU)(pixels)
    folded = factory.fused(settled(architecture, spec))
    if architecture != "vit_b_32":
        kinds = [type(module) for module in folded.backbone.modules()]
        assert torch.nn.BatchNorm2d not in kinds
    found = Predictor(folded, spec, CPU)(pixels)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)
    np.testing.assert_allclose(found.embeddings, wanted.embeddings, atol=1e-3)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("architecture", sorted({*FAMILIES, *factory.OWN, "googlenet"}))
def test_weights_in_half_precision_give_nearly_the_same_scores(architecture: str) -> None:
    spec = InputSpec(64, 64)
    pixels = photos(spec)
    wanted = Predictor(settled(architecture, spec), spec, CPU)(pixels)
    half = rounded(factory.fused(settled(architecture, spec)), "bf16")
    assert half.head.weight.dtype == torch.bfloat16
    found = Predictor(half, spec, CPU, "bf16")(pixels)
    assert found.scores.dtype == np.float32
    np.testing.assert_allclose(found.scores, wanted.scores, atol=0.03)


def test_more_photos_than_a_pass_takes_keep_their_order() -> None:
    spec = InputSpec(224, 224)
    model, pixels = settled("cnn", spec), photos(spec, 11)
    whole = Predictor(model, spec, CPU)(pixels)
    for number in range(11):
        alone = Predictor(model, spec, CPU)(pixels[number : number + 1])
        np.testing.assert_allclose(whole.scores[number], alone.scores[0], atol=1e-5)


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_scores_and_is_compiled_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from torch._dynamo import config

    device = Device("cuda" if torch.cuda.is_available() else "cpu")
    spec = InputSpec(64, 64)
    model, pixels = settled("resnet18", spec), photos(spec, 11)
    wanted = Predictor(factory.fused(model), spec, device)(pixels)
    predictor = Predictor(model, spec, device, "fp32", compile_for=4)
    assert "compiling the model" in capsys.readouterr().err
    with config.patch(error_on_recompile=True):
        for some in (pixels, pixels[:1]):
            found = predictor(some)
            count = len(some)
            np.testing.assert_allclose(found.scores, wanted.scores[:count], atol=1e-5)
            np.testing.assert_allclose(found.embeddings, wanted.embeddings[:count], atol=1e-3)


def test_only_on_cuda_a_network_is_compiled(session_bundle: Bundle) -> None:
    with pytest.raises(FftagError, match="--compile is for CUDA"):
        scorer_for(session_bundle, TagOptions(device="cpu", compiled=True))


def test_what_cannot_be_compiled_says_what_to_do(
    session_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object, **options: object) -> None:
        raise RuntimeError("no compiler\nand many more lines")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(FftagError, match=r"\(no compiler\): leave out --compile"):
        Predictor(session_bundle.build(), session_bundle.config.input, CPU, "fp32", 2)


def test_a_tier_means_what_the_device_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Device("cuda")
    for capable, precision in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, on=capable: on
        )
        assert choose_arithmetic("fast", "auto", cuda) == Arithmetic("torch", precision)
    assert choose_arithmetic("exact", "auto", cuda) == Arithmetic("torch", "fp32")
    assert choose_arithmetic("exact", "auto", CPU) == Arithmetic("torch", "fp32")
    assert choose_arithmetic("exact", "openvino", CPU) == Arithmetic("openvino", "fp32")
    assert choose_arithmetic("int8", "auto", CPU) == Arithmetic("openvino", "int8")
    assert choose_arithmetic("fast", "auto", CPU).backend == "openvino"
    for capable, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda on=capable: on)
        assert choose_arithmetic("fast", "torch", CPU) == Arithmetic("torch", precision)
    monkeypatch.setattr(fftag.models.scorers, "find_spec", lambda name: None)
    assert choose_arithmetic("fast", "auto", CPU).backend == "torch"


@pytest.mark.parametrize(
    ("tier", "backend", "device", "says"),
    [
        ("best", "auto", "cpu", "use one of exact, fast, int8"),
        ("fast", "onnx", "cpu", "use one of auto, torch, openvino"),
        ("int8", "torch", "cpu", "leave out --backend torch"),
        ("int8", "auto", "cuda", "add --device cpu, or use --tier fast"),
        ("fast", "openvino", "cuda", "OpenVINO is for CPUs here"),
    ],
)
def test_what_cannot_be_is_refused(tier: str, backend: str, device: str, says: str) -> None:
    with pytest.raises(FftagError, match=says):
        choose_arithmetic(tier, backend, Device(device))


SIGNALLED = """
import gc, os, signal
from fftag.models.scorers import Arithmetic, open_scorer
from fftag.models.folder import load_bundle
from fftag.models.devices import CPU
from pathlib import Path

signal.signal(signal.SIGUSR1, lambda *given: print("handled", flush=True))
bundle = load_bundle(Path({model!r}))
scorers = [open_scorer(bundle, Arithmetic("openvino", "fp32"), CPU) for _ in range(3)]
while scorers:
    del scorers[0]
    gc.collect()
    os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_models_of_openvino_end_in_any_order_and_signals_are_handled(
    session_bundle: Bundle,
) -> None:
    pytest.importorskip("openvino")
    script = SIGNALLED.format(model=str(session_bundle.path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["handled"] * 3), done.stderr


def test_without_openvino_its_tiers_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fftag.models.scorers, "find_spec", lambda name: None)
    for tier, backend in (("int8", "auto"), ("fast", "openvino")):
        with pytest.raises(FftagError, match=r"pip install 'fftag\[openvino\]'"):
            choose_arithmetic(tier, backend, CPU)


def test_a_network_that_openvino_cannot_convert_is_named() -> None:
    from fftag.models.openvino_scorer import convert

    class Odd(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(pixels[:, 0]).abs()[:, :4].float()

    with pytest.raises(FftagError, match="add --backend torch"):
        convert(factory.Classifier(Odd(), 4, 2), InputSpec(8, 8))


def test_scores_that_are_no_numbers_end_the_run(session_bundle: Bundle) -> None:
    from fftag.models.openvino_scorer import OpenVinoPredictor, convert

    model, spec = session_bundle.build(), session_bundle.config.input
    with torch.no_grad():
        model.head.bias[0] = torch.nan
    for scorer in (
        Predictor(model, spec, CPU),
        OpenVinoPredictor(convert(model, spec), spec, "fp32"),
    ):
        with pytest.raises(FftagError, match="not numbers"):
            scorer(photos(spec))


def test_int8_is_refused_where_there_is_none_or_another(
    session_bundle: Bundle, tmp_path: Path
) -> None:
    from fftag.models.folder import load_bundle

    with pytest.raises(FftagError, match="fftag quantize"):
        open_scorer(session_bundle, Arithmetic("openvino", "int8"), CPU)
    model = shutil.copytree(session_bundle.path, tmp_path / "model")
    (model / "int8").mkdir()
    for name in ("model.xml", "model.bin"):
        (model / "int8" / name).write_text("x")
    write_report(model, "0" * 64)
    with pytest.raises(FftagError, match="of other weights"):
        open_scorer(load_bundle(model), Arithmetic("openvino", "int8"), CPU)
    write_report(model, session_bundle.scores_id)
    with pytest.raises(FftagError, match="cannot be read"):
        open_scorer(load_bundle(model), Arithmetic("openvino", "int8"), CPU)
    (model / "int8" / "model.bin").write_text("y")
    with pytest.raises(FftagError, match=r"model\.bin is not the file that was saved"):
        open_scorer(load_bundle(model), Arithmetic("openvino", "int8"), CPU)


def write_report(model: Path, of: str) -> None:
    from fftag.models.folder import INT8_FILES, digest_line

    folder = model / "int8"
    (folder / "quantization.json").write_text(json.dumps({"of": of}))
    (folder / "SHA256SUMS").write_text("".join(digest_line(folder / name) for name in INT8_FILES))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [*factory.OWN, *zoo.list_models(module=zoo)])
def test_every_architecture_can_be_converted_and_folded(architecture: str) -> None:
    from fftag.models.openvino_scorer import OpenVinoPredictor, convert

    published = factory.input_spec(architecture, "none")
    side = published.height if architecture.startswith(("inception", "maxvit")) else 128
    spec = InputSpec(side, side)
    if architecture in ("vit_h_14", "regnet_y_128gf"):
        pytest.skip("gigabytes of random weights, of a family that is tested")
    torch.manual_seed(0)
    model = factory.build(architecture, 3, spec).eval()
    pixels = photos(spec, 1)
    wanted = Predictor(model, spec, CPU)(pixels).scores
    found = OpenVinoPredictor(convert(model, spec), spec, "fp32")(pixels).scores
    np.testing.assert_allclose(found, wanted, atol=1e-2)
    folded = Predictor(factory.fused(model), spec, CPU)(pixels).scores
    np.testing.assert_allclose(folded, wanted, atol=1e-3)
    half = Predictor(rounded(model, "bf16"), spec, CPU, "bf16")(pixels).scores
    np.testing.assert_allclose(half, wanted, atol=0.1)
