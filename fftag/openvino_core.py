"""OpenVINO as this process has it: one core for all models, and no telemetry.

Imported, OpenVINO and NNCF report that to their makers over the network, from processes forked for
it, unless a file in the user's home forbids it or the package that does it cannot be imported.
"""

import sys
from functools import cache

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

__all__ = ["core", "openvino"]


@cache
def core() -> openvino.Core:
    """The only one of this process.

    Each core gives the thread that makes it another stack for signals, and takes it back with its
    last model (https://github.com/openvinotoolkit/openvino/pull/11894). Of two that end in the
    order in which they began, the first takes away what the second gives back: the next signal
    kills the process.
    """
    return openvino.Core()
