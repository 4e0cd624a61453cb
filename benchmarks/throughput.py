"""`fftag tag` beside what one would write in an afternoon: photos per second, as a ratio.

    python benchmarks/throughput.py FOLDER --architectures cnn:64 resnet101:224 vit_b_16:224

Both run as whole processes, in turn, round by round, with the same random weights on the same
photos; medians are compared, and the scores that each wrote.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from untrained import make_model

from fftag.decode import InputSpec

AFTERNOON = Path(__file__).with_name("afternoon.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of JPEG photos")
    parser.add_argument("--architectures", nargs="+", default=["cnn:64"], help="name:side")
    parser.add_argument("--photos", type=int, nargs="+", default=[600], help="per architecture")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = sorted(options.folder.rglob("*.jpg"))
    counts = options.photos * (len(options.architectures) // len(options.photos))
    print("| model | photos | afternoon script | fftag tag | ratio | scores differ by |")
    print("|---|---|---|---|---|---|")
    for named, count in zip(options.architectures, counts, strict=True):
        architecture, side = named.split(":")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "photos").mkdir()
            for number in range(count):
                photo = found[number % len(found)]
                shutil.copy(photo, folder / "photos" / f"{number:06d}.jpg")
            print(compared(folder, architecture, int(side), count, options.rounds), flush=True)


def compared(folder: Path, architecture: str, side: int, count: int, rounds: int) -> str:
    """One row of the table."""
    model = make_model(folder / "model", architecture, InputSpec(side, side))
    photos, there, here = folder / "photos", folder / "a.parquet", folder / "b.parquet"
    script = [sys.executable, AFTERNOON, model, photos, there]
    tool = [sys.executable, "-m", "fftag", "tag", photos, "--out", here, "--model", model]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for command, seconds in zip((script, [*tool, "--force"]), times, strict=True):
            began = time.perf_counter()
            subprocess.run([str(part) for part in command], check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
    theirs, ours = (count / statistics.median(seconds) for seconds in times)
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    wanted = pq.read_table(there).to_pandas().sort_values("path").drop(columns="path").to_numpy()
    found = np.array(pq.read_table(here, columns=["scores"])["scores"].to_pylist())
    off = np.abs(found - wanted).mean()
    rates = f"{theirs:.1f} | {ours:.1f} | {ratio:.2f}"
    return f"| {architecture} at {side} | {count} | {rates} | {off:.4f} |"


if __name__ == "__main__":
    main()
