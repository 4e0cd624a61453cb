"""The pages that `evaluate`, `compare` and `data eda` write, for the app to show."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from fftag.base.errors import FftagError
from fftag.data.eda import write_eda
from fftag.data.manifest import read_manifest
from fftag.evaluation.compare import compare
from fftag.evaluation.compare_page import write_comparison
from fftag.evaluation.evaluate import evaluate_model
from fftag.evaluation.page import PAGE
from fftag.evaluation.predictions import FILE
from fftag.evaluation.runs import load_runs
from fftag.models.folder import load_bundle


def predictions_of(model: Path, split: str) -> Path:
    """The last file that `fftag evaluate` leaves of an evaluation."""
    return model / f"evaluation-{split}" / FILE


def evaluate(model: Path, data: Path, split: str) -> None:
    """Evaluates a model as `fftag evaluate` does.

    Raises:
        FftagError: see `evaluate_model`.
    """
    folder = predictions_of(model, split).parent
    evaluate_model(load_bundle(model), read_manifest(data), split, folder)


def evaluation_page(model: Path, split: str) -> str:
    """The page of a model's evaluation, which is of the model that the folder holds by now.

    Raises:
        FftagError: it is not there, or of another model.
    """
    load_runs([model], split)
    try:
        return predictions_of(model, split).with_name(PAGE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FftagError(
            f"the evaluation has no page that can be read: run `fftag evaluate {model} "
            f"--data DATASET --split {split}` again"
        ) from error


def comparison_page(models: Sequence[Path], split: str) -> str:
    """The page of `fftag compare`.

    Raises:
        FftagError: see `load_runs`.
    """
    with TemporaryDirectory() as folder:
        page, _ = write_comparison(Path(folder), compare(load_runs(models, split)))
        return page.read_text(encoding="utf-8")


def dataset_page(manifest: Path) -> str:
    """The page of `fftag data eda`.

    Raises:
        FftagError: the manifest cannot be read.
    """
    with TemporaryDirectory() as folder:
        page, *_ = write_eda(read_manifest(manifest), Path(folder))
        return page.read_text(encoding="utf-8")
