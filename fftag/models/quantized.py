"""The int8 form of a model: a folder inside the model folder, with what it was found to cost."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fftag.base.errors import FftagError
from fftag.models.folder import DIGESTS, Bundle, digest_line

FOLDER = "int8"
GRAPH = "model.xml"
CONSTANTS = "model.bin"
REPORT = "quantization.json"
FILES = (REPORT, GRAPH, CONSTANTS)


@dataclass(frozen=True)
class Quantized:
    """An int8 model whose digests have been checked.

    Attributes:
        graph: its OpenVINO graph; the constants lie beside it.
        scores_id: SHA-256 of the files.
        report: how it was made, and how it agrees with the model.
    """

    graph: Path
    scores_id: str
    report: dict[str, Any]


def load_quantized(bundle: Bundle) -> Quantized:
    """The int8 form of a model.

    Raises:
        FftagError: there is none, a file is not the one that was saved, or it is of other weights.
    """
    folder = bundle.path / FOLDER
    if not (folder / DIGESTS).is_file():
        raise FftagError(
            f"{bundle.path} has no int8 form: make it with `fftag quantize {bundle.path} "
            "--data dataset.parquet`, or use --tier fast"
        )
    sums = (folder / DIGESTS).read_text(encoding="utf-8", errors="replace")
    for name in FILES:
        if not (folder / name).is_file() or digest_line(folder / name) not in sums:
            raise FftagError(
                f"{folder / name} is not the file that was saved: run `fftag quantize` again"
            )
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    if report["of"] != bundle.scores_id:
        raise FftagError(f"{folder} is of other weights: run `fftag quantize` again")
    return Quantized(folder / GRAPH, hashlib.sha256(sums.encode()).hexdigest(), report)
