import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fftag.photos.decode
import fftag.tagging.tag
from fftag.base.errors import FftagError
from fftag.cli import doctor
from fftag.cli.doctor import Check, Diagnosis, diagnose
from fftag.photos.decode import Failure
from fftag.photos.image_formats import ALLOWED

REAL_TAG = fftag.tagging.tag.tag


@pytest.fixture
def without_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at all but the tagging run, which takes the most time."""

    def nothing() -> Iterator[Check]:
        yield from ()

    monkeypatch.setattr(doctor, "_tag_run", nothing)


def found(diagnosis: Diagnosis, section: str, name: str) -> Check:
    (check,) = [one for one in diagnosis.checks if (one.section, one.name) == (section, name)]
    return check


def test_the_command_passes_here_with_a_run_of_two_workers_and_imports_no_training_code() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "fftag", "doctor", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert {"doctor", "validate"} <= {name.rpartition(".")[2] for name in imported}
    assert not [name for name in imported if name.startswith("fftag.training")]
    content = json.loads(result.stdout)
    assert content["healthy"] is True and content["problems"] == []
    values = {(one["section"], one["name"]): one["value"] for one in content["checks"]}
    assert values["versions", "torch"] == importlib.metadata.version("torch")
    assert values["versions", "fftag"] == fftag.__version__
    assert {values["codecs", codec.lower()] for codec in ALLOWED} == {"yes"}
    assert values["devices", "auto device"] in ("cpu", "cuda", "mps")
    assert values["devices", "tier fast"].split() in (
        [backend, precision]
        for backend in ("torch", "openvino")
        for precision in ("fp32", "bf16", "fp16")
    )
    assert values["machine", "cpu cores"].startswith(str(os.cpu_count()))
    assert values["machine", "memory"].endswith("GiB")
    assert "tagged with 2 workers, the result is valid, in " in values["a small run", "tag"]
    assert {name for section, name in values if section == "extras"} >= {"kaggle", "review"}


@pytest.mark.usefixtures("without_a_run")
def test_a_text_for_a_person_ends_with_the_verdict() -> None:
    lines = diagnose().lines()
    assert lines[0] == "versions" and lines[-1] == "all is well"
    ill = Diagnosis([Check("codecs", "webp", "no (why)", "Pillow has no WEBP (why): do this")])
    assert ill.lines()[-1] == "problem: Pillow has no WEBP (why): do this"


@pytest.mark.usefixtures("without_a_run")
def test_a_missing_codec_is_a_problem_that_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = fftag.photos.decode.decode

    def no_webp(data: bytes, *others: Any) -> Any:
        return Failure("unreadable", "no WEBP") if data[:4] == b"RIFF" else decode(data, *others)

    monkeypatch.setattr("fftag.photos.decode.decode", no_webp)
    diagnosis = diagnose()
    assert found(diagnosis, "codecs", "webp").value == "no (no WEBP)"
    assert found(diagnosis, "codecs", "avif").value == "yes"
    (problem,) = diagnosis.problems
    assert problem.startswith("Pillow has no WEBP (no WEBP): pip install") and "pillow" in problem


@pytest.mark.usefixtures("without_a_run")
def test_a_codec_that_pillow_cannot_write_is_missing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    Image.init()
    monkeypatch.delitem(Image.SAVE, "AVIF")
    assert found(diagnose(), "codecs", "avif").value.startswith("no (KeyError")


@pytest.mark.usefixtures("without_a_run")
def test_a_package_that_is_missing_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def no_pandas(package: str) -> str:
        if package == "pandas":
            raise importlib.metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(importlib.metadata, "version", no_pandas)
    assert diagnose().problems == ["pandas is not installed: pip install pandas"]


@pytest.mark.usefixtures("without_a_run")
def test_a_missing_extra_is_told_and_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def no_cleanlab(package: str) -> str:
        if package == "cleanlab":
            raise importlib.metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(importlib.metadata, "version", no_cleanlab)
    diagnosis = diagnose()
    assert diagnosis.healthy
    told = found(diagnosis, "extras", "review").value
    assert told == "not installed: pip install cleanlab"


@pytest.mark.usefixtures("without_a_run")
def test_what_cannot_be_told_is_unknown_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    def uninstalled(package: str) -> None:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(os, "sysconf", fails)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr("fftag.base.machine.CGROUPS", tmp_path / "none")
    monkeypatch.setattr(importlib.metadata, "metadata", uninstalled)
    diagnosis = diagnose()
    unknown = {
        ("machine", "memory"): "unrecognized configuration name",
        ("machine", "cpu cores"): "does not tell",
        ("machine", "memory limit"): "No such file",
        ("extras", "all"): "not installed as a package",
    }
    for (section, name), reason in unknown.items():
        value = found(diagnosis, section, name).value
        assert value.startswith("unknown (") and reason in value
    assert diagnosis.healthy


@pytest.mark.usefixtures("without_a_run")
def test_a_device_that_does_not_work_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def broken(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr(torch, "ones", broken)
    (problem,) = diagnose().problems
    assert "no kernel image is available" in problem and "FFTAG_DEVICE=cpu" in problem


def test_a_look_that_fails_is_a_problem_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Iterator[Check]:
        raise RuntimeError("all is lost")

    fails.__name__ = "_machine"
    for look in ("_machine", "_devices", "_codecs", "_tag_run"):
        monkeypatch.setattr(doctor, look, fails)
    diagnosis = diagnose()
    assert len(diagnosis.problems) == 4 and not diagnosis.healthy
    assert diagnosis.problems[0].startswith(
        "machine cannot be looked at (RuntimeError: all is lost)"
    )


def test_a_broken_run_is_a_problem_and_the_command_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fftag.cli import run_command

    def fails(*arguments: Any) -> None:
        raise FftagError("nothing works")

    monkeypatch.setattr("fftag.tagging.tag.tag", fails)
    monkeypatch.setattr("sys.argv", ["fftag", "doctor"])
    with pytest.raises(SystemExit) as end:
        run_command()
    said = capsys.readouterr()
    assert end.value.code == 1
    assert "problem: tagging fails (nothing works): install fftag anew" in said.out
    assert said.err == "fftag: 1 problem found, named above with what mends each\n"


def test_a_run_that_works_in_another_way_names_that_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_so(source: Path, out: Path, bundle: Any, options: Any) -> Any:
        if options.device != "cpu":
            raise RuntimeError("no driver")
        return REAL_TAG(source, out, bundle, options)

    monkeypatch.setattr("fftag.tagging.tag.tag", only_so)
    (check,) = doctor._tag_run()
    assert check.problem is not None and "FFTAG_DEVICE=cpu" in check.problem
    assert check.problem.startswith("tagging fails (RuntimeError: no driver)")


def test_a_run_with_a_wrong_result_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    def spoils(source: Path, out: Path, *others: Any) -> Any:
        summary = REAL_TAG(source, out, *others)
        pq.write_table(pq.read_table(out).slice(1), out)
        return summary

    monkeypatch.setattr("fftag.tagging.tag.tag", spoils)
    (check,) = doctor._tag_run()
    assert "the tags file is not valid (source_extra)" in str(check.problem)
