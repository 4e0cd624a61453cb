"""Memory that the C library keeps for the next batch instead of giving it back to the system."""

import ctypes
import sys

# Parameters of mallopt(3), as in <malloc.h> of the GNU C library.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # what it takes on 64 bits
NEVER = 2**31 - 1


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
