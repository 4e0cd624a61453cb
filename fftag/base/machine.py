"""What this machine, or the container on it, lets this process have, and keep."""

import ctypes
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/proc/self/cgroup")
CGROUP_ROOT = Path("/sys/fs/cgroup")
# Parameters of mallopt(3), as in <malloc.h> of the GNU C library.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # what it takes on 64 bits
NEVER = 2**31 - 1


def cores() -> int:
    """Processor cores that this process may use, by its affinity and by its control group."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        return max(1, min(count, math.ceil(min(_quotas(), default=math.inf))))
    except (OSError, ValueError, OverflowError):  # nothing that can be read, or no limit
        return count


def memory_limit() -> int | None:
    """Bytes that this process's control group and those above it allow; None for no limit.

    Raises:
        OSError: the groups cannot be read.
        LookupError: there is no control group of memory.
    """
    found = [text for text, _ in _limits("memory", "memory.max", "memory.limit_in_bytes")]
    if not found:
        raise LookupError("no control group of memory to read")
    # Version 1 says a number near 2**63 for none, version 2 says max.
    numbers = [int(text) for text in found if text != "max" and int(text) < 2**60]
    return min(numbers, default=None)


def keep_freed_memory() -> bool:
    """Makes this process reuse what it freed; returns whether the C library can.

    A network on a CPU allocates its activations anew in each pass, and a decoder its rows for each
    photo. By default the GNU C library maps blocks of that size and unmaps them when they are
    freed, and the system clears every page again: docs/performance.md has what that costs. With
    this, blocks of up to 32 MiB stay with the process, which remains as large as it was at its
    largest.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return bool(
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and mallopt(M_TRIM_THRESHOLD, NEVER)
    )


def _quotas() -> Iterator[float]:
    """Cores' worth of time per period, of each group that has a limit."""
    for text, group in _limits("cpu", "cpu.max", "cpu.cfs_quota_us"):
        quota, _, period = text.partition(" ")
        if quota not in ("max", "-1"):
            yield int(quota) / int(period or (group / "cpu.cfs_period_us").read_text())


def _limits(controller: str, file: str, file_of_version_1: str) -> Iterator[tuple[str, Path]]:
    """What a file says in this process's control group and in each above it, and their folders."""
    for line in CGROUPS.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = CGROUP_ROOT, file
        elif controller in controllers.split(","):
            base, name = CGROUP_ROOT / controller, file_of_version_1
        else:
            continue
        own = base / path.lstrip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(base) and (group / name).is_file():
                yield (group / name).read_text().strip(), group
