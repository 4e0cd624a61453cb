"""Networks in OpenVINO's form, kept between runs: converting one takes seconds of every start."""

import hashlib
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from fftag import __version__
from fftag.bundle import Bundle
from fftag.errors import FftagError
from fftag.openvino_backend import read_graph
from fftag.openvino_core import openvino as ov
from fftag.progress import say

VARIABLE = "FFTAG_CACHE"
GRAPH = "model.xml"
KEPT = 4  # of a few hundred megabytes each for the large ones


def cache_folder() -> Path:
    """Where networks are kept: $FFTAG_CACHE, else $XDG_CACHE_HOME/fftag, else ~/.cache/fftag."""
    if own := os.environ.get(VARIABLE):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fftag"


def graph_of(bundle: Bundle) -> ov.Model:
    """A model as an OpenVINO graph: the one kept from an earlier run, else converted, and kept.

    Raises:
        FftagError: the weights do not fit the config, or OpenVINO cannot convert the network.
    """
    versions = (__version__, ov.__version__, version("torch"))
    key = hashlib.sha256("\n".join((bundle.scores_id, *versions)).encode()).hexdigest()[:32]
    kept = cache_folder() / "openvino" / key
    if (kept / GRAPH).is_file():
        try:
            graph = read_graph(kept / GRAPH)
            os.utime(kept)  # the least recently used go first
            return graph
        except (FftagError, OSError):
            say(f"{kept} cannot be read: the network is converted anew")
            shutil.rmtree(kept, ignore_errors=True)
    from fftag.openvino_convert import convert

    graph = convert(bundle.build(), bundle.config.input)
    try:
        _keep(graph, kept)
    except (OSError, RuntimeError) as error:  # OpenVINO's own, where a disk is full
        say(
            f"the converted network is not kept for the next run ({_first(error)}): set "
            f"{VARIABLE} to a folder that can be written"
        )
    return graph


def _keep(graph: ov.Model, folder: Path) -> None:
    """Saves a graph whole or not at all, and removes those that were used least recently."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as name:
        made = Path(name) / folder.name
        made.mkdir()
        ov.save_model(graph, made / GRAPH, compress_to_fp16=False)
        if not folder.exists():
            made.rename(folder)
    kept = [one for one in folder.parent.iterdir() if not one.name.startswith(".")]
    for old in sorted(kept, key=lambda one: one.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
