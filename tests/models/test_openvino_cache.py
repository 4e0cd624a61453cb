import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fftag.models.folder import Bundle, load_bundle, save_bundle
from fftag.models.scorers import Arithmetic, open_scorer

pytest.importorskip("fftag.models.openvino_scorer")

from fftag.models import openvino_scorer
from fftag.models.devices import CPU
from fftag.models.openvino_scorer import KEPT, cache_folders, graph_of

FP32 = Arithmetic("openvino", "fp32")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FFTAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "cache" / "openvino"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry per network that was converted."""
    made: list[object] = []
    convert = openvino_scorer.convert

    def noted(*given: object) -> object:
        made.append(given)
        return convert(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(openvino_scorer, "convert", noted)
    return made


def scores(bundle: Bundle) -> np.ndarray:
    spec = bundle.config.input
    photos = np.random.default_rng(0).integers(0, 256, (5, spec.height, spec.width, 3), np.uint8)
    return open_scorer(bundle, FP32, CPU)(photos).scores


def other(bundle: Bundle, folder: Path, number: float) -> Bundle:
    """The same network with other weights."""
    state = bundle.build().state_dict()
    state["head.bias"] += number
    return save_bundle(folder / f"other{number}", bundle.config, state)


def test_a_network_is_converted_once(
    session_bundle: Bundle, cache: Path, conversions: list[object], tmp_path: Path
) -> None:
    first, again = scores(session_bundle), scores(load_bundle(session_bundle.path))
    assert len(conversions) == 1 and len(list(cache.iterdir())) == 1
    assert np.array_equal(first, again)
    assert not np.allclose(first, scores(other(session_bundle, tmp_path, 1.0)))
    assert len(conversions) == 2


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "sha256"])
def test_what_is_damaged_is_made_anew(
    session_bundle: Bundle,
    cache: Path,
    conversions: list[object],
    capfd: pytest.CaptureFixture,
    name: str,
) -> None:
    first = scores(session_bundle)
    (kept,) = cache.iterdir()
    content = bytearray((kept / name).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(len(content[middle : middle + 2000]))
    (kept / name).write_bytes(content)
    assert np.array_equal(first, scores(session_bundle)) and len(conversions) == 2
    assert "converted anew" in capfd.readouterr().err
    assert np.array_equal(first, scores(session_bundle)) and len(conversions) == 2


def test_a_network_that_is_kept_under_the_name_of_another_is_not_used(
    session_bundle: Bundle, cache: Path, conversions: list[object], tmp_path: Path
) -> None:
    first = scores(session_bundle)
    (mine,) = cache.iterdir()
    changed = other(session_bundle, tmp_path, 1.0)
    wanted = scores(changed)
    (its,) = set(cache.iterdir()) - {mine}
    shutil.rmtree(its)
    mine.rename(its)
    assert np.array_equal(wanted, scores(changed)) and len(conversions) == 3
    assert not np.array_equal(first, wanted)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_network_of_whom_the_model_belongs_to_is_used_and_one_of_others_is_not(
    session_bundle: Bundle,
    cache: Path,
    conversions: list[object],
    tmp_path: Path,
    capfd: pytest.CaptureFixture,
) -> None:
    model = load_bundle(Path(shutil.copytree(session_bundle.path, tmp_path / "model")))
    first = scores(model)
    (kept,) = cache.iterdir()
    for path in (kept, *kept.iterdir()):
        os.chown(path, 1234, 1234)
    assert np.array_equal(first, scores(model)) and len(conversions) == 2
    assert "others than its user and the model's can write" in capfd.readouterr().err
    for path in (model.path, kept, *kept.iterdir()):
        os.chown(path, 1234, 1234)
    assert np.array_equal(first, scores(model)) and len(conversions) == 2
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", [".", "model.bin"])
def test_a_network_that_a_group_can_write_is_not_used(
    session_bundle: Bundle,
    cache: Path,
    conversions: list[object],
    capfd: pytest.CaptureFixture,
    name: str,
) -> None:
    first = scores(session_bundle)
    (kept,) = cache.iterdir()
    (kept / name).chmod(0o775)
    assert np.array_equal(first, scores(session_bundle)) and len(conversions) == 2
    assert "can write" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_network_on_a_disk_that_is_read_only_is_used(
    session_bundle: Bundle,
    cache: Path,
    conversions: list[object],
    tmp_path: Path,
    capfd: pytest.CaptureFixture,
) -> None:
    first = scores(session_bundle)
    if subprocess.run(["mount", "--bind", cache, cache], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", cache], check=True)
        assert np.array_equal(first, scores(session_bundle)) and len(conversions) == 1
        assert capfd.readouterr().err == ""
        changed = other(session_bundle, tmp_path, 1.0)
        wanted = scores(changed)
        assert np.array_equal(wanted, scores(changed)) and len(conversions) == 2
        assert len(list((tmp_path / "home" / "fftag" / "openvino").iterdir())) == 1
    finally:
        subprocess.run(["umount", cache], check=True)


def test_what_is_kept_can_be_written_by_its_user_alone(
    session_bundle: Bundle, cache: Path, conversions: list[object]
) -> None:
    before = os.umask(0)
    try:
        scores(session_bundle)
    finally:
        os.umask(before)
    (kept,) = cache.iterdir()
    assert {path.stat().st_mode & 0o022 for path in (kept, *kept.iterdir())} == {0}
    scores(session_bundle)
    assert len(conversions) == 1


def test_only_the_last_few_used_are_kept(
    session_bundle: Bundle, cache: Path, conversions: list[object], tmp_path: Path
) -> None:
    graph_of(session_bundle)
    (mine,) = cache.iterdir()
    for number in range(KEPT - 1):
        graph_of(other(session_bundle, tmp_path, number + 1.0))
    graph_of(session_bundle)  # the oldest, used again
    graph_of(other(session_bundle, tmp_path, 50.0))
    assert len(list(cache.iterdir())) == KEPT and mine.is_dir()
    graph_of(session_bundle)
    assert len(conversions) == KEPT + 1


def test_a_folder_that_cannot_be_written_costs_the_cache_alone(
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FFTAG_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert scores(session_bundle).shape == (5, len(session_bundle.config.labels))
    assert "FFTAG_CACHE" in capfd.readouterr().err


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FFTAG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert list(cache_folders()) == [Path("/somewhere/fftag")]
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert list(cache_folders()) == [Path.home() / ".cache" / "fftag"]
