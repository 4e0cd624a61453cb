"""How long a catalogue takes, on how many machines, and what limits it: the model of docs/scale.md.

    python benchmarks/capacity.py --photos 1e7 1e9 --machines 1 8 64 --price 1.50
    python benchmarks/capacity.py --measure PHOTOS

Every figure is an option: put in those that `fftag bench` prints for your own photos, model and
machines. `--measure` fits the cost of decoding to photos of several sizes, on one core.
"""

import argparse
import io
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fftag.photos.decode import InputSpec, Photo, decode

MEGAPIXELS = (0.25, 1, 4, 12)
GRAIN = 5  # grey levels, standard deviation


@dataclass(frozen=True)
class Capacity:
    """Figures from which the rest follows.

    Attributes:
        gpu_rate: photos per second that one GPU scores.
        gpus: in one machine; none, and its cores score too.
        cpu_rate: photos per second that one core scores, where there are no GPUs.
        cores: in one machine, for decoding.
        decode_ms: of one core for one photo: that much,
        decode_ms_per_megapixel: and that much more for each megapixel of it.
        kept: share of the slowest term's rate that is reached, all steps together.
        megapixels: of a photo.
        kilobytes: likewise.
        bandwidth: of the store to all machines together, in megabytes per second.
        list_rate: files listed per second, by one machine.
        join_rate: rows joined per second, by one machine.
        price: of a machine for an hour.
    """

    gpu_rate: float
    gpus: int
    cpu_rate: float
    cores: int
    decode_ms: float
    decode_ms_per_megapixel: float
    kept: float
    megapixels: float
    kilobytes: float
    bandwidth: float
    list_rate: float
    join_rate: float
    price: float

    def terms(self, machines: int) -> dict[str, float]:
        """Photos per second that each resource allows."""
        cores = machines * self.cores
        store = {"store": self.bandwidth * 1000 / self.kilobytes}
        if not self.gpus:  # a core does one after the other
            return {"cores": cores / (1 / self.cpu_rate + 1 / self.decode_rate), **store}
        scoring = machines * self.gpus * self.gpu_rate
        return {"GPUs": scoring, "decoding": cores * self.decode_rate, **store}

    @property
    def decode_rate(self) -> float:
        """Photos per second that one core decodes."""
        return 1000 / (self.decode_ms + self.decode_ms_per_megapixel * self.megapixels)

    def row(self, photos: float, machines: int) -> str:
        """A line of the table."""
        terms = self.terms(machines)
        limit = min(terms, key=lambda name: terms[name])
        rate = self.kept * terms[limit]
        tagging = photos / rate / 3600
        listing, joining = photos / self.list_rate / 3600, photos / self.join_rate / 3600
        hours = machines * (listing + tagging) + joining
        needed = self.gpus * self.gpu_rate / self.decode_rate
        return (
            f"| {photos:,.0f} | {machines} | {limit} | {rate:,.0f} | {listing:,.2f} "
            f"| {tagging:,.1f} | {joining:,.2f} | {hours:,.0f} | {hours * self.price:,.0f} "
            f"| {needed:,.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=Path, metavar="PHOTOS", help="a folder of JPEGs")
    parser.add_argument("--photos", type=float, nargs="+", default=[1e7, 1e9])
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 8, 64])
    for name, default in DEFAULTS.items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=type(default), default=default)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure)
        return
    capacity = Capacity(**{name: getattr(given, name) for name in DEFAULTS})
    print(
        "| photos | machines | limited by | photos/s | list, h | tag, h | join, h "
        "| machine hours | cost | cores that keep a machine's GPUs busy |"
    )
    print("|" + "---|" * 10)
    for photos in given.photos:
        for machines in given.machines:
            print(capacity.row(photos, machines))


DEFAULTS: dict[str, float | int] = {
    "gpu_rate": 2843.0,  # ViT-B/16, published: see docs/scale.md
    "gpus": 1,
    "cpu_rate": 17.0,  # ViT-B/16 with OpenVINO in bf16, measured: docs/performance.md
    "cores": 16,
    "decode_ms": 1.8,
    "decode_ms_per_megapixel": 1.75,
    "kept": 0.9,
    "megapixels": 1.0,
    "kilobytes": 200.0,
    "bandwidth": 1000.0,
    "list_rate": 10_000.0,
    "join_rate": 56_000.0,
    "price": 1.0,
}


def measure(folder: Path, photos: int = 12, rounds: int = 9, side: int = 224) -> None:
    """Prints milliseconds per photo by size, as medians, and the line through them."""
    paths = sorted(folder.rglob("*.jpg"))[:photos]
    spec = InputSpec(side, side)
    sizes = {size: [scaled(path, size) for path in paths] for size in MEGAPIXELS}
    times: dict[float, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size, contents in sizes.items():
            began = time.perf_counter()
            for content in contents:
                if not isinstance(decode(content, spec), Photo):
                    raise SystemExit("a photo cannot be read")
            times[size].append(1000 * (time.perf_counter() - began) / len(contents))
    medians = {size: statistics.median(found) for size, found in times.items()}
    for size, milliseconds in medians.items():
        kilobytes = statistics.mean(len(content) for content in sizes[size]) / 1000
        print(f"{size:5} megapixels, {kilobytes:6.0f} kB: {milliseconds:.2f} ms")
    slope, intercept = np.polyfit(list(medians), list(medians.values()), 1)
    print(f"--decode-ms {intercept:.2f} --decode-ms-per-megapixel {slope:.2f}")


def scaled(path: Path, megapixels: float) -> bytes:
    """A photo as a JPEG of another size, with grain: enlarged alone, it would be too smooth."""
    with Image.open(path) as image:
        factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        size = (round(image.width * factor), round(image.height * factor))
        resized = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    grain = np.random.default_rng(0).normal(0, GRAIN, (*resized.shape[:2], 1))
    content = io.BytesIO()
    grainy = np.clip(resized + grain, 0, 255).astype(np.uint8)
    Image.fromarray(grainy).save(content, "JPEG", quality=88)
    return content.getvalue()


if __name__ == "__main__":
    main()
