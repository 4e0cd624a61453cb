"""What an interrupted training goes on from; removed once the model folder is whole."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from fftag.base.atomic import make_folder, replacing
from fftag.base.errors import FftagError
from fftag.models.folder import refuse_other_folder
from fftag.training.processes import Processes

FILE = "checkpoint.pt"


@dataclass
class Checkpoint:
    """The state at the end of an epoch.

    Attributes:
        identity: what must be the same to go on: recipe, data, epochs and steps.
        history: one dict of figures per finished epoch.
        best_epoch: index into `history`, -1 before the first.
        best_state: the weights of that epoch.
        state: weights, optimizer, schedule and scaler after the last finished epoch.
    """

    identity: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Writes it atomically."""
        with replacing(folder / FILE) as temporary:
            torch.save(vars(self), temporary)


def begin_or_resume(
    folder: Path, identity: dict[str, Any], restart: bool, processes: Processes
) -> Checkpoint:
    """The checkpoint that an interrupted run of the same kind left, or a new one.

    Args:
        folder: of the run.
        identity: see `Checkpoint`.
        restart: throw away what is there.
        processes: who trains; the first prepares the folder for all.

    Raises:
        FftagError: what is there is finished, or of a run with another recipe or other data.
    """
    if processes.first:
        _prepare(folder, restart)
    processes.wait()
    file = folder / FILE
    if not file.exists():
        return Checkpoint(identity)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # A file that is no checkpoint fails in many ways, deep inside the reader.
        raise FftagError(f"{file} cannot be read: add --restart to train anew") from error
    if not isinstance(content, dict) or set(content) != {one.name for one in fields(Checkpoint)}:
        raise FftagError(f"{file} is no checkpoint of a training: add --restart to train anew")
    differing = [key for key, value in identity.items() if content["identity"].get(key) != value]
    if differing:
        raise FftagError(
            f"an interrupted training in {folder} had another {' and '.join(differing)}: "
            "run it as it was, or add --restart to train anew"
        )
    return Checkpoint(**content)


def _prepare(folder: Path, restart: bool) -> None:
    file = folder / FILE
    make_folder(folder)
    if restart:
        refuse_other_folder(folder)
        file.unlink(missing_ok=True)
    elif not file.exists() and any(folder.iterdir()):
        raise FftagError(
            f"{folder} is not empty: choose another --out, or add --restart to train anew there"
        )
