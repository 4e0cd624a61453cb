"""Progress on standard error: a live bar on a terminal, a plain line now and then elsewhere."""

import sys
from typing import Any

from tqdm import tqdm

PLAIN_SECONDS_BETWEEN_LINES = 15.0


_quiet = False


def be_quiet() -> None:
    """Says and draws nothing from now on: of several processes at one work, one speaks."""
    global _quiet
    _quiet = True


class _Lines:
    """A stream that turns tqdm's carriage returns into lines, for logs."""

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line:
            sys.stderr.write(line + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress(total: int, what: str, unit: str, initial: int = 0, show: bool = True) -> "tqdm[Any]":
    """A progress bar with count, rate and ETA; call `update(n)`, and use it as a context manager.

    Args:
        total: how many units there are in all.
        what: the words before the bar.
        unit: the name of one unit, singular.
        initial: units already done, which do not count towards the rate.
        show: False draws nothing.
    """
    live = sys.stderr.isatty()
    return tqdm(
        total=total,
        disable=_quiet or not show,
        initial=initial,
        desc=what,
        unit=f" {unit}",
        file=sys.stderr if live else _Lines(),
        mininterval=0.2 if live else PLAIN_SECONDS_BETWEEN_LINES,
        maxinterval=10 if live else PLAIN_SECONDS_BETWEEN_LINES,
        dynamic_ncols=live,
        bar_format=None if live else "{desc}: {n_fmt}/{total_fmt} at {rate_fmt}, {remaining} left",
        smoothing=0.1,
    )


def say(message: str) -> None:
    """One line for the person at the terminal, on standard error."""
    if not _quiet:
        print(message, file=sys.stderr, flush=True)
