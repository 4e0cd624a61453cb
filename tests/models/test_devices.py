"""What computes, and that torch is imported only where it does, and telemetry nowhere."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import fftag.models.devices
from fftag.models.devices import CPU, Device, choose_device
from fftag.models.folder import Bundle

RUN = """
import sys
from fftag.cli import run_command
try:
    run_command()
except SystemExit as end:
    assert end.code == 0, end.code
of_note = ("torch", "torchvision", "sklearn", "openvino_telemetry.main")
print(*(name for name in of_note if name in sys.modules))
"""


def imported(*command: object, cache: Path) -> list[str]:
    """Which packages of note a command imports."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, command)],
        env={**os.environ, "FFTAG_CACHE": str(cache), "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].split()


def test_a_run_that_openvino_computes_does_without_torch_once_it_has_the_network(
    folder_of_photos: Callable[[int], Path], session_bundle: Bundle, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    photos, out, cache = folder_of_photos(5), tmp_path / "tags.parquet", tmp_path / "cache"
    command = ("tag", photos, "--model", session_bundle.path, "--out", out, "--force", "--device")
    assert imported(*command, "cpu", "--backend", "openvino", cache=cache) == ["torch"]
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    assert imported(*command, "cpu" if accelerated else "auto", cache=cache) == []


def test_torch_is_asked_for_an_accelerator_where_a_driver_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    asked = fftag.models.devices._may_have_accelerator
    assert asked()  # torch is here
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "torch")
        patch.setattr(fftag.models.devices, "DRIVERS", ("libno.so.1", str(tmp_path / "none")))
        assert not asked() and choose_device("auto") == CPU
        patch.setattr(fftag.models.devices, "DRIVERS", ("libno.so.1", str(tmp_path)))
        assert asked()
        patch.setattr(fftag.models.devices, "DRIVERS", ("libc.so.6", str(tmp_path / "none")))
        assert asked()
        patch.setattr(sys, "platform", "darwin")
        patch.setattr(fftag.models.devices, "DRIVERS", ("libno.so.1", str(tmp_path / "none")))
        assert asked()


def test_auto_takes_the_best_that_torch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, wanted in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=cuda: there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=mps: there)
        assert choose_device("auto") == Device(wanted)


def test_a_device_has_the_name_and_kind_that_torch_gives_it() -> None:
    second = Device("cuda:1")
    assert (str(second), second.type, second.torch) == ("cuda:1", "cuda", torch.device("cuda:1"))
    assert choose_device("meta") == Device("meta")
