"""The command line: parse, call one function, print. Heavy imports stay inside the commands."""

import shlex
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from fftag import __version__
from fftag.base.errors import FAILED, INTERRUPTED, FftagError
from fftag.base.progress import say
from fftag.cli import catalogue, data, explaining, looking, merging, tagging, training
from fftag.cli.base import app
from fftag.cli.start import prepare

__all__ = [
    "app",
    "catalogue",
    "data",
    "explaining",
    "looking",
    "main",
    "merging",
    "run_command",
    "tagging",
    "training",
]


def main() -> NoReturn:
    """Makes this process fit for a command, and runs the one that it was given."""
    prepare()
    run_command()


def run_command() -> NoReturn:
    """Runs the command line; an error is one line on standard error, and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except FftagError as error:
        print(f"fftag: {error}", file=sys.stderr)
        if error.exit_code == INTERRUPTED:
            print(f"  {shlex.join(['fftag', *sys.argv[1:]])}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        about = "" if error.filename is None else f"{error.filename}: "
        print(f"fftag: {about}{error.strerror or error}", file=sys.stderr)
        raise SystemExit(FAILED) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:
            say("fftag: interrupted; the same command goes on where this one stopped")
        raise
    raise SystemExit(0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fftag {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass
