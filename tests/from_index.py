"""Packages of other releases, from whatever package index pip is set up with."""

import subprocess
import sys
from pathlib import Path

import pytest

UNREACHABLE = ("No matching distribution", "Could not find a version", "NewConnectionError")


def pip_install(*arguments: str, python: str | Path = sys.executable) -> None:
    """`pip install` with these arguments; skips the test where pip reaches no index."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip() or "no word"
        if any(sign in said for sign in UNREACHABLE):
            pytest.skip(f"pip reaches no index for {' '.join(arguments)}")
        pytest.fail(f"pip cannot install {' '.join(arguments)}:\n{said}")
