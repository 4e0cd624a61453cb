"""Several devices in one run: the same rows, work for each, in order."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from catalogues import SPEC
from tagged import assert_same, spoil

from fftag.base.errors import FftagError
from fftag.base.machine import cores
from fftag.models.devices import CPU, Device, choose_devices
from fftag.models.folder import Bundle
from fftag.models.scorers import Predictions
from fftag.models.side_by_side import SideBySide, batches_held, replica_count, replicas_on, scored
from fftag.models.torch_scorer import Predictor
from fftag.photos.pool import Batch
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.local import Folder
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import tag

Make = Callable[[int], Path]
QUICK = TagOptions(backend="torch", workers=1, batch_size=4, shard_size=8)


def test_each_kind_of_device_is_given_what_it_can_take() -> None:
    assert replicas_on(Device("cuda:0")) == 2
    assert replicas_on(Device("mps")) == 1
    assert replicas_on(CPU) == cores()


class Slow:
    """A device that takes its time, and one batch at a time; its scores tell the batch."""

    def __init__(self, seconds: float, fails: bool = False) -> None:
        self.device = CPU
        self.spec = SPEC
        self.seconds = seconds
        self.fails = fails
        self.done: list[int] = []
        self.busy = threading.Lock()

    def __call__(self, photos: np.ndarray) -> Predictions:
        assert self.busy.acquire(blocking=False), "given two batches at once"
        try:
            time.sleep(self.seconds)
            if self.fails:
                raise FftagError("this device is broken")
            self.done.append(int(photos[0, 0, 0, 0]))
            scores = np.repeat(photos[:, 0, 0, :1].astype(np.float32), 3, axis=1)
            return Predictions(scores, scores, scores)
        finally:
            self.busy.release()


def made(count: int) -> Iterator[Batch]:
    for number in range(count):
        photos = [PhotoRecord(f"{number}-{place}.jpg") for place in range(2)]
        yield Batch(number, np.full((2, SPEC.height, SPEC.width, 3), number, np.uint8), photos)


def test_a_faster_device_is_given_more_and_results_stay_in_order() -> None:
    fast, slow = Slow(0.002), Slow(0.05)
    both = SideBySide([fast, slow], 1)
    assert replica_count(both) == 2 and batches_held(2) == 4
    found = list(scored(made(40), both, 3))
    assert [batch.number for batch, _ in found] == list(range(40))
    assert all((scores == batch.number).all() for batch, scores in found)
    assert sorted(fast.done + slow.done) == list(range(40))
    assert 1 <= len(slow.done) < len(fast.done)


def test_one_broken_device_ends_the_run() -> None:
    with pytest.raises(FftagError, match="this device is broken"):
        list(scored(made(40), SideBySide([Slow(0), Slow(0, fails=True)], 1), 3))


def test_devices_side_by_side_take_less_time_than_one() -> None:
    def seconds(count: int) -> float:
        began = time.perf_counter()
        list(scored(made(24), SideBySide([Slow(0.02) for _ in range(count)], 1), 3))
        return time.perf_counter() - began

    assert seconds(3) < 0.6 * seconds(1)


@pytest.mark.usefixtures("decoding_processes")
def test_several_devices_write_what_one_writes(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder_of_photos(60)
    spoil(root)
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    tag(Folder(root), one, session_bundle, replace(QUICK, device="cpu"))
    used: set[int] = set()
    predict = Predictor.__call__

    def noted(self: Predictor, photos: Any) -> Any:
        used.add(id(self))
        return predict(self, photos)

    monkeypatch.setattr(Predictor, "__call__", noted)
    tag(Folder(root), two, session_bundle, replace(QUICK, device="cpu,cpu"))
    assert_same(one, two)
    assert len(used) == 2


def test_devices_are_named_with_commas_or_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_devices("cpu") == [CPU]
    assert choose_devices("cpu, cpu") == [CPU] * 2
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert [str(device) for device in choose_devices("all")] == ["cuda:0", "cuda:1", "cuda:2"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(FftagError, match="there is none"):
        choose_devices("all")
    with pytest.raises(FftagError, match="of different kinds"):
        choose_devices("cpu,meta")
    with pytest.raises(FftagError, match="device '' cannot be used"):
        choose_devices("cpu,")
