"""The photos of a manifest as pixels and targets, decoded exactly as tagging decodes them."""

from collections.abc import Iterator, Sequence
from copy import copy
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler
from torchvision.transforms import v2

from fftag.base.errors import FftagError
from fftag.base.progress import progress
from fftag.data.manifest import Manifest
from fftag.photos.decode import InputSpec
from fftag.photos.pool import Decoded, ReadOptions, decoded
from fftag.photos.record import PhotoRecord

BATCH_SIZE = 64  # photos that are decoded at once, to be kept


class Batch(NamedTuple):
    """Photos and what is on them.

    Attributes:
        pixels: uint8 [batch, height, width, 3].
        target: float32 [batch, labels], 1 where the photo has the label.
    """

    pixels: Tensor
    target: Tensor


class Photos:
    """Photos of a manifest at the model's input size; augmented or as they are."""

    def __init__(
        self,
        manifest: Manifest,
        spec: InputSpec,
        augment: v2.Transform | None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Describes them; nothing is read yet.

        Args:
            manifest: the photos and their labels.
            spec: the input size.
            augment: for training; None leaves photos as they are.
            rank: of several processes, this one's number; it has the photos `rank::world`.
            world: how many processes share the photos.
        """
        self.of = len(manifest)
        self.images = manifest.frame["image"].tolist()[rank::world]
        self.files = manifest.files()[rank::world]
        self.targets = torch.from_numpy(manifest.targets()[rank::world]).float()
        self.spec = spec
        self.augment = augment
        self.cache: Tensor | None = None

    def __len__(self) -> int:
        return len(self.files)

    def drawn(self, most: int, seed: int = 0) -> "Photos":
        """At most so many of them, drawn at random, without augmentation."""
        some = copy(self)
        some.augment = None
        if len(self) > most:
            chosen = np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False))
            some.of = most
            some.images = [self.images[place] for place in chosen]
            some.files = [self.files[place] for place in chosen]
            some.targets = self.targets[chosen]
            some.cache = None if self.cache is None else self.cache[chosen]
        return some

    @property
    def bytes_in_memory(self) -> int:
        """What all photos take once decoded, in bytes."""
        return len(self) * self.spec.height * self.spec.width * 3

    def fill_cache(self, workers: int, what: str) -> None:
        """Decodes every photo once, into memory.

        Raises:
            FftagError: photos cannot be read; counts them, and names some.
        """
        cache = torch.empty((len(self), self.spec.height, self.spec.width, 3), dtype=torch.uint8)
        problems: list[str] = []
        with progress(len(self), f"decoding {what}", "photo") as bar:
            found = decoded(self.files, self.spec, ReadOptions(BATCH_SIZE, workers))
            for place, (photo, pixels) in enumerate(found):
                if pixels is None:
                    problems.append(_problem(self.files[place], photo))
                else:
                    cache[place] = torch.from_numpy(pixels)
                bar.update()
        _refuse(problems)
        self.cache = cache


def batches(
    photos: Photos,
    batch_size: int,
    workers: int,
    sampler: Sampler[int] | None = None,
) -> Iterator[Batch]:
    """Batches of photos.

    Args:
        photos: where from.
        batch_size: photos per batch.
        workers: decoding processes, where they are not in memory.
        sampler: the order; None goes through all in order. With a sampler, a last batch that is
            not full is left out, as batch norm cannot learn from a few photos.

    Raises:
        FftagError: a photo cannot be read.
    """
    order = list(range(len(photos)) if sampler is None else sampler)
    if sampler is not None and len(photos) > batch_size:
        order = order[: len(order) // batch_size * batch_size]
    chosen = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    if photos.cache is None:
        files = [photos.files[place] for place in order]
        found = decoded(files, photos.spec, ReadOptions(batch_size, workers))
    for places in chosen:
        if photos.cache is None:
            pixels = _stacked(list(islice(found, batch_size)), [photos.files[at] for at in places])
        else:
            pixels = photos.cache[places]
        if photos.augment is not None:
            changed = [photos.augment(one) for one in pixels.permute(0, 3, 1, 2)]
            pixels = torch.stack(changed).permute(0, 2, 3, 1)
        pinned = pixels.pin_memory() if torch.cuda.is_available() else pixels
        yield Batch(pinned, photos.targets[places])


def _stacked(found: Sequence[Decoded], files: Sequence[Path]) -> Tensor:
    pairs = zip(files, found, strict=True)
    _refuse([_problem(file, photo) for file, (photo, pixels) in pairs if pixels is None])
    return torch.from_numpy(np.stack([pixels for _, pixels in found if pixels is not None]))


def _problem(file: Path, photo: PhotoRecord) -> str:
    return f"{file} is {photo.status} ({photo.error})"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise FftagError(
            f"{len(problems)} photos cannot be read, such as {problems[0]}: "
            "mend them, or take them out of the manifest"
        )
