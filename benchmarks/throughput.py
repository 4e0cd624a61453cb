"""`fftag tag` beside what a user would run instead: whole processes, same photos, same weights.

    python benchmarks/throughput.py FOLDER --models cnn:224 resnet101:224 vit_b_16:224

Every way runs in turn, round by round, on the same photos with the same random weights, and writes
the same scores; medians are told. `steady` leaves out what a run on one photo takes the second time
(the start of Python, torch and the model). Memory is the peak of the processes together: what they
share counts once (proportional set size). It and the GPU are watched in a round of their own, which
is not timed, as watching takes a few hundredths of every second. Of the peers, those that are
installed and know the network run:

    pip install timm==1.0.31 transformers==5.23.0 'ray[data]==2.60.0'

Where there is a GPU, all of them use it, and a last column says which part of the whole process's
time it was busy, as nvidia-smi sees it.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import torch
from untrained import give_int8, make_model, make_vit_twins

from fftag.photos.decode import InputSpec

HERE = Path(__file__).parent
CALIBRATION = 40
BUSY = "while True: pass"
GPU_BUSY = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
HAS_GPU = torch.cuda.is_available() and shutil.which(GPU_BUSY[0]) is not None


@dataclass
class Way:
    """A way to score a folder, and what it took: (model, photos, out) -> command line."""

    name: str
    command: Callable[[Path, Path, Path], list[object]]
    seconds: list[float] = field(default_factory=list)
    start: float = 0.0
    megabytes: float = 0.0
    gpu_busy: float = 0.0  # percent

    def run(self, model: Path, photos: Path, out: Path, watched: bool = False) -> float:
        """Seconds of the whole process."""
        out.unlink(missing_ok=True)
        began = time.perf_counter()
        log = out.with_suffix(".log")
        with log.open("w") as said:
            process = subprocess.Popen(
                [str(part) for part in self.command(model, photos, out)], stdout=said, stderr=said
            )
            watch = Watch(process.pid) if watched else None
            code = process.wait()
        seconds = time.perf_counter() - began
        if watch:
            watch.stop()
            self.megabytes = watch.most
            self.gpu_busy = statistics.mean(watch.gpu_busy or [0.0])
        if code:
            sys.exit(f"{self.name} failed:\n{log.read_text()[-2000:]}")
        return seconds


class Watch(threading.Thread):
    """Watches the memory of a process and its children, and the GPU, every second.

    Attributes:
        most: mebibytes.
        gpu_busy: percent, of the first GPU; empty where there is none.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(pid)
        self.most = 0.0
        self.gpu_busy: list[float] = []
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.wait(1.0):
            held = 0
            try:
                for process in [self.root, *self.root.children(recursive=True)]:
                    held += process.memory_full_info().pss
            except psutil.Error:
                continue
            self.most = max(self.most, held / 2**20)
            if HAS_GPU:
                said = subprocess.check_output(GPU_BUSY, text=True)
                self.gpu_busy.append(float(said.splitlines()[0]))

    def stop(self) -> None:
        self.over.set()
        self.join()


def peer(script: str) -> Callable[[Path, Path, Path], list[object]]:
    return lambda model, photos, out: [sys.executable, HERE / script, model, photos, out]


def fftag(*options: str) -> Callable[[Path, Path, Path], list[object]]:
    return lambda model, photos, out: [
        *(sys.executable, "-m", "fftag", "tag", photos, "--out", out),
        *("--model", model, "--force", *options),
    ]


def ways(architecture: str) -> list[Way]:
    """What runs of a network; the first is what the others are compared with."""
    found = [Way("afternoon script", peer("peer_afternoon.py"))]
    if architecture.startswith("resnet") and find_spec("timm"):
        found.append(Way("timm", peer("peer_timm.py")))
    if architecture == "hugging_face":
        found.append(Way("transformers pipeline", peer("peer_transformers.py")))
    if find_spec("ray"):
        found.append(Way("Ray Data", peer("peer_ray.py")))
    if torch.cuda.is_available():
        return [
            *found,
            Way("fftag, exact", fftag("--exact")),
            Way("fftag, fast", fftag()),
            Way("fftag, fast, compiled", fftag("--compile")),
        ]
    return [
        *found,
        Way("fftag, exact", fftag("--exact")),
        Way("fftag, fast, torch", fftag("--backend", "torch")),
        Way("fftag, fast, OpenVINO", fftag("--backend", "openvino")),
        Way("fftag, int8", fftag("--tier", "int8")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of JPEG photos")
    parser.add_argument("--models", nargs="+", default=["cnn:64"], help="name:side")
    parser.add_argument("--photos", type=int, nargs="+", default=[600], help="per model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="ways with this in their name, and the first")
    parser.add_argument("--busy", action="store_true", help="beside a process per core that spins")
    options = parser.parse_args()
    found = sorted(options.folder.rglob("*.jpg"))
    counts = options.photos * (len(options.models) // len(options.photos))
    headings: tuple[str, ...] = ("model", "way", "photos/s", "ratio", "steady, photos/s")
    headings += ("start, s", "MiB", "off by")
    headings += ("GPU busy",) * HAS_GPU
    print(f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
    for named, count in zip(options.models, counts, strict=True):
        architecture, side = named.split(":")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "photos").mkdir()
            for number in range(count):
                data = found[number % len(found)].read_bytes()
                comment = b"\xff\xfe\x00\x06" + number.to_bytes(4, "little")  # no two are the same
                copy = folder / "photos" / f"{number:06d}.jpg"
                copy.write_bytes(data[:2] + comment + data[2:])
            spec = InputSpec(int(side), int(side))
            twins = architecture == "hugging_face"
            make = make_vit_twins if twins else lambda a, b: make_model(a, architecture, b)  # noqa: B023
            model = make(folder / "model", spec)
            if not torch.cuda.is_available():  # int8 is for CPUs
                give_int8(model, found[: 2 * CALIBRATION])
            chosen = [
                way
                for n, way in enumerate(ways(architecture))
                if not n or not options.only or options.only in way.name
            ]
            for line in compared(folder, model, chosen, count, options.rounds, options.busy):
                print(f"| {architecture} at {side}, {count} photos {line}", flush=True)


def compared(
    folder: Path, model: Path, ways: list[Way], count: int, rounds: int, busy: bool
) -> list[str]:
    """The rows of the table of one model, without their first cell."""
    one = folder / "one"
    one.mkdir()
    shutil.copy(min((folder / "photos").iterdir()), one / "0.jpg")
    for way in ways:  # the second start: the first keeps what makes the next ones short
        way.start = min(way.run(model, one, folder / "start.parquet") for _ in range(2))
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() * busy)]
    try:
        for number, way in enumerate(ways):
            way.run(model, folder / "photos", folder / f"{number}.parquet", watched=True)
        for _ in range(rounds):
            for number, way in enumerate(ways):
                out = folder / f"{number}.parquet"
                way.seconds.append(way.run(model, folder / "photos", out))
    finally:
        for other in others:
            other.kill()
    wanted = scores_in(folder / "0.parquet")
    lines = []
    for number, way in enumerate(ways):
        rate = count / statistics.median(way.seconds)
        ratio = statistics.median(a / b for a, b in zip(ways[0].seconds, way.seconds, strict=True))
        steady = (count - 1) / max(1e-3, statistics.median(way.seconds) - way.start)
        off = np.abs(scores_in(folder / f"{number}.parquet") - wanted).mean()
        lines.append(
            f"| {way.name} | {rate:.1f} | {ratio:.2f} | {steady:.1f} | {way.start:.1f} "
            f"| {way.megabytes:,.0f} | {off:.4f} |{f' {way.gpu_busy:.0f} % |' * HAS_GPU}"
        )
    return lines


def scores_in(out: Path) -> np.ndarray:
    """float [photos, labels], in the order of the photos' names."""
    if "scores" in pq.read_schema(out).names:
        return np.array(pq.read_table(out, columns=["scores"])["scores"].to_pylist())
    return pq.read_table(out).to_pandas().sort_values("path").drop(columns="path").to_numpy()


if __name__ == "__main__":
    main()
