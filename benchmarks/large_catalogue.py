"""Memory over a run of a million entries, and the time of a run that has nothing to do.

    python benchmarks/large_catalogue.py --entries 1000000 --photos 100000 --plot memory.png

A list of so many entries, of which one in a hundred is a tiny photo and the others do not exist, is
tagged by an untrained model of 46 labels; the resident memory of the run and of its decoding
processes is taken twice a second. Then a folder of so many tiny photos is tagged once, and the same
command is run again, as it is every night.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from untrained import make_model

from fftag.photos.decode import InputSpec

REAL_ONE_IN = 100
DISTINCT = 500
FFTAG = (sys.executable, "-m", "fftag")
SECONDS_BETWEEN_LOOKS = 0.5
Sample = tuple[float, int, int]  # seconds, MiB of the run, MiB of its largest decoding process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [
            *("tag", "--json", "--max-failure-rate", "1"),
            *(
                "--model",
                str(make_model(folder / "model", "cnn", InputSpec(32, 24))),
                "--workers",
                str(options.workers),
            ),
        ]
        curves = {}
        for entries in (options.entries // 4, options.entries):
            source = make_list(folder / f"list-{entries}", entries)
            curves[entries] = curve = watched(
                [*command, f"@{source}", "--out", str(folder / f"{entries}.parquet")]
            )
            lasted, run, decoder = (max(column) for column in zip(*curve, strict=True))
            print(f"{entries:>9,} entries: {run:,} MiB, decoders {decoder:,}; {lasted:,.0f} s")
        if options.plot:
            plot(curves, options.plot)
        make_photos(folder / "photos", options.photos)
        again = [*command, str(folder / "photos"), "--out", str(folder / "tags.parquet")]
        for what in ("first run", *["nothing to do"] * 3):
            began = time.perf_counter()
            done = subprocess.run([*FFTAG, *again], check=True, capture_output=True, text=True)
            seconds, read = time.perf_counter() - began, json.loads(done.stdout)["read"]
            print(f"{options.photos:>9,} photos, {what}: {seconds:,.1f} s, {read:,} read")


def make_photos(root: Path, count: int, distinct: bool = False) -> None:
    """Tiny photos, five hundred pictures among them, all of them old enough to be trusted.

    Files of the same picture are the same, unless they are to be distinct.
    """
    noise, contents = np.random.default_rng(0), []
    root.mkdir()
    for _ in range(DISTINCT):
        Image.fromarray(noise.integers(0, 255, (32, 24, 3), np.uint8)).save(root / "0.jpg")
        contents.append((root / "0.jpg").read_bytes())
    for number in range(count):
        path = root / f"{number:08d}.jpg"
        path.write_bytes(contents[number % DISTINCT] + number.to_bytes(4, "little") * distinct)
    (root / "0.jpg").unlink()
    time.sleep(11)  # see fftag.tagging.plan.SECONDS_TOO_FRESH


def make_list(root: Path, entries: int) -> Path:
    make_photos(root, entries // REAL_ONE_IN)
    every = range(0, entries, REAL_ONE_IN)
    names = [f"season/product-{number:09d}/missing.jpg" for number in range(entries)]
    for real, at in enumerate(every[: entries // REAL_ONE_IN]):
        names[at] = f"{real:08d}.jpg"
    pq.write_table(pa.table({"path": names}), root / "list.parquet")
    return root / "list.parquet"


def watched(command: list[str]) -> list[Sample]:
    """Runs a command of fftag; returns its memory over time."""
    process = subprocess.Popen(
        [*FFTAG, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    curve: list[Sample] = []
    began, over = time.perf_counter(), threading.Event()

    def look() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            decoders = [resident(int(child)) for child in children]
            now = time.perf_counter() - began
            curve.append((now, resident(process.pid), max(decoders, default=0)))

    looker = threading.Thread(target=look)
    looker.start()
    code = process.wait()
    over.set()
    looker.join()
    if code:
        raise SystemExit(f"the run ended with {code}")
    return curve


def resident(process: int) -> int:
    """Resident memory in MiB, shared memory excluded; 0 of one that is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    sizes = dict(line.split(":", 1) for line in status.splitlines())
    private = [sizes[name].split()[0] for name in ("RssAnon", "RssFile") if name in sizes]
    return sum(map(int, private)) // 1024


def plot(curves: dict[int, list[Sample]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for (entries, curve), style in zip(curves.items(), ("--", "-"), strict=True):
        seconds, run, decoder = zip(*curve, strict=True)
        share = [100 * second / seconds[-1] for second in seconds]
        axes.plot(share, run, style, color="#1f5a96", label=f"the run, {entries:,} entries")
        axes.plot(share, decoder, style, color="#c8641e", label=f"a decoding process, {entries:,}")
        print(f"{entries:,} entries: median {statistics.median(run):,.0f} MiB")
    axes.set(xlabel="% of the run's time", ylabel="MiB resident", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
