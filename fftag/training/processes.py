"""One process or several (torchrun): who reads what, who writes, and what all must know."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import Sampler

from fftag.base.errors import FftagError
from fftag.models.devices import Device

PATIENCE = timedelta(hours=2)  # the others wait while the first one writes the model folder


@dataclass(frozen=True)
class Processes:
    """This process among those that train one model together.

    Attributes:
        rank: from 0; rank 0 writes.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Returns once all are here."""
        if self.world > 1:
            dist.barrier()

    def leave(self) -> None:
        """Ends the contact, once all have come to the end."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()

    def gather(self, part: Sequence[np.ndarray], of: int) -> list[np.ndarray]:
        """Puts together what each process made of its share, in the order of the whole.

        Args:
            part: arrays [share, ...] for the items `rank, rank + world, ...`.
            of: how many items there are in all.
        """
        if self.world == 1:
            return list(part)
        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, list(part))
        joined = []
        for arrays in zip(*parts, strict=True):
            whole = np.empty((of, *arrays[0].shape[1:]), arrays[0].dtype)
            for rank, array in enumerate(arrays):
                whole[rank :: self.world] = array
            joined.append(whole)
        return joined

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over the processes."""
        if self.world > 1:
            dist.all_reduce(value)
            value /= self.world
        return value


def join(device: Device) -> Processes:
    """Joins the processes that torchrun started; one alone where it did not.

    Raises:
        FftagError: torchrun's variables are there but no contact is made.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Processes()
    if not dist.is_initialized():
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise FftagError(f"the {world} processes do not find each other: {error}") from error
    return Processes(dist.get_rank(), world)


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


def local_device(name: str) -> str:
    """With several processes, `auto` and `cuda` mean the GPU of this one's number."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and name in ("auto", "cuda"):
        return f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"
    return name


class RankSampler(Sampler[int]):
    """A process's share of every batch of a common order.

    All processes draw the same order from the same seed. Of each batch over all processes, each
    takes its slice, so that together they see what one process with that batch would see, and no
    photo twice.
    """

    def __init__(self, order: Sampler[int], batch_size: int, processes: Processes) -> None:
        """Cuts an order.

        Args:
            order: the whole one.
            batch_size: photos per batch over all processes.
            processes: among whom.

        Raises:
            FftagError: the batch cannot be shared out evenly, or there are not enough photos.
        """
        if len(order) < batch_size:  # type: ignore[arg-type]
            raise FftagError(
                f"{len(order)} photos do not fill a batch of {batch_size}: "  # type: ignore[arg-type]
                "set run.batch_size lower, or train in one process"
            )
        if batch_size % processes.world:
            raise FftagError(
                f"a batch of {batch_size} cannot be shared by {processes.world} processes: "
                "set run.batch_size to a multiple"
            )
        self.order = order
        self.batch_size = batch_size
        self.processes = processes

    def __iter__(self) -> Iterator[int]:
        size = self.batch_size // self.processes.world
        start = self.processes.rank * size
        order = iter(self.order)
        while len(batch := list(islice(order, self.batch_size))) == self.batch_size:
            yield from batch[start : start + size]

    def __len__(self) -> int:
        whole = len(self.order) // self.batch_size  # type: ignore[arg-type]
        return whole * (self.batch_size // self.processes.world)
