"""Packages of other releases, from whatever package index pip is set up with."""

import subprocess
import sys
from pathlib import Path

import pytest


def pip_install(*arguments: str, python: str | Path = sys.executable) -> None:
    """`pip install` with these arguments; skips the test where pip reaches no index."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or "no word").splitlines()[-1]
        pytest.skip(f"pip cannot install {' '.join(arguments)}: {last}")
