"""Several batches scored at once, by threads that share a model's weights; results in order."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch

from fftag.machine import cores
from fftag.predict import Predictions, Predictor
from fftag.workers import Batch

ON_AN_ACCELERATOR = 2  # one batch is computed while the next is copied
WAITING = 1  # batches that wait decoded, so that no replica does


def replica_count(device: torch.device) -> int:
    """How many batches are scored at once.

    On a CPU one per core, each on one thread: several threads for one batch wait for each other at
    every layer, and wait long where other work has the cores too.
    """
    if device.type != "cpu":
        return ON_AN_ACCELERATOR
    return cores()


def batches_held(device: torch.device) -> int:
    """How many batches have to stay valid at once (see `fftag.workers.batches`)."""
    return replica_count(device) + WAITING + 1


def scored(batches: Iterator[Batch], predictor: Predictor) -> Iterator[tuple[Batch, Predictions]]:
    """Scores batches in their order.

    Args:
        batches: decoded; so many are asked for ahead of the one that is yielded that
            `batches_held` are in use at once.
        predictor: may be called by several threads at a time.

    Raises:
        FftagError: see `Predictor.__call__`.
    """
    count = replica_count(predictor.device)
    pending: deque[tuple[Batch, Future[Predictions]]] = deque()
    with (
        _one_thread_each(predictor.device),
        ThreadPoolExecutor(
            count, "replica", torch.set_num_threads, _threads(predictor.device)
        ) as pool,
    ):
        try:
            for batch in batches:
                pixels = torch.from_numpy(batch.pixels)
                pending.append((batch, pool.submit(predictor, pixels)))
                if len(pending) > count + WAITING - 1:
                    first, found = pending.popleft()
                    yield first, found.result()
            while pending:
                first, found = pending.popleft()
                yield first, found.result()
        finally:
            for _, left in pending:
                left.cancel()


def _threads(device: torch.device) -> tuple[int]:
    return (1 if device.type == "cpu" else torch.get_num_threads(),)


@contextmanager
def _one_thread_each(device: torch.device) -> Iterator[None]:
    """Sets the number of threads of one batch, which is the process's, and sets it back."""
    before = torch.get_num_threads()
    torch.set_num_threads(*_threads(device))
    try:
        yield
    finally:
        torch.set_num_threads(before)
