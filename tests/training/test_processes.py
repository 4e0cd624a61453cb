"""Several processes train one model as one process does: real torchrun, gloo, the CPU."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import SequentialSampler

from fftag.base.errors import FftagError
from fftag.models.folder import load_bundle
from fftag.training.processes import Processes, RankSampler

# Batch norm sees other batches in each process: with the backbone frozen it stands still.
EXACT = ["freeze.schedule=head_only", "data.crop_area=1", "data.flip=false", "run.precision=fp32"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
SIZE = ["model.input_size=[32, 24]", "run.batch_size=16", "optimizer.lr=0.05"]


def command(out: Path, manifest: Path, processes: int, *changes: str) -> list[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [
        *(sys.executable, *(launch if processes > 1 else []), "-m", "fftag", "train", "cnn"),
        *("--data", str(manifest), "--out", str(out), "--device", "cpu", "--workers", "1"),
        *(part for change in [*SIZE, *changes] for part in ("--set", change)),
    ]


def train(
    out: Path, manifest: Path, processes: int, *changes: str
) -> subprocess.CompletedProcess[str]:
    arguments = command(out, manifest, processes, *changes)
    return subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT)


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(bands_manifest: Path, tmp_path: Path) -> None:
    for processes, name in ((1, "one"), (2, "two")):
        done = train(tmp_path / name, bands_manifest, processes, *EXACT, "run.epochs=3")
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_bundle(tmp_path / name) for name in ("one", "two"))
    states = [bundle.build().state_dict() for bundle in (one, two)]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-4, atol=1e-5)
    assert one.config.validation == two.config.validation
    logs = [log_of(bundle.path) for bundle in (one, two)]
    assert len(logs[0]) == len(logs[1]) == 3
    # Each process scored half of the photos; a photo counted twice would change the figures.
    for figure in ("train_loss", "val_loss", "mAP", "micro_f1"):
        single, shared = ([row[figure] for row in log] for log in logs)
        assert shared == pytest.approx(single, rel=1e-3)


@pytest.mark.slow
def test_two_processes_go_on_after_an_interruption_as_if_there_had_been_none(
    bands_manifest: Path, tmp_path: Path
) -> None:
    changes = ["freeze.schedule=gradual", "run.ema=0.9", "optimizer.accumulate=2", "run.epochs=60"]
    whole = train(tmp_path / "whole", bands_manifest, 2, *changes)
    assert whole.returncode == 0, whole.stderr[-2000:]
    assert whole.stdout.count("model folder") == whole.stderr.count("epoch 60/60: loss") == 1
    out = tmp_path / "broken"
    arguments = command(out, bands_manifest, 2, *changes)
    broken = subprocess.Popen(arguments, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (out / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    broken.terminate()  # torchrun ends its processes
    assert broken.wait(60) != 0
    assert not (out / "SHA256SUMS").exists()
    resumed = train(out, bands_manifest, 2, *changes)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert "going on after epoch" in resumed.stderr
    assert load_bundle(out).model_id == load_bundle(tmp_path / "whole").model_id


def test_the_shares_of_a_batch_make_the_batch() -> None:
    order = SequentialSampler(range(20))
    parts = [list(RankSampler(order, 6, Processes(rank, 3))) for rank in range(3)]
    assert parts == [[0, 1, 6, 7, 12, 13], [2, 3, 8, 9, 14, 15], [4, 5, 10, 11, 16, 17]]
    assert [len(RankSampler(order, 6, Processes(rank, 3))) for rank in range(3)] == [6, 6, 6]


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(FftagError, match=r"set run\.batch_size to a multiple"):
        RankSampler(SequentialSampler(range(20)), 7, Processes(0, 2))
    with pytest.raises(FftagError, match="5 photos do not fill a batch of 8"):
        RankSampler(SequentialSampler(range(5)), 8, Processes(0, 2))
