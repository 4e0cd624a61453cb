"""What computes, by the names that a user gives it.

A run that OpenVINO computes has no need of torch, which takes a second to import: nor has this.
"""

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fftag.base.errors import FftagError, first_line

if TYPE_CHECKING:
    import torch

DRIVERS = ("libcuda.so.1", "/dev/kfd")  # of NVIDIA's GPUs, and of AMD's, on Linux


@dataclass(frozen=True)
class Device:
    """What computes.

    Attributes:
        name: as torch names it, such as `cpu` or `cuda:1`.
    """

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def type(self) -> str:
        """`cpu`, `cuda` or `mps`."""
        return self.name.partition(":")[0]

    @property
    def torch(self) -> "torch.device":
        """It for torch."""
        import torch

        return torch.device(self.name)


CPU = Device("cpu")


def choose_device(name: str = "auto") -> Device:
    """`auto` (CUDA, then Apple's GPU, then the CPU) or a device by name, such as `cuda:1`.

    Raises:
        FftagError: the device is not there.
    """
    if name == "cpu" or (name == "auto" and not _may_have_accelerator()):
        return CPU
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return Device("cuda")
        return Device("mps") if torch.backends.mps.is_available() else CPU
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first = first_line(error)
        raise FftagError(f"device {name!r} cannot be used ({first}): try --device cpu") from error
    return Device(str(device))


def _may_have_accelerator() -> bool:
    """Whether torch is worth asking for one: on Linux, where a driver is there."""
    if sys.platform != "linux" or "torch" in sys.modules:
        return True
    library, file = DRIVERS
    try:
        ctypes.CDLL(library)
    except OSError:
        return Path(file).exists()
    return True


def choose_devices(names: str = "auto") -> list[Device]:
    """Devices by name, such as `cuda:0,cuda:1`; `all` means each CUDA device.

    Args:
        names: separated by commas; one of them alone as in `choose_device`.

    Raises:
        FftagError: one is not there, or they are of different kinds, whose scores differ.
    """
    if names == "all":
        import torch

        count = torch.cuda.device_count()
        if not count:
            raise FftagError("--device all means each CUDA device, and there is none: leave it out")
        return [Device(f"cuda:{number}") for number in range(count)]
    devices = [choose_device(name.strip()) for name in names.split(",")]
    if len({device.type for device in devices}) > 1:
        raise FftagError(
            f"--device {names} names devices of different kinds, which do not compute the same "
            "scores: name those of one kind"
        )
    return devices


def default_batch_size(device: Device) -> int:
    """Photos per batch: few on a CPU, where a batch is what one core works off."""
    return 16 if device.type == "cpu" else 128
