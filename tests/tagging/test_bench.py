"""`fftag bench` measures every step, and names the one that sets the pace."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fftag.base.machine import cores
from fftag.cli import app
from fftag.models.folder import Bundle
from fftag.models.scorers import Arithmetic
from fftag.tagging.bench import Rates

Make = Callable[[int], Path]
ON_CPU = Rates(
    files=1000,
    sample=100,
    kilobytes=90,
    read=50_000,
    decode=1000,
    copy=None,
    forward=250,
    write=20_000,
    together=190,
    device="cpu",
    arithmetic=Arithmetic("torch", "fp32"),
    batch_size=16,
    workers=cores(),
)


@pytest.mark.usefixtures("decoding_processes")
@pytest.mark.parametrize(("workers", "tier"), [("1", "exact"), ("2", "fast")])
def test_every_step_is_measured_and_nothing_is_left_behind(
    folder_of_photos: Make, session_bundle: Bundle, workers: str, tier: str
) -> None:
    root = folder_of_photos(30)
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    before = sorted(root.parent.rglob("*"))
    command = ["bench", str(root), "--model", str(session_bundle.path), "--tier", tier, "--json"]
    quick = ["--workers", workers, "--seconds", "0.1", "--rounds", "1", "--sample", "20"]
    result = CliRunner().invoke(app, [*command, *quick])
    assert result.exit_code == 0, result.output
    rates = json.loads(result.stdout)
    assert (rates["files"], rates["sample"], rates["copy"]) == (31, 20, None)
    for step in ("read", "decode", "forward", "write", "together"):
        assert rates[step] > 1, step
    assert rates["possible"] < min(rates["decode"], rates["forward"])
    assert sorted(root.parent.rglob("*")) == before


def test_photos_that_none_can_read_are_an_error(tmp_path: Path, session_bundle: Bundle) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    result = CliRunner().invoke(app, ["bench", str(tmp_path), "--model", str(session_bundle.path)])
    assert result.exit_code == 1 and "none of the files can be decoded" in str(result.exception)


def test_what_is_possible_is_shared_on_a_cpu_and_not_on_a_gpu() -> None:
    assert ON_CPU.possible == pytest.approx(200)
    assert "95% of what is possible" in "\n".join(ON_CPU.lines())
    assert replace(ON_CPU, device="cuda", copy=9000).possible == 250


@pytest.mark.parametrize(
    ("changed", "bottleneck", "advice"),
    [
        ({}, "the model", "pip install 'fftag[openvino]'"),
        ({"arithmetic": Arithmetic("openvino", "fp32")}, "the model", "fftag quantize"),
        ({"arithmetic": Arithmetic("openvino", "int8")}, "the model", "a GPU"),
        ({"device": "cuda"}, "the model", "a smaller model or input"),
        ({"forward": 5000}, "decoding", "a machine with more cores"),
        ({"forward": 5000, "kilobytes": 900}, "decoding", "store smaller ones"),
        ({"forward": 5000, "workers": cores() - 1}, "decoding", "add --workers"),
        ({"forward": 5000, "device": "cuda"}, "decoding", "a machine with more cores"),
        ({"forward": 5000, "decode": 99, "read": 100 / cores()}, "reading", "bring the photos"),
        ({"write": 20}, "writing", "a faster disk"),
    ],
)
def test_the_slowest_step_is_named_with_what_to_do(
    changed: dict[str, object], bottleneck: str, advice: str
) -> None:
    rates = replace(ON_CPU, **changed)  # type: ignore[arg-type]
    assert rates.bottleneck == bottleneck
    assert advice in rates.advice()
