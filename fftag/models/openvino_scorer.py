"""The model on a CPU through OpenVINO: converted by torch once and kept, computed without torch.

Imported, OpenVINO and NNCF report that to their makers over the network, from processes forked for
it, unless a file in the user's home forbids it or the package that does it cannot be imported.
"""

import hashlib
import os
import shutil
import stat
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

from fftag import __version__  # noqa: E402
from fftag.base.errors import FftagError, first_line  # noqa: E402
from fftag.base.machine import cores  # noqa: E402
from fftag.base.progress import say  # noqa: E402
from fftag.models.devices import CPU  # noqa: E402
from fftag.models.folder import Bundle  # noqa: E402
from fftag.models.scorers import Predictions, checked, photos_per_pass  # noqa: E402
from fftag.photos.decode import InputSpec  # noqa: E402

if TYPE_CHECKING:
    from fftag.models.architectures.factory import Classifier

__all__ = ["OpenVinoPredictor", "computes_in_bf16", "convert", "graph_of", "ov", "read_graph"]

DEVICE = "CPU"
VARIABLE = "FFTAG_CACHE"
GRAPH, CONSTANTS, DIGEST = "model.xml", "model.bin", "sha256"
KEPT = 4  # of a few hundred megabytes each for the large ones
BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@cache
def core() -> ov.Core:
    """The only one of this process.

    Each core gives the thread that makes it another stack for signals, and takes it back with its
    last model (https://github.com/openvinotoolkit/openvino/pull/11894). Of two that end in the
    order in which they began, the first takes away what the second gives back: the next signal
    kills the process.
    """
    return ov.Core()


def read_graph(xml: Path) -> ov.Model:
    """A graph that was saved.

    Raises:
        FftagError: it cannot be read.
    """
    try:
        return core().read_model(xml)
    except RuntimeError as error:
        raise FftagError(
            f"{xml} cannot be read ({str(error).splitlines()[-1]}): run `fftag quantize` again"
        ) from error


def computes_in_bf16() -> bool:
    """Whether this CPU has instructions for bf16, as OpenVINO sees it."""
    return "BF16" in core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")


class OpenVinoPredictor:
    """A graph on all cores, each computing some photos at a time.

    See `fftag.models.torch_scorer.Predictor`.
    """

    def __init__(self, graph: ov.Model, spec: InputSpec, precision: str) -> None:
        """Compiles the graph.

        Args:
            graph: uint8 [1, height, width, 3] -> scores, embedding, logits; it is changed.
            spec: the model's input.
            precision: `fp32` or `bf16`, of what is not quantised.
        """
        self.device = CPU
        self.spec = spec
        self.precision = precision
        self._count = photos_per_pass(spec)
        graph.reshape([self._count, spec.height, spec.width, 3])
        self._compiled = core().compile_model(
            graph,
            DEVICE,
            {
                "NUM_STREAMS": cores(),
                "INFERENCE_NUM_THREADS": cores(),
                "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            },
        )
        self._own = threading.local()

    def __call__(self, photos: np.ndarray) -> Predictions:
        """Scores photos; several threads may call at a time.

        Args:
            photos: uint8 [batch, height, width, 3], at the model's input size.

        Raises:
            FftagError: a score is not finite.
        """
        request = self._request()
        outputs = self._compiled.outputs
        arrays = [np.empty((len(photos), output.shape[1]), np.float32) for output in outputs]
        for first in range(0, len(photos), self._count):
            some = photos[first : first + self._count]
            found = request.infer({0: self._filled(some)}, share_inputs=True)
            for array, output in zip(arrays, outputs, strict=True):
                array[first : first + len(some)] = found[output][: len(some)]
        return checked(Predictions(*arrays), self.precision)

    def _filled(self, photos: np.ndarray) -> np.ndarray:
        """As many photos as the graph takes; black ones behind those that are given."""
        missing = self._count - len(photos)
        return np.pad(photos, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else photos

    def _request(self) -> ov.InferRequest:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        return self._own.request


def convert(model: "Classifier", spec: InputSpec) -> ov.Model:
    """A torch model, in evaluation mode on the CPU, as an OpenVINO graph for one photo.

    Raises:
        FftagError: OpenVINO lacks an operation of the network.
    """
    import torch  # what reads a kept graph does without

    from fftag.models.torch_scorer import Deployed

    example = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that OpenVINO does not know
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that are constants in the trace: they are
            traced = torch.jit.trace(Deployed(model, spec).eval(), example, check_trace=False)
            graph = ov.convert_model(traced, example_input=example)
    except Exception as error:
        # The converter raises many kinds of error.
        raise FftagError(
            f"OpenVINO cannot convert this network ({first_line(error)}): add --backend torch"
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    graph.reshape(list(example.shape))
    return graph


def graph_of(bundle: Bundle) -> ov.Model:
    """A model as an OpenVINO graph: one kept from an earlier run, else converted, and kept.

    Raises:
        FftagError: the weights do not fit the config, or OpenVINO cannot convert the network.
    """
    versions = (__version__, ov.__version__, version("torch"))
    key = hashlib.sha256("\n".join((bundle.scores_id, *versions)).encode()).hexdigest()[:32]
    folders = [folder / "openvino" / key for folder in cache_folders()]
    for folder in folders:
        try:
            if not _is_kept(folder, bundle):
                continue
            graph = read_graph(folder / GRAPH)
        except (OSError, FftagError) as error:
            say(f"the network in {folder} is not used, and converted anew: {first_line(error)}")
        else:
            with suppress(OSError):  # another user's, or on a disk that is read only
                os.utime(folder)  # the least recently used go first
            return graph
    graph = convert(bundle.build(), bundle.config.input)
    for folder in folders:
        try:
            _keep(graph, folder, bundle)
            return graph
        except (OSError, RuntimeError) as error:  # OpenVINO's own, where a disk is full
            reason = first_line(error)
    say(
        f"the converted network is not kept for the next run ({reason}): set {VARIABLE} to a "
        "folder that can be written"
    )
    return graph


def cache_folders() -> Iterator[Path]:
    """Where networks are kept: $FFTAG_CACHE, and the user's own: $XDG_CACHE_HOME/fftag, else
    ~/.cache/fftag."""
    if given := os.environ.get(VARIABLE):
        yield Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    yield (Path(base) if base else Path.home() / ".cache") / "fftag"


def _is_kept(folder: Path, bundle: Bundle) -> bool:
    """Whether a network is kept there, whole, by somebody who could change the model as well.

    That is this user, root, or whom the model folder belongs to: where others can write, they
    could put any network there, with a digest that fits.

    Raises:
        FftagError: there is one that is damaged, or that others could have written.
        OSError: it cannot be read.
    """
    trusted = {0, os.geteuid(), bundle.path.stat().st_uid}
    try:
        for path in (folder, *(folder / name for name in (GRAPH, CONSTANTS, DIGEST))):
            found = path.lstat()
            if found.st_uid not in trusted or found.st_mode & BY_OTHERS:
                raise FftagError(f"others than its user and the model's can write {path}")
    except FileNotFoundError:
        return False
    if (folder / DIGEST).read_text() != _digest(folder):
        raise FftagError("it is not what was kept")
    return True


def _digest(folder: Path) -> str:
    """SHA-256 of a network, and of which it is: by the name of the folder."""
    sha = hashlib.sha256(folder.name.encode())
    for name in (GRAPH, CONSTANTS):
        with (folder / name).open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()


def _keep(graph: ov.Model, folder: Path, bundle: Bundle) -> None:
    """Saves a graph whole or not at all, and removes those that were used least recently."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as name:
        made = Path(name) / folder.name
        made.mkdir()
        ov.save_model(graph, made / GRAPH, compress_to_fp16=False)
        (made / DIGEST).write_text(_digest(made))
        for path in (made, *made.iterdir()):
            path.chmod(path.stat().st_mode & ~BY_OTHERS)
        with suppress(FftagError):  # of what is damaged
            if _is_kept(folder, bundle):  # by another run, meanwhile
                return
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    kept = [one for one in folder.parent.iterdir() if not one.name.startswith(".")]
    for old in sorted(kept, key=lambda one: one.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
