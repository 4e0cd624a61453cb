from pathlib import Path

import numpy as np
import pytest

from fftag.backends import Arithmetic, open_scorer
from fftag.bundle import Bundle, load_bundle, save_bundle

pytest.importorskip("openvino")

from fftag import openvino_convert
from fftag.devices import CPU
from fftag.openvino_cache import KEPT, cache_folder, graph_of

FP32 = Arithmetic("openvino", "fp32")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FFTAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry per network that was converted."""
    made: list[object] = []
    convert = openvino_convert.convert

    def noted(*given: object) -> object:
        made.append(given)
        return convert(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(openvino_convert, "convert", noted)
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


def test_what_is_damaged_is_made_anew(
    session_bundle: Bundle, cache: Path, conversions: list[object], capfd: pytest.CaptureFixture
) -> None:
    first = scores(session_bundle)
    (kept,) = cache.iterdir()
    (kept / "model.xml").write_text("no graph")
    assert np.array_equal(first, scores(session_bundle)) and len(conversions) == 2
    assert "converted anew" in capfd.readouterr().err
    assert np.array_equal(first, scores(session_bundle)) and len(conversions) == 2


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
    assert scores(session_bundle).shape == (5, len(session_bundle.config.labels))
    assert "FFTAG_CACHE" in capfd.readouterr().err


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FFTAG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/fftag")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "fftag"
