"""One batch on all cores, against one batch per core: photos per second of the forward pass alone.

    python benchmarks/replicas.py --architectures cnn:64 resnet101:224

Nothing is read from disk: random pixels. The ways take turns, round by round, and medians are
compared.
"""

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from fftag import models
from fftag.decode import InputSpec
from fftag.devices import CPU
from fftag.machine import cores
from fftag.predict import Predictor

LABELS = 46


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", nargs="+", default=["cnn:64"], help="name:side")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    print(f"{cores()} cores, batches of {options.batch}")
    for named in options.architectures:
        architecture, side = named.split(":")
        spec = InputSpec(int(side), int(side))
        network = models.build(architecture, LABELS, spec)
        predictor = Predictor(network, spec, CPU)
        pixels = torch.randint(0, 255, (options.batch, *(spec.height, spec.width), 3)).byte()
        together: list[float] = []
        apart: list[float] = []
        for _ in range(options.rounds):
            together.append(rate(predictor, pixels, 1, cores(), options.seconds))
            apart.append(rate(predictor, pixels, cores(), 1, options.seconds))
        one, many = statistics.median(together), statistics.median(apart)
        print(f"{named:14} together {one:.1f}/s, a replica per core {many:.1f}/s: {many / one:.2f}")


def rate(
    predictor: Predictor, pixels: torch.Tensor, replicas: int, threads: int, seconds: float
) -> float:
    """Photos per second."""
    torch.set_num_threads(threads)
    began = time.perf_counter()

    def work() -> int:
        done = 0
        while time.perf_counter() < began + seconds:
            predictor(pixels)
            done += len(pixels)
        return done

    with ThreadPoolExecutor(replicas, "replica", torch.set_num_threads, (threads,)) as pool:
        done = sum(one.result() for one in [pool.submit(work) for _ in range(replicas)])
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
