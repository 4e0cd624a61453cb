"""How fast each step of tagging is here, alone and together, and which one sets the pace."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fftag.base.errors import FftagError
from fftag.base.machine import cores
from fftag.base.progress import progress
from fftag.models.folder import Bundle
from fftag.models.scorers import Arithmetic, Scorer
from fftag.models.side_by_side import batches_held, replica_count, replicas, scored
from fftag.photos.decode import Failure
from fftag.photos.listing import Listing
from fftag.photos.pool import Batch, batches
from fftag.photos.sources.base import Source
from fftag.photos.sources.choose import list_source
from fftag.tagging.agreement import Agreement
from fftag.tagging.options import TagOptions, arithmetic, run_info, scorer_for
from fftag.tagging.parts import Parts
from fftag.tagging.scored_rows import ScoredRows
from fftag.tagging.tags_file import RunInfo

WARM_UP = 8  # batches: those that were decoded ahead, while processes started


@dataclass(frozen=True)
class Rates:
    """Photos per second of each step, the median of some rounds; and the files looked at.

    Attributes:
        files: listed.
        sample: of them, read again and again.
        kilobytes: mean size of a file of the sample.
        read: reading alone, in one thread, the first time; what a slow disk or network shows in.
        decode: reading, hashing and decoding, by all workers.
        copy: of pixels to the device, pinned first on CUDA; None where that is the CPU.
        forward: the model alone, all replicas at once, on pixels at hand; with their copies to
            another device and the results back.
        write: rows to part files.
        together: all of it.
        device: what computed.
        arithmetic: backend and precision.
        batch_size, workers: as they were.
    """

    files: int
    sample: int
    kilobytes: float
    read: float
    decode: float
    copy: float | None
    forward: float
    write: float
    together: float
    device: str
    arithmetic: Arithmetic
    batch_size: int
    workers: int

    @property
    def possible(self) -> float:
        """What the slowest steps allow: they share the cores of a CPU, and not those of a GPU."""
        if self.device == "cpu":
            return 1 / (1 / self.forward + 1 / self.decode)
        return min(self.forward, self.decode)

    @property
    def bottleneck(self) -> str:
        """The step that sets the pace."""
        steps = {"decoding": self.decode, "the model": self.forward, "writing": self.write}
        slowest = min(steps, key=lambda step: steps[step])
        # Decoding holds reading, which was timed in one thread and goes on in every worker.
        mostly_reading = self.read * max(1, self.workers) < 1.5 * self.decode
        return "reading" if slowest == "decoding" and mostly_reading else slowest

    def advice(self) -> str:
        """What would change the pace most."""
        if self.bottleneck == "reading":
            return "bring the photos nearer (a local disk, archives), or add --workers"
        if self.bottleneck == "writing":
            return "write --out to a faster disk"
        if self.bottleneck == "decoding":
            if self.workers < cores():
                return f"add --workers (there are {cores()} cores)"
            if self.kilobytes > 500:
                return "the photos are large: store smaller ones, or take a machine with more cores"
            return "take a machine with more cores"
        if self.device != "cpu":
            return "take a smaller model or input, or --tier fast if it is exact"
        if self.arithmetic.backend == "torch":
            return "pip install 'fftag[openvino]', then --tier fast"
        if self.arithmetic.precision != "int8":
            return "`fftag quantize`, then --tier int8; or a smaller model or input; or a GPU"
        return "take a smaller model or input, a GPU, or a machine with more cores"

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "possible": self.possible,
            "bottleneck": self.bottleneck,
            "advice": self.advice(),
        }

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.sample:,} of {self.files:,} files ({self.kilobytes:,.0f} KB each) on "
            f"{self.device}, {self.arithmetic.backend} {self.arithmetic.precision}, batches of "
            f"{self.batch_size}, {self.workers} workers"
        )
        steps = (
            ("read", self.read, "one thread, the first time"),
            ("decode", self.decode, "read, hash and decode, all workers"),
            ("copy", self.copy, "to the device"),
            ("forward", self.forward, f"the model alone{', and copies' * (self.device != 'cpu')}"),
            ("write", self.write, "rows to disk"),
            ("together", self.together, f"{self.together / self.possible:.0%} of what is possible"),
        )
        for step, rate, what in steps:
            if rate is not None:
                yield f"  {step:9} {rate:12,.1f} photos/s   {what}"
        yield f"{self.bottleneck} sets the pace: {self.advice()}"


def bench(
    source: Source,
    bundle: Bundle,
    options: TagOptions,
    sample: int = 512,
    rounds: int = 3,
    seconds: float = 4.0,
) -> Rates:
    """Measures every step on photos of a source; writes to a temporary folder only.

    Args:
        source: where the photos are.
        bundle: the model.
        options: how to tag.
        sample: photos that are read, spread over the listing.
        rounds: each measures every step in turn, as other work on the machine comes and goes.
        seconds: per step and round.

    Raises:
        FftagError: there is nothing to read, none of it can be decoded, or the model cannot be
            used as asked.
    """
    listing = list_source(source, options.selection)
    chosen = np.unique(np.linspace(0, len(listing) - 1, sample).astype(int))
    run = run_info(source.name, bundle, options)
    scorer = scorer_for(bundle, options)
    device = scorer.device
    work = _Work(source, listing, chosen, scorer, options, run)
    read, size = work.read_once()
    pixels = work.some_pixels()
    steps: dict[str, Callable[[float], float]] = {
        "decode": work.decode,
        "forward": lambda seconds: work.forward(pixels, seconds),
        "write": work.write,
        "together": work.together,
    }
    if device.type != "cpu":
        steps["copy"] = lambda seconds: work.copy(pixels, seconds)
    found: dict[str, list[float]] = {step: [] for step in steps}
    with progress(rounds * len(steps), "measuring", "step") as bar:
        for _ in range(rounds):
            for step, measure in steps.items():
                found[step].append(measure(seconds))
                bar.update(1)
    medians: dict[str, Any] = {step: statistics.median(rates) for step, rates in found.items()}
    return Rates(
        files=len(listing),
        sample=len(chosen),
        kilobytes=size / 1000,
        read=read,
        **{"copy": None, **medians},
        device=device.type,
        arithmetic=arithmetic(options),
        batch_size=options.batch_size,
        workers=options.workers,
    )


class _Work:
    """The steps of a run, each to be run for some seconds; photos per second come out."""

    def __init__(
        self,
        source: Source,
        listing: Listing,
        chosen: np.ndarray,
        scorer: Scorer,
        options: TagOptions,
        run: RunInfo,
    ) -> None:
        self.source = source
        self.scorer = scorer
        self.options = options
        self.run = run
        # Nothing is to be recognised: photos of the sample come again and again.
        self.entries = listing.rows(chosen).to_pylist()

    def read_once(self) -> tuple[float, float]:
        """Photos per second, and their mean size in bytes."""
        sizes = []
        began = time.perf_counter()
        with closing(self.source.reader()) as reader:
            for entry in self.entries:
                content = reader.read(entry, self.options.limits.file_bytes)
                if not isinstance(content, Failure):
                    sizes.append(content.size)
        if not sizes:
            raise FftagError("none of the files can be read: `fftag tag` would say why of each")
        return len(self.entries) / (time.perf_counter() - began), statistics.mean(sizes)

    def some_pixels(self) -> np.ndarray:
        """uint8 [batch size, height, width, 3] of photos that could be decoded, repeated."""
        for batch in self._batches():
            good = [n for n, photo in enumerate(batch.photos) if photo.has_pixels]
            if good:
                return batch.pixels[
                    list(itertools.islice(itertools.cycle(good), len(batch.pixels)))
                ]
        raise FftagError("none of the files can be decoded: `fftag tag` would say why of each")

    def decode(self, seconds: float) -> float:
        return _pace((len(batch.photos) for batch in self._batches(endless=True)), seconds, 1)

    def together(self, seconds: float) -> float:
        with self._store() as write:

            def done() -> Generator[int, None, None]:
                for batch, scores in scored(self._batches(True), self.scorer, len(self.run.labels)):
                    write(batch, scores)
                    yield len(batch.photos)

            return _pace(done(), seconds, replica_count(self.scorer))

    def write(self, seconds: float) -> float:
        batch = next(iter(self._batches()))
        scores = np.zeros((len(batch.photos), len(self.run.labels)), np.float32)
        with self._store() as write:

            def done() -> Generator[int, None, None]:
                while True:
                    write(batch, scores)
                    yield len(batch.photos)

            return _pace(done(), seconds, 1)

    def copy(self, pixels: np.ndarray, seconds: float) -> float:
        import torch

        on = self.scorer.device.torch

        def done() -> Generator[int, None, None]:
            while True:
                there = torch.from_numpy(pixels)
                if on.type == "cuda":
                    there = there.pin_memory()
                there.to(on)
                yield len(pixels)

        return _pace(done(), seconds, 1)

    def forward(self, pixels: np.ndarray, seconds: float) -> float:
        def replica(_: int) -> float:
            self.scorer(pixels)
            began, photos = time.perf_counter(), 0
            while time.perf_counter() < began + seconds:
                self.scorer(pixels)
                photos += len(pixels)
            return photos / (time.perf_counter() - began)

        with replicas(self.scorer) as pool:
            return sum(pool.map(replica, range(replica_count(self.scorer))))

    def _batches(self, endless: bool = False) -> Iterator[Batch]:
        size = self.options.batch_size
        plan: Iterable[tuple[int, list[dict[str, Any]]]]
        if endless:
            photos = itertools.cycle(self.entries)
            plan = ((number, list(itertools.islice(photos, size))) for number in itertools.count())
        else:
            starts = range(0, len(self.entries), size)
            plan = ((start, self.entries[start : start + size]) for start in starts)
        held = batches_held(replica_count(self.scorer))
        return batches(self.source, plan, self.scorer.spec, self.options, held)

    @contextmanager
    def _store(self) -> Iterator[Callable[[Batch, np.ndarray], None]]:
        """Takes batches as a run does, into parts of a temporary folder."""
        per_part = max(1, self.options.shard_size // self.options.batch_size)
        made = ScoredRows()
        with tempfile.TemporaryDirectory(prefix="fftag-bench-") as name:
            parts = Parts(Path(name) / "tags.parquet", Agreement.of(self.run))

            def write(batch: Batch, scores: np.ndarray) -> None:
                nonlocal made
                made.add(batch.photos, scores, datetime.now(UTC))
                if made.batches == per_part:
                    parts.write(made.table(self.run))
                    made = ScoredRows()

            yield write


def _pace(done: Generator[int, None, None], seconds: float, at_once: int) -> float:
    """Photos per second of batches that come without end, once they come steadily.

    Args:
        done: photos of each batch.
        seconds: to measure for, at least.
        at_once: batches that are computed side by side and so come together: whole groups count.
    """
    with closing(done) as batches:
        for _ in range(at_once * max(1, WARM_UP // at_once)):
            next(batches)
        began, photos = time.perf_counter(), 0
        while time.perf_counter() < began + seconds or not photos:
            photos += sum(next(batches) for _ in range(at_once))
        return photos / (time.perf_counter() - began)
