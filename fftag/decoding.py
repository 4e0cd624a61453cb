"""Batches of decoded photos, wherever the options say that they are decoded."""

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from fftag.decode import InputSpec
from fftag.devices import choose_devices
from fftag.replicas import batches_held
from fftag.sources import Source
from fftag.tag_options import TagOptions, decoder_of
from fftag.workers import Batch, batches


def decoded_batches(
    source: Source,
    plan: Iterable[tuple[int, Sequence[dict[str, Any]]]],
    spec: InputSpec,
    options: TagOptions,
    at_once: int,
) -> Generator[Batch]:
    """Decodes batch after batch: see `fftag.workers.batches`.

    Args:
        source, plan, spec, options: see there.
        at_once: how many batches are scored at once.

    Raises:
        FftagError: decoding processes cannot be started, or the decoder cannot be used here.
    """
    if decoder_of(options) == "cuda":
        from fftag.gpu_decode import batches_on

        return batches_on(choose_devices(options.device)[0].torch, source, plan, spec, options)
    return batches(source, plan, spec, options, batches_held(at_once))
