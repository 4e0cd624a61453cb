"""What every source of photos offers: a listing, and the bytes of one file of it."""

import errno
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from fftag.photos.decode import Failure
from fftag.photos.listing import Listing, Selection

T = TypeVar("T")

TRIES = 4
FIRST_PAUSE = 0.2  # seconds; doubled after each try
NETWORK_ERRORS = {
    getattr(errno, name)
    for name in (
        "ESTALE", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENETRESET",
        "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "ENOTCONN", "ESHUTDOWN", "EREMOTEIO",
    )
    if hasattr(errno, name)
}  # fmt: skip
NETWORK = "network: "  # begins the error of a file that the next run reads again in any case


class Content(NamedTuple):
    """What was read of one file.

    Attributes:
        data: its bytes; one more than the limit asked for where it is larger than that.
        size: of the file as it was opened, in bytes.
        modified_ns: likewise, since the epoch; None where the source does not know.
    """

    data: bytes
    size: int
    modified_ns: int | None


class Reader(Protocol):
    """Reads files of one source, in one process; keeps open what is worth keeping open."""

    def read(self, entry: dict[str, Any], limit: int) -> Content | Failure:
        """Reads one listed file, once; never raises for what is wrong with the file.

        Args:
            entry: its row of the listing.
            limit: in bytes; no more than `limit + 1` are read.
        """
        ...

    def close(self) -> None:
        """Gives up what it keeps open."""
        ...


class Source(Protocol):
    """Where photos come from. A source is small and can be pickled; its readers need not be."""

    @property
    def name(self) -> str:
        """As the user gave it."""
        ...

    def list(self, selection: Selection = Selection()) -> Listing:
        """Lists every file to tag.

        Raises:
            FftagError: the source is missing, cannot be read, or holds no file to tag.
        """
        ...

    def reader(self) -> Reader:
        """A reader for the process that calls."""
        ...


def retried(
    read: Callable[[], T],
    passes: Callable[[Exception], bool],
    tries: int = TRIES,
    seconds: float = math.inf,
) -> T:
    """Calls `read` until it succeeds, some times, with longer and longer pauses.

    Args:
        read: what to call.
        passes: whether an error may pass by itself; others are raised at once.
        tries: how often at most.
        seconds: after which no further try begins.
    """
    until = time.monotonic() + seconds
    for attempt in range(tries - 1):
        try:
            return read()
        except Exception as error:
            if not passes(error) or time.monotonic() > until:
                raise
        time.sleep(FIRST_PAUSE * 2**attempt)
    return read()


def is_of_network(error: Exception) -> bool:
    """Whether an error of the operating system is of a share that does not answer."""
    return isinstance(error, OSError) and error.errno in NETWORK_ERRORS


def may_pass(error: Exception) -> bool:
    """Whether an error of the operating system may pass by itself; EIO may be a broken disk."""
    passing = (errno.EIO, errno.EAGAIN)
    return is_of_network(error) or (isinstance(error, OSError) and error.errno in passing)
