"""What this machine, or the container on it, lets this process have."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/proc/self/cgroup")
CGROUP_ROOT = Path("/sys/fs/cgroup")


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
