"""int8: calibrated on training photos, measured beside fp32 on others, kept if it agrees."""

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from fftag.base.atomic import write_text
from fftag.base.errors import FftagError
from fftag.base.progress import say
from fftag.data.manifest import Manifest, check_files
from fftag.data.photos import Photos, batches
from fftag.evaluation.metrics import overall
from fftag.evaluation.score_split import BATCH_SIZE, score_split, split_photos
from fftag.models.devices import CPU
from fftag.models.folder import (
    DIGESTS,
    INT8_CONSTANTS,
    INT8_FILES,
    INT8_FOLDER,
    INT8_GRAPH,
    INT8_REPORT,
    Bundle,
    digest_line,
)
from fftag.models.scorers import Arithmetic, Predictions, Scorer, Screened, open_scorer

# What an activation is taken to range over: the extremes that calibration saw of it, or the mean of
# each photo's. Extremes cut nothing off; where a few photos have outliers, they leave all others
# few steps. By NNCF's names for them.
RANGES = ("MINMAX", "MEAN_MINMAX")


def quantize(
    bundle: Bundle,
    manifest: Manifest,
    split: str = "val",
    photos: int = 300,
    max_drop: float = 0.01,
    seed: int = 0,
    workers: int = 2,
) -> dict[str, Any]:
    """Adds the int8 form to a model folder, and returns its report.

    Args:
        bundle: the model.
        manifest: its training split calibrates.
        split: what fp32 and int8 are compared on.
        photos: how many to calibrate on, drawn from the training split.
        max_drop: of macro-F1 from fp32 to int8; nothing is kept where it falls by more.
        seed: of the draw.
        workers: decoding processes.

    Raises:
        FftagError: OpenVINO or NNCF is missing, the manifest has other labels or lacks a split, a
            photo cannot be read, or int8 costs too much.
    """
    for package in ("openvino", "nncf"):
        if find_spec(package) is None:
            raise FftagError(f"{package} is not installed: pip install 'fftag[openvino]'")
    from fftag.models.openvino_scorer import OpenVinoPredictor, computes_in_bf16, convert

    config = bundle.config
    calibrating = split_photos(bundle, _drawn(manifest.of_split("train"), photos, seed))
    compared = manifest.of_split(split)
    check_files(compared)
    model = bundle.build()
    graph = convert(model, config.input)
    exact = open_scorer(bundle, Arithmetic("torch", "fp32"), CPU)
    half = "bf16" if computes_in_bf16() else "fp32"
    say(f"calibrating on {len(calibrating):,} photos, in {len(RANGES)} ways")
    pixels = list(_pixels(calibrating, workers))
    wanted = _tags(exact, pixels, bundle)
    made, scorers, alike = {}, {}, {}
    for ranges in RANGES:
        made[ranges] = _quantized(graph.clone(), pixels, _has_attention(model), ranges)
        scorers[ranges] = OpenVinoPredictor(made[ranges].clone(), config.input, half)
        alike[ranges] = tags_alike(wanted, _tags(scorers[ranges], pixels, bundle))
    best = max(alike, key=lambda ranges: alike[ranges])
    int8: Scorer = scorers[best]
    if bundle.screen is not None:
        int8 = Screened(int8, bundle.screen)
    report = {
        "of": bundle.scores_id,
        "calibrated_on": len(calibrating),
        "seed": seed,
        "ranges": best,
        "tags_agreeing_in_calibration": alike,
        **compare_scorers(bundle, compared, {"fp32": exact, "int8": int8}, workers),
        "versions": _versions(),
    }
    drop = report["macro_f1"]["fp32"] - report["macro_f1"]["int8"]
    if drop > max_drop:
        raise FftagError(
            f"int8 costs {drop:.4f} of macro-F1 on the {split} split ({agreement_line(report)}), "
            f"more than the {max_drop:g} allowed: nothing was written; calibrate on more --photos, "
            "accept it with --max-drop, or stay with --tier fast"
        )
    _save(bundle.path / INT8_FOLDER, made[best], report)
    return report


def compare_scorers(
    bundle: Bundle, manifest: Manifest, scorers: dict[str, Scorer], workers: int
) -> dict[str, Any]:
    """The first scorer's tags beside the second's, at the model's thresholds.

    Returns:
        `photos`; of all photo-label pairs, the share decided alike (`pairs_agreeing`); of all tags
        that either gives, the share that both give (`tags_agreeing`); the share of photos with the
        same tags (`photos_agreeing`); and by name of the scorer `macro_f1`, `micro_f1`, `mAP`. With
        scorers that screen photos, also what `compare_apparel` gives.
    """
    scored = {
        name: score_split(bundle, manifest, "all", scorer, workers, show=True)
        for name, scorer in scorers.items()
    }
    targets = next(iter(scored.values())).targets
    predicted = {name: one.predictions for name, one in scored.items()}
    found = {name: one.scores for name, one in predicted.items()}
    one, other = (scores >= bundle.thresholds for scores in found.values())
    figures = {
        name: overall(targets, (scores >= bundle.thresholds).astype(np.uint8), scores)
        for name, scores in found.items()
    }
    return {
        "photos": len(targets),
        "pairs_agreeing": float((one == other).mean()),
        "tags_agreeing": tags_alike(one, other),
        "photos_agreeing": float((one == other).all(axis=1).mean()),
        **{
            metric: {name: figures[name][metric] for name in figures}
            for metric in ("macro_f1", "micro_f1", "mAP")
        },
        **compare_apparel(bundle, *predicted.values()),
    }


def tags_alike(one: np.ndarray, other: np.ndarray) -> float:
    """Of all tags that either gives, the share that both give; bool [photos, labels] each."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def compare_apparel(bundle: Bundle, one: Predictions, other: Predictions) -> dict[str, float]:
    """The screen's word on the same photos, by two scorers.

    Returns:
        The share of photos with the same `is_apparel` (`apparel_agreeing`), and how far the score
        moves on average and at most (`apparel_moved`, `apparel_moved_most`); nothing where the
        model has no screen, or the scorers do not use it.
    """
    screen = bundle.screen
    if screen is None or one.apparel is None or other.apparel is None:
        return {}
    moved = np.abs(one.apparel.astype(np.float64) - other.apparel)
    alike = screen.is_apparel(one.apparel) == screen.is_apparel(other.apparel)
    return {
        "apparel_agreeing": float(alike.mean()),
        "apparel_moved": float(moved.mean()),
        "apparel_moved_most": float(moved.max()),
    }


def agreement_line(report: dict[str, Any]) -> str:
    """The comparison in a line."""
    return (
        f"{report['pairs_agreeing']:.2%} of decisions, {report['tags_agreeing']:.1%} of tags and "
        f"{report['photos_agreeing']:.1%} of {report['photos']:,} photos agree"
    )


def report_lines(bundle: Bundle, report: dict[str, Any]) -> list[str]:
    """What a user wants to know of the int8 form."""
    figures = ", ".join(
        f"{name} {report[metric]['fp32']:.1%} -> {report[metric]['int8']:.1%}"
        for metric, name in (("macro_f1", "macro-F1"), ("micro_f1", "micro-F1"), ("mAP", "mAP"))
    )
    lines = [
        f"int8 form: {bundle.path / INT8_FOLDER}, used by --tier int8",
        f"  beside fp32  {agreement_line(report)}",
        f"  fp32 -> int8 {figures}",
    ]
    if "apparel_agreeing" in report:
        lines.append(
            f"  the screen gives {report['apparel_agreeing']:.1%} of photos the same verdict"
        )
    return lines


def _drawn(manifest: Manifest, count: int, seed: int) -> Manifest:
    frame = manifest.frame
    if len(frame) <= count:
        return manifest
    return replace(manifest, frame=frame.sample(count, random_state=seed).reset_index(drop=True))


def _pixels(photos: Photos, workers: int) -> Iterator[np.ndarray]:
    """uint8 [1, height, width, 3] of each photo."""
    for batch in batches(photos, BATCH_SIZE, workers):
        for photo in batch.pixels.numpy():
            yield photo[np.newaxis]


def _tags(scorer: Scorer, photos: list[np.ndarray], bundle: Bundle) -> np.ndarray:
    """bool [photos, labels] of uint8 [1, height, width, 3] each."""
    starts = range(0, len(photos), BATCH_SIZE)
    batches = (np.concatenate(photos[start : start + BATCH_SIZE]) for start in starts)
    return np.concatenate([scorer(batch).scores for batch in batches]) >= bundle.thresholds


def _has_attention(model: nn.Module) -> bool:
    return any("Attention" in type(module).__name__ for module in model.modules())


def _quantized(
    graph: Any, photos: list[np.ndarray], attention: bool, ranges: str = RANGES[0]
) -> Any:
    """The int8 form of a graph, which may be changed; `ranges` as in `RANGES`."""
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.ERROR)
    estimator = getattr(RangeEstimatorParametersSet, ranges)
    advanced = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=estimator)
    # The head is a thousandth of the work, and what decides; only what comes before it is int8.
    head = [op for op in graph.get_ordered_ops() if op.get_type_name() == "MatMul"][-1]
    with contextlib.redirect_stdout(sys.stderr):  # its progress
        return nncf.quantize(
            graph,
            nncf.Dataset(photos),
            subset_size=len(photos),
            preset=nncf.QuantizationPreset.MIXED,
            fast_bias_correction=False,
            advanced_parameters=advanced,
            ignored_scope=nncf.IgnoredScope(names=[head.get_friendly_name()]),
            model_type=nncf.ModelType.TRANSFORMER if attention else None,
        )


def _save(folder: Path, graph: Any, report: dict[str, Any]) -> None:
    from fftag.models.openvino_scorer import ov

    folder.mkdir(exist_ok=True)
    (folder / DIGESTS).unlink(missing_ok=True)
    # OpenVINO writes the constants beside the graph, under the same name.
    new = folder / f"new-{INT8_GRAPH}"
    ov.save_model(graph, new, compress_to_fp16=False)  # as it was measured
    for name in (INT8_CONSTANTS, INT8_GRAPH):
        (folder / f"new-{name}").replace(folder / name)
    write_text(folder / INT8_REPORT, json.dumps(report, indent=1) + "\n")
    write_text(folder / DIGESTS, "".join(digest_line(folder / name) for name in INT8_FILES))


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("fftag", "torch", "openvino", "nncf")}
