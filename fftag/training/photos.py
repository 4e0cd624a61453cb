"""The photos of a manifest as pixels and targets, decoded exactly as tagging decodes them."""

from collections.abc import Iterator
from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from fftag.datasets.manifest import Manifest
from fftag.decode import Failure, InputSpec, Limits, decode
from fftag.errors import FftagError
from fftag.progress import progress
from fftag.training.settings import DataSettings


class Sample(NamedTuple):
    """One photo, or a batch of them.

    Attributes:
        pixels: uint8 [height, width, 3].
        target: float32 [labels], 1 where the photo has the label.
        problem: why the photo could not be read; empty when it could.
    """

    pixels: Tensor
    target: Tensor
    problem: str | list[str]


class Photos(Dataset[Sample]):
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
        self.files = manifest.files()[rank::world]
        self.targets = torch.from_numpy(manifest.targets()[rank::world]).float()
        self.spec = spec
        self.augment = augment
        self.cache: Tensor | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        problem = ""
        if self.cache is not None:
            pixels = self.cache[index]
        else:
            array, problem = self._decode(index)
            pixels = torch.from_numpy(array)
        if self.augment is not None:
            pixels = self.augment(pixels.permute(2, 0, 1)).permute(1, 2, 0)
        return Sample(pixels, self.targets[index], problem)

    def drawn(self, most: int, seed: int = 0) -> "Photos":
        """At most so many of them, drawn at random, without augmentation."""
        some = copy(self)
        some.augment = None
        if len(self) > most:
            chosen = np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False))
            some.of = most
            some.files = [self.files[place] for place in chosen]
            some.targets = self.targets[chosen]
            some.cache = None if self.cache is None else self.cache[chosen]
        return some

    def _decode(self, index: int) -> tuple[np.ndarray, str]:
        path = self.files[index]
        try:
            result = decode(path.read_bytes(), self.spec, Limits())
        except OSError as error:
            result = Failure("unreadable", error.strerror or str(error))
        if isinstance(result, Failure):
            blank = np.zeros((self.spec.height, self.spec.width, 3), np.uint8)
            return blank, f"{path} is {result.status} ({result.error})"
        return np.array(result.pixels), ""

    @property
    def bytes_in_memory(self) -> int:
        """What all photos take once decoded, in bytes."""
        return len(self) * self.spec.height * self.spec.width * 3

    def fill_cache(self, workers: int, what: str) -> None:
        """Decodes every photo once, into memory.

        Raises:
            FftagError: photos cannot be read; counts them, and names some.
        """
        augment, self.augment = self.augment, None
        cache = torch.empty((len(self), self.spec.height, self.spec.width, 3), dtype=torch.uint8)
        problems: list[str] = []
        filled = 0
        with progress(len(self), f"decoding {what}", "photo") as bar:
            for batch in _loader(self, None, 64, workers, drop_last=False):
                cache[filled : filled + len(batch.pixels)] = batch.pixels
                filled += len(batch.pixels)
                problems += [problem for problem in batch.problem if problem]
                bar.update(len(batch.pixels))
        _refuse(problems)
        self.cache, self.augment = cache, augment


# After TrivialAugment (Mueller and Hutter 2021): one change, of random strength. Left out are those
# that change what colour a garment is, or invert, posterise or solarise it.
_TRIVIAL = [
    v2.Identity(),
    v2.RandomRotation(12, v2.InterpolationMode.BILINEAR, fill=255),
    v2.RandomAffine(0, translate=(0.1, 0.1), interpolation=v2.InterpolationMode.BILINEAR, fill=255),
    v2.RandomAffine(0, shear=(-10, 10, -10, 10), interpolation=v2.InterpolationMode.BILINEAR),
    v2.ColorJitter(brightness=0.3),
    v2.ColorJitter(contrast=0.3),
    v2.ColorJitter(saturation=0.3),
    v2.RandomAutocontrast(1.0),
    v2.RandomAdjustSharpness(2.0, 1.0),
]


def make_augmentation(data: DataSettings, spec: InputSpec) -> v2.Transform:
    """The training-time changes of a uint8 photo [3, height, width]."""
    steps: list[v2.Transform] = []
    if data.crop_area < 1:
        steps.append(
            v2.RandomResizedCrop(
                (spec.height, spec.width), (data.crop_area, 1.0), (0.85, 1.18), antialias=True
            )
        )
    if data.flip:
        steps.append(v2.RandomHorizontalFlip())
    if data.rotate:
        steps.append(v2.RandomRotation(data.rotate, v2.InterpolationMode.BILINEAR, fill=255))
    if data.colour_jitter:
        amount = data.colour_jitter
        steps.append(v2.ColorJitter(brightness=amount, contrast=amount, saturation=amount))
    if data.trivial:
        steps.append(v2.RandomChoice(_TRIVIAL))
    if data.cutout:
        grey = [255 * value for value in spec.mean]
        steps.append(v2.RandomErasing(0.5, (0.02, data.cutout), value=grey))
    return v2.Compose(steps) if steps else v2.Identity()


def batches(
    photos: Photos,
    batch_size: int,
    workers: int,
    sampler: Sampler[int] | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Sample]:
    """Batches: pixels uint8 [batch, height, width, 3], targets float32 [batch, labels].

    Args:
        photos: where from.
        batch_size: photos per batch.
        workers: decoding processes; 0 decodes in this one.
        sampler: the order; None goes through all in order. With a sampler, a last batch that is
            not full is left out, as batch norm cannot learn from a few photos.
        generator: seeds the workers' randomness.

    Raises:
        FftagError: a photo cannot be read.
    """
    drop_last = sampler is not None and len(photos) > batch_size
    for batch in _loader(photos, sampler, batch_size, workers, drop_last, generator):
        _refuse([problem for problem in batch.problem if problem])
        yield batch


def _loader(
    photos: Photos,
    sampler: Sampler[int] | None,
    batch_size: int,
    workers: int,
    drop_last: bool,
    generator: torch.Generator | None = None,
) -> DataLoader[Sample]:
    return DataLoader(
        photos,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        drop_last=drop_last,
        generator=generator,
        pin_memory=torch.cuda.is_available(),
    )


def _refuse(problems: list[str]) -> None:
    if problems:
        raise FftagError(
            f"{len(problems)} photos cannot be read, such as {problems[0]}: "
            "mend them, or take them out of the manifest"
        )
