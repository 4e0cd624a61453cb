"""The models that the app offers."""

from collections.abc import Sequence
from pathlib import Path

from fftag.models.folder import DIGESTS


def model_folders(model: Path | None, runs: Path) -> list[Path]:
    """The model that was given, and those under the folder of runs, the newest first."""
    newest_first = sorted(
        runs.glob(f"*/{DIGESTS}"), key=lambda file: file.stat().st_mtime_ns, reverse=True
    )
    there = [file.parent for file in newest_first]
    if model is None:
        return there
    same = model.resolve()
    return [model, *(folder for folder in there if folder.resolve() != same)]


def names_of(folders: Sequence[Path]) -> list[str]:
    """What to call them: the folder's own name where that tells them apart."""
    short = [folder.name or str(folder) for folder in folders]
    return [
        name if short.count(name) == 1 else str(folder)
        for name, folder in zip(short, folders, strict=True)
    ]
