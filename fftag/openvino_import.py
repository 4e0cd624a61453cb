"""OpenVINO, without its telemetry: fftag tells nobody of its use.

Imported, OpenVINO and NNCF report that to their makers over the network, from processes forked for
it, unless a file in the user's home forbids it or the package that does it cannot be imported.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

__all__ = ["openvino"]
