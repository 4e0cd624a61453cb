"""JPEGs decoded and resized on the GPU, and by the processes on the CPU whatever that leaves.

The processes read and hash every file as always. Of a JPEG that every decoder reads alike they pass
on its bytes (`fftag.decode.plain_jpeg`); any other photo they decode themselves.
"""

import io
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from fftag.colours import WHITE
from fftag.decode import InputSpec, fitted_size
from fftag.decoders import Decoders
from fftag.errors import FftagError
from fftag.reader import ENCODED, ReadOptions
from fftag.sources.base import Source
from fftag.workers import Batch, batches

AHEAD = 2  # batches that wait on the device, decoded
PIXELS_AT_ONCE = 256_000_000  # that one call decodes: 768 MB of the device

Plan = Iterable[tuple[int, Sequence[dict[str, Any]]]]


def _check(device: torch.device) -> None:
    """Decodes a small JPEG, so that what fails later is the fault of a file.

    Raises:
        FftagError: torchcodec cannot be loaded, or not decode here.
    """
    made = io.BytesIO()
    Image.new("RGB", (64, 64)).save(made, "JPEG")
    try:
        from torchcodec.decoders import decode_jpeg

        decode_jpeg([made.getvalue()], mode="RGB", device=device)
    except (ImportError, OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FftagError(
            f"torchcodec cannot decode JPEGs on {device} ({reason}): leave out --decoder cuda"
        ) from error


def batches_on(
    device: torch.device, source: Source, plan: Plan, spec: InputSpec, options: ReadOptions
) -> Generator[Batch]:
    """Decodes batch after batch, some ahead, in a thread and a stream of its own.

    Args:
        device: where JPEGs are decoded, and where the pixels of each batch come to lie: a tensor
            of what `fftag.workers.Batch` says. What a GPU's decoder crashes on ends the run.
        source, plan, spec, options: see `fftag.workers.batches`.

    Raises:
        FftagError: torchcodec does not work here, or decoding processes cannot be started.
    """
    _check(device)
    listed: dict[int, Sequence[dict[str, Any]]] = {}

    def remembered() -> Plan:
        for number, entries in plan:
            listed[number] = entries
            yield number, entries

    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    passed = batches(source, remembered(), spec, replace(options, pass_on_jpegs=True))
    for_the_rest = replace(options, pass_on_jpegs=False, workers=1)
    with closing(Decoders(source, spec, for_the_rest)) as on_cpu:

        def decoded() -> Iterator[Batch]:
            for batch in passed:
                entries = listed.pop(batch.number)
                with _on(stream):
                    pixels, left = _with_jpegs(batch, spec, device)
                    again = on_cpu([entries[place] for place in left]) if left else []
                    for place, (photo, found) in zip(left, again, strict=True):
                        batch.photos[place] = photo
                        if found is not None:
                            pixels[place] = torch.from_numpy(found).to(device)
                yield Batch(batch.number, pixels, batch.photos)

        yield from _ahead(decoded())


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    with ThreadPoolExecutor(1, "decoding") as thread:
        pending: deque[Future[Batch | None]] = deque()
        for _ in range(AHEAD):
            pending.append(thread.submit(next, batches, None))
        while (batch := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, batches, None))
            yield batch


@contextmanager
def _on(stream: "torch.cuda.Stream | None") -> Iterator[None]:
    """Works on a stream; what was given to it is done when the block is left."""
    # What is compiled in inference mode takes tensors that were made in it.
    with torch.inference_mode(), torch.cuda.stream(stream):  # the latter does nothing with None
        yield
    if stream is not None:
        stream.synchronize()


def _with_jpegs(batch: Batch, spec: InputSpec, device: torch.device) -> tuple[Tensor, list[int]]:
    """The pixels of a batch on a device, JPEGs passed on decoded; and the places that it failed."""
    pixels = torch.tensor(batch.pixels, device=device)
    left = []
    for some in _of_bounded_size(batch.photos):
        images = _decode([batch.photos[place].pop(ENCODED) for place in some], device)
        for place, image in zip(some, images, strict=True):
            photo = batch.photos[place]
            same = image is not None and image.shape[1:] == (photo["height"], photo["width"])
            fitted = _fit(image, spec) if image is not None and same else None
            if fitted is None:
                left.append(place)
            else:
                pixels[place] = fitted
    return pixels, left


def _of_bounded_size(photos: Sequence[dict[str, Any]]) -> Iterator[list[int]]:
    """Places of the JPEGs that were passed on, as many at once as there is memory for."""
    some: list[int] = []
    size = 0
    for place, photo in enumerate(photos):
        if ENCODED not in photo:
            continue
        size += photo["width"] * photo["height"]
        if some and size > PIXELS_AT_ONCE:
            yield some
            some, size = [], photo["width"] * photo["height"]
        some.append(place)
    if some:
        yield some


def _decode(files: Sequence[bytes], device: torch.device) -> list[Tensor | None]:
    """uint8 [3, height, width] of each file, upright; None for those that cannot be decoded."""
    from torchcodec.decoders import decode_jpeg

    try:
        return [*decode_jpeg(list(files), mode="RGB", device=device)]
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # one spoils the call for all
        if len(files) == 1:
            return [None]
        return [image for file in files for image in _decode([file], device)]


def _fit(image: Tensor, spec: InputSpec) -> Tensor | None:
    """`fftag.decode.fit` on a device: uint8 [3, h, w] -> [spec.height, spec.width, 3].

    None where the device cannot: its threads have too little memory for a reduction of a hundred
    times or so (https://github.com/pytorch/vision/issues/7671).
    """
    width, height = fitted_size((image.shape[2], image.shape[1]), spec)
    size = height, width
    try:
        resized = interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return None
    fitted = resized.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    if (width, height) == (spec.width, spec.height):
        return fitted
    canvas = torch.tensor(WHITE, dtype=torch.uint8, device=image.device)
    canvas = canvas.repeat(spec.height, spec.width, 1)
    top, left = round((spec.height - height) / 2), round((spec.width - width) / 2)
    canvas[top : top + height, left : left + width] = fitted
    return canvas
