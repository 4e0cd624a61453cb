"""Several batches scored at once, by one device or several; results in order."""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue

import numpy as np

from fftag.base.machine import cores, keep_freed_memory
from fftag.models.devices import Device
from fftag.models.scorers import Predictions, Scorer
from fftag.photos.pool import Batch

ON_CUDA = 2  # one batch is computed while the next is copied
WAITING = 1  # batches that wait decoded, so that no replica does


class SideBySide:
    """Scorers of one model as one scorer: each batch goes to a device that is free.

    Attributes:
        device: of the first; all are of one kind.
        spec: the input that they take.
        at_once: how many batches are scored at the same time.
    """

    def __init__(self, scorers: Sequence[Scorer], at_once_each: int) -> None:
        """Takes over scorers.

        Args:
            scorers: one for each device, of the same model and arithmetic.
            at_once_each: how many batches each of them is given at the same time.
        """
        self.device = scorers[0].device
        self.spec = scorers[0].spec
        self.at_once = at_once_each * len(scorers)
        # The one that has waited longest comes next: a device that is faster is given more.
        self._free: SimpleQueue[Scorer] = SimpleQueue()
        for _ in range(at_once_each):
            for scorer in scorers:
                self._free.put(scorer)

    def __call__(self, photos: np.ndarray) -> Predictions:
        """Scores a batch of uint8 [batch, height, width, 3]; waits while all are busy."""
        scorer = self._free.get()
        try:
            return scorer(photos)
        finally:
            self._free.put(scorer)


def replica_count(scorer: Scorer) -> int:
    """How many batches are scored at once."""
    return scorer.at_once if isinstance(scorer, SideBySide) else replicas_on(scorer.device)


def replicas_on(device: Device) -> int:
    """How many batches one device is given at once.

    On a CPU one per core, each on one thread: several threads for one batch wait for each other at
    every layer, and wait long where other work has the cores too. On MPS one: two threads end the
    process (https://github.com/pytorch/pytorch/issues/197805).
    """
    if device.type == "cpu":
        return cores()
    return ON_CUDA if device.type == "cuda" else 1


def batches_held(count: int) -> int:
    """How many batches have to stay valid while so many are scored at once.

    See `fftag.photos.pool.batches`.
    """
    return count + WAITING + 1


def scored(
    batches: Iterator[Batch], scorer: Scorer, labels: int
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Scores batches in their order.

    Args:
        batches: decoded; so many are asked for ahead of the one that is yielded that
            `batches_held` are in use at once.
        scorer: may be called by several threads at a time.
        labels: how many scores a photo has.

    Yields:
        Each batch, and the scores of its photos: float32 [photos, labels]; zero for those that
        failed, and for those that are known from the run before. With a screen, the records of
        photos that were scored have their `apparel_score`.

    Raises:
        FftagError: the scores are not finite.
    """
    count = replica_count(scorer)
    pending: deque[tuple[Batch, list[int], Future[Predictions | None]]] = deque()
    with replicas(scorer) as pool:
        try:
            for batch in batches:
                wanted = [place for place, photo in enumerate(batch.photos) if photo.has_pixels]
                pending.append((batch, wanted, pool.submit(_predictions, scorer, batch, wanted)))
                if len(pending) > count + WAITING - 1:
                    yield _settled(*pending.popleft(), labels)
            while pending:
                yield _settled(*pending.popleft(), labels)
        finally:
            # Threads outlive this, and the pixels that they are at do not.
            wait([left for _, _, left in pending if not left.cancel()])


def _predictions(scorer: Scorer, batch: Batch, wanted: list[int]) -> Predictions | None:
    """Of the photos wanted; None where none is.

    A GPU is given the whole batch, whatever is in it: what it computes of a photo can depend on how
    many there are. On a CPU passes are of one size.
    """
    if not wanted:
        return None
    if len(wanted) == len(batch.pixels):
        return scorer(batch.pixels)
    if scorer.device.type == "cpu":
        return scorer(batch.pixels[wanted])
    return scorer(batch.pixels).chosen(np.array(wanted))


def _settled(
    batch: Batch, wanted: list[int], future: Future[Predictions | None], labels: int
) -> tuple[Batch, np.ndarray]:
    scores = np.zeros((len(batch.photos), labels), np.float32)
    found = future.result()
    for number, place in enumerate(wanted):
        assert found is not None
        scores[place] = found.scores[number]
        if found.apparel is not None:
            batch.photos[place].apparel_score = float(found.apparel[number])
    return batch, scores


@contextmanager
def replicas(scorer: Scorer) -> Iterator[ThreadPoolExecutor]:
    """A thread for each of the batches that a scorer is given at once.

    On a CPU each computes on its own: the number of torch's threads, which is the process's, is set
    to one, and set back.
    """
    count = replica_count(scorer)
    on_cpu = scorer.device.type == "cpu"
    if on_cpu:
        keep_freed_memory()
    torch = sys.modules.get("torch")  # where it was not imported, nothing computes with it
    if torch is None or not on_cpu:
        yield _threads(count)
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield _threads(count, torch.set_num_threads)
    finally:
        torch.set_num_threads(before)


@cache
def _threads(count: int, limit: Callable[[int], None] | None = None) -> ThreadPoolExecutor:
    """So many threads of this process, started once: of new ones each may keep memory of its own,
    which the C library never gives back.

    Args:
        count: how many.
        limit: sets how many threads of its own a library computes with in each: one.
    """
    if limit is None:
        return ThreadPoolExecutor(count, "replica")
    return ThreadPoolExecutor(count, "replica", limit, (1,))
