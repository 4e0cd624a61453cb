"""A network compiled before a long run: it takes a while, and each photo less time after it."""

from collections.abc import Callable

import torch
from torch import Tensor

from fftag.devices import Device
from fftag.errors import FftagError
from fftag.progress import say

PAYS_FROM = 10_000  # photos; docs/performance.md has what compiling takes and what it saves

Forward = Callable[[Tensor], tuple[Tensor, ...]]


def pays(photos: int, device: Device) -> bool:
    """Whether compiling saves more time than it takes; on an accelerator nobody has measured it."""
    return device.type == "cpu" and photos >= PAYS_FROM


def compiled(forward: torch.nn.Module, shape: tuple[int, ...], device: torch.device) -> Forward:
    """A module compiled for uint8 inputs of one shape, for threads like those of `fftag.replicas`.

    Called with another shape, with a tensor that was not made in inference mode, or by a thread
    with another number of threads to compute with, it compiles itself anew.

    Args:
        forward: in evaluation mode; its weights become constants.
        shape: of its input.
        device: of its weights.

    Raises:
        FftagError: it cannot be compiled here.
    """
    from torch._inductor import config as inductor  # slow to import

    say("compiling the model, which takes up to a minute")
    made: Forward = torch.compile(forward, dynamic=False)
    threads = torch.get_num_threads()
    try:
        if device.type == "cpu":
            torch.set_num_threads(1)
        # Weights become constants: as an option of torch.compile it comes too late for half of it.
        with torch.inference_mode(), inductor.patch(freezing=True):
            made(torch.zeros(shape, dtype=torch.uint8, device=device))
    except Exception as error:
        # The compiler and the tools that it calls raise many kinds of error.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FftagError(
            f"the model cannot be compiled here ({reason}): install a C++ compiler, or use "
            "--no-compile"
        ) from error
    finally:
        torch.set_num_threads(threads)
    return made
