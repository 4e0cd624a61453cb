"""Ctrl-C and SIGTERM: what is in hand is finished first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fftag.base.progress import say


class Interruption:
    """Whether the user or a service manager asked the run to stop."""

    asked = False


@contextmanager
def deferred() -> Iterator[Interruption]:
    """Inside the block, the first SIGINT or SIGTERM is noted, and a second one stops at once.

    Python allows handlers in the main thread alone; elsewhere nothing is deferred.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def note(number: int, frame: FrameType | None) -> None:
        if interruption.asked:
            raise KeyboardInterrupt
        interruption.asked = True
        say("finishing the batch in hand; once more stops at once")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
