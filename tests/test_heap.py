import subprocess
import sys

import pytest

from fftag.heap import keep_freed_memory

# Allocates and frees as a network does, and prints how many pages the system had to clear for it.
FAULTS = """
import resource, sys, threading
from fftag.heap import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
import torch

def passes():
    torch.set_num_threads(1)
    for number in range(40):
        if number == 20:
            began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        layer = torch.ones(2**21)
        for _ in range(6):
            layer = layer + 1
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began)

thread = threading.Thread(target=passes)
thread.start()
thread.join()
"""


def faults(how: str) -> int:
    return int(subprocess.check_output([sys.executable, "-c", FAULTS, how], text=True))


def test_what_was_freed_is_used_again() -> None:
    if not keep_freed_memory():
        pytest.skip("another C library than GNU's")
    assert faults("kept") < faults("given back") / 10


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
