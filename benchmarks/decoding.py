"""What it costs to bring a JPEG to a model's input size: milliseconds per photo, on one core.

    python benchmarks/decoding.py FOLDER --side 224

The ways take turns, round by round, and medians are compared.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fftag.photos.decode import InputSpec, Photo, decode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of JPEG photos")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    paths = sorted(options.folder.rglob("*.jpg"))[: options.photos]
    photos = [path.read_bytes() for path in paths]
    size, spec = (options.side, options.side), InputSpec(options.side, options.side)

    def pillow(data: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR))

    def draft(data: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", size)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))

    def fftag(data: bytes, exact: bool = False) -> np.ndarray:
        result = decode(data, spec, exact=exact)
        if not isinstance(result, Photo):
            raise SystemExit(f"a photo cannot be read: {result.error}")
        return result.pixels

    ways: dict[str, Callable[[bytes], np.ndarray]] = {
        "Pillow, in full": pillow,
        "Pillow, draft": draft,
        "fftag --exact": lambda data: fftag(data, exact=True),
        "fftag": fftag,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            for data in photos:
                way(data)
            times[name].append((time.perf_counter() - began) / len(photos))
    print(f"{len(photos)} photos to {options.side} x {options.side}")
    for name, way in ways.items():
        off = [np.abs(way(data).astype(int) - pillow(data)).mean() for data in photos[:60]]
        milliseconds = 1000 * statistics.median(times[name])
        print(f"{name:16} {milliseconds:6.2f} ms, {np.mean(off):.2f} grey levels from Pillow's")


if __name__ == "__main__":
    main()
