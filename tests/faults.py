"""Faults: photos that kill, hang or exhaust whoever decodes them; runs that die between parts."""

from pathlib import Path

import pyarrow as pa
import pytest
from tagged import aged

from fftag.models.folder import Bundle
from fftag.photos.sources.local import Folder
from fftag.tagging.options import TagOptions
from fftag.tagging.parts import Parts
from fftag.tagging.tag import tag

MARK = b"FAULT:"
FAULTS = {  # what a photo's mark does -> the status that its row must get
    "segfault": "crashed",
    "killed": "crashed",
    "exits": "crashed",
    "raises": "crashed",
    "hangs": "timeout",
    "eats_memory": "too_large",
    "crashes_once": "ok",
    "slow": "ok",
}
# Python imports a module of this name at its start. It is for the decoding processes alone.
SITE = """
import sys
if "fftag.photos.pool_child" in sys.orig_argv:
    import ctypes, os, signal, time
    import fftag.photos.decode, fftag.photos.record
    from pathlib import Path

    ONCE = Path(__file__).with_name("crashed")
    decode, to_rgb = fftag.photos.record.decode, fftag.photos.decode.to_rgb
    greedy = False

    def eats_memory(*image):
        if not greedy:
            return to_rgb(*image)
        held = []
        while True:
            held.append(bytearray(2**26))

    def faulty(data, spec, limits, exact):
        global greedy
        at = data.rfind(b"FAULT:")
        fault = data[at + 6 :].decode() if at >= 0 else ""
        greedy = fault == "eats_memory"
        if fault == "segfault" or fault == "crashes_once" and not ONCE.exists():
            ONCE.touch()
            ctypes.string_at(0)
        elif fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "kills_scorer":
            os.kill(os.getppid(), signal.SIGKILL)
        elif fault == "exits":
            os._exit(0)
        elif fault == "raises":
            sys.stderr = open(os.devnull, "w")
            raise RuntimeError("a decoder with a bug")
        elif fault == "slow":
            time.sleep(0.1)
        elif fault == "hangs":
            time.sleep(3600)
        return decode(data, spec, limits, exact)

    fftag.photos.record.decode, fftag.photos.decode.to_rgb = faulty, eats_memory
"""
BROKEN_SITE = """
import sys
if "fftag.photos.pool_child" in sys.orig_argv:
    import os
    os._exit(7)
"""


def install(folder: Path, site: str = SITE) -> str:
    """Writes the module; returns the PYTHONPATH with which processes find it."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(site)
    return str(folder)


def afflict(path: Path, fault: str) -> None:
    """Marks a photo behind its end, where no decoder looks."""
    path.write_bytes(path.read_bytes() + MARK + fault.encode())


def stopped_after_parts(
    root: Path, out: Path, bundle: Bundle, count: int, options: TagOptions
) -> None:
    """Leaves what a run leaves that is killed after so many parts; its photos are old ones."""
    aged(root)
    write, written = Parts.write, 0

    def write_then_die(self: Parts, rows: pa.Table) -> None:
        nonlocal written
        if written == count:
            raise KeyboardInterrupt
        written += 1
        write(self, rows)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Parts, "write", write_then_die)
        tag(Folder(root), out, bundle, options)


def parts_of(out: Path) -> list[Path]:
    """The files of parts that lie beside an output."""
    return sorted(out.with_name(f"{out.name}.parts").glob("*/part-*.parquet"))
