"""A model over the photos of a manifest: scores, and what they are worth."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fftag.base.atomic import Kind, has_keys, make_folder, write_text
from fftag.base.page import Section
from fftag.base.text_table import text_table
from fftag.data.manifest import Manifest
from fftag.evaluation import page as evaluation_page
from fftag.evaluation.predictions import FILE, About, write_predictions
from fftag.evaluation.results import judge
from fftag.evaluation.score_split import score_split
from fftag.models.devices import choose_device
from fftag.models.folder import Bundle, ModelConfig
from fftag.models.scorers import choose_arithmetic, open_scorer

FIGURES = Kind("the figures of an evaluation", has_keys("overall", "per_label"))
HEADLINES = {
    "subset_accuracy": "subset accuracy",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "CF1": "CF1",
    "mAP": "mAP",
    "lrap": "label-ranking AP",
}


@dataclass(frozen=True)
class Evaluated:
    """Which photos were evaluated, and by which model.

    Attributes:
        images: names of the photos, in order.
        files: where they lie.
        model_id: of the model folder.
        data_fingerprint: of the manifest.
    """

    images: Sequence[str]
    files: Sequence[Path]
    model_id: str
    data_fingerprint: str


def evaluate_model(
    bundle: Bundle,
    manifest: Manifest,
    split: str,
    out: Path,
    device: str = "auto",
    workers: int = 2,
    resamples: int | None = None,
    tier: str = "fast",
    further: Sequence[Section] = (),
) -> dict[str, Any]:
    """Scores one split of a manifest and writes the evaluation: see `write_evaluation`.

    Args:
        bundle: the model.
        manifest: photos and their true labels, all of which the model must know.
        split: `train`, `val`, `test` or `all`.
        out: folder to write to.
        device: see `fftag.models.devices.choose_device`.
        workers: decoding processes.
        resamples: for the intervals; see `fftag.evaluation.intervals.bootstrap`.
        tier: see `fftag.models.scorers.choose_arithmetic`.
        further: parts of the page on what else was measured.

    Raises:
        FftagError: the manifest has labels that the model does not know, or no such split, or
            photos are missing or cannot be read.
    """
    on = choose_device(device)
    scorer = open_scorer(bundle, choose_arithmetic(tier, "auto", on), on)
    scored = score_split(bundle, manifest, split, scorer, workers, show=True)
    of = Evaluated(
        images=scored.photos.images,
        files=scored.photos.files,
        model_id=bundle.model_id,
        data_fingerprint=manifest.fingerprint,
    )
    targets, scores = scored.targets, scored.predictions.scores
    return write_evaluation(out, bundle.config, targets, scores, split, of, resamples, further)


def write_evaluation(
    out: Path,
    config: ModelConfig,
    targets: np.ndarray,
    scores: np.ndarray,
    split: str,
    of: Evaluated | None = None,
    resamples: int | None = None,
    further: Sequence[Section] = (),
) -> dict[str, Any]:
    """Writes `metrics.json`, `evaluation.html` and its figures, and `predictions.parquet`.

    Args:
        out: folder.
        config: the model's labels, thresholds and training prevalence.
        targets: uint8 [photos, labels].
        scores: float32 [photos, labels].
        split: its name, for the page.
        of: names the photos, for `predictions.parquet` and the thumbnails; None leaves both out.
        resamples: for the intervals.
        further: parts of the page on what else was measured.

    Returns:
        The content of `metrics.json`.
    """
    results = judge(config, targets, scores, of.files if of else (), resamples)
    content = {"split": split, **results.to_json()}
    make_folder(out)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(out / "metrics.json", text + "\n", FIGURES)
    title = f"{config.architecture}: evaluation on split {split}"
    evaluation_page.write(out, title, results, further)
    if of is not None:
        about = About.of(config, of.model_id, split, of.data_fingerprint)
        # Last: where it stands, the rest of the evaluation stands too.
        write_predictions(out / FILE, about, of.images, targets, scores)
    return content


def summary_lines(content: dict[str, Any], folder: Path) -> list[str]:
    """The headline figures with 95 % intervals beside the baselines, as aligned lines."""
    columns = {name: content["baselines"][name]["overall"] for name in ("chance", "best_constant")}
    heads = ["", "model (95 %)", *(name.replace("_", " ") for name in columns)]
    rows = [
        [
            title,
            _with_interval(content["overall"][key], content["intervals"][key]),
            *(_percent(overall[key]) for overall in columns.values()),
        ]
        for key, title in HEADLINES.items()
    ]
    made = content["bootstrap"]
    return [
        f"{int(content['overall']['photos']):,} photos of split {content['split']}",
        *text_table(heads, rows, [False, *[True] * (len(heads) - 1)]),
        f"95 %: {made['method']}, {made['resamples']:,} resamples",
        f"page: {folder / 'evaluation.html'}",
    ]


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.1%}"


def _with_interval(value: float | None, interval: list[float] | None) -> str:
    if interval is None:
        return _percent(value)
    return f"{_percent(value)} ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})"
