"""What a container allows counts, not what the machine around it has; memory is used again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fftag.base import machine


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of control groups, on a machine of eight cores."""
    monkeypatch.setattr(machine, "CGROUP_ROOT", tmp_path)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("own", "above", "cores"),
    [("200000 100000", None, 2), ("150000 100000", None, 2), ("max 100000", None, 8),
     ("max 100000", "300000 100000", 3), ("1000 100000", "max 100000", 1),
     ("9900000 100000", None, 8)],
)  # fmt: skip
def test_cores_in_a_container(groups: Path, own: str, above: str | None, cores: int) -> None:
    write(groups / "own", "0::/pod/box\n")
    write(groups / "pod/box/cpu.max", own + "\n")
    if above:
        write(groups / "pod/cpu.max", above + "\n")
    assert machine.cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("250000", 3), ("-1", 8)])
def test_cores_with_the_older_control_groups(groups: Path, quota: str, cores: int) -> None:
    write(groups / "own", "5:memory:/\n3:cpu,cpuacct:/box\n")
    write(groups / "cpu/box/cpu.cfs_quota_us", quota + "\n")
    write(groups / "cpu/box/cpu.cfs_period_us", "100000\n")
    assert machine.cores() == cores


def test_without_control_groups_the_affinity_counts(groups: Path) -> None:
    assert machine.cores() == 8
    write(groups / "own", "0::/\n")
    assert machine.cores() == 8
    write(groups / "cpu.max", "strange\n")
    assert machine.cores() == 8


def test_the_smallest_memory_limit_counts(groups: Path) -> None:
    write(groups / "own", "0::/pod/box\n")
    with pytest.raises(LookupError):
        machine.memory_limit()
    write(groups / "pod/box/memory.max", "max\n")
    assert machine.memory_limit() is None
    write(groups / "pod/memory.max", "1048576\n")
    write(groups / "memory.max", "4194304\n")
    assert machine.memory_limit() == 1048576


# Allocates and frees as a network does, and prints how many pages the system had to clear for it.
FAULTS = """
import resource, sys, threading
from fftag.base.machine import keep_freed_memory
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
    if not machine.keep_freed_memory():
        pytest.skip("another C library than GNU's")
    assert faults("kept") < faults("given back") / 10


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not machine.keep_freed_memory()
