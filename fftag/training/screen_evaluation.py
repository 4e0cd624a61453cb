"""How well the apparel screen, and other scores, tell photos without apparel from others."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fftag import models
from fftag.atomic import replacing, write_text
from fftag.bundle import Bundle
from fftag.datasets.manifest import Manifest, check_files
from fftag.page import Section
from fftag.plots import ACCENT, COLOURS, figure, to_png
from fftag.predict import Predictions, Predictor, choose_device, choose_precision
from fftag.screen_methods import METHODS
from fftag.training.evaluate import BATCH_SIZE, score_photos
from fftag.training.photos import Photos
from fftag.training.screen_fit import Known, fit_method
from fftag.training.screening import MOST_PHOTOS, count_verdicts, score_folder

KEPT = 0.95
PLOT = "screen.png"
RESAMPLES = 1000
FIGURES = ("auroc", "average_precision", "fpr_at_95")
UNFITTED = ("contrast",)  # it learns from photos without apparel, which here are for measuring
OF_A_BACKBONE = ("neighbour", "mahalanobis")  # that need nothing but embeddings


@dataclass(frozen=True)
class Backbone:
    """A network of general features, to be compared with the model's own.

    Attributes:
        architecture, weights: see `fftag.models.build`.
    """

    architecture: str
    weights: str = "imagenet"

    def predictor(self, device: torch.device) -> Predictor:
        """Raises FftagError where there is no such network, or its weights cannot be had."""
        spec = models.input_spec(self.architecture, self.weights)
        network = models.build(self.architecture, 1, spec, self.weights)
        return Predictor(network, spec, device, choose_precision("auto", device))


@dataclass(frozen=True)
class Measured:
    """What a way of telling photos without apparel apart is worth.

    Attributes:
        title: of the way.
        figures: `auroc`; `average_precision`, of finding photos without apparel; `fpr_at_95`, the
            share of them that is let through where 95 % of the apparel photos are; each with its
            95 % interval: value, low, high.
    """

    title: str
    figures: dict[str, tuple[float, float, float]]


def evaluate_screen(
    bundle: Bundle,
    manifest: Manifest,
    split: str,
    non_apparel: Path,
    out: Path,
    device: str = "auto",
    workers: int = 2,
    backbone: Backbone | None = None,
) -> dict[str, Any]:
    """Measures the model's screen beside other scores on the same photos.

    Each score is fitted to training photos and measured on the split's photos and those of a
    folder without apparel. Writes `screen.json` and `screen.png`.

    Args:
        bundle: the model.
        manifest: its training split fits the scores that need photos, its validation split
            (where that is measured, the training split) sets the number of clusters.
        split: of the apparel photos; not `train`.
        non_apparel: folder of photos without apparel.
        out: folder to write to.
        device: see `fftag.predict.choose_device`.
        workers: decoding processes.
        backbone: measured beside the model, by the methods that need embeddings alone.

    Returns:
        The content of `screen.json`.

    Raises:
        FftagError: a split is missing, photos cannot be read, or the backbone's weights cannot be
            had.
    """
    config = bundle.config
    on = choose_device(device)
    general = backbone.predictor(on) if backbone else None
    predictor = Predictor(bundle.build(), config.input, on, choose_precision("auto", on))
    known_labels = replace(manifest, labels=config.labels)

    def scored(name: str, by: Predictor) -> Predictions:
        chosen = known_labels.of_split(name)
        check_files(chosen)
        photos = Photos(chosen, by.spec, None).drawn(MOST_PHOTOS)
        return score_photos(by, photos, BATCH_SIZE, workers)

    apparel, others = scored(split, predictor), score_folder(predictor, non_apparel, workers)
    # What is measured decides nothing, not even the number of clusters.
    deciding = "val" if split != "val" and manifest.has_split("val") else "train"
    known = Known(scored("train", predictor), scored(deciding, predictor))
    distances = {}
    if bundle.screen is not None:
        title = f"this model's screen ({bundle.screen.method})"
        distances[title] = _both(bundle.screen.distances, apparel, others)
    for name, method in METHODS.items():
        if name not in UNFITTED:
            distances[method.title] = _fitted(name, known, apparel, others)
    if general is not None and backbone is not None:
        sides = scored(split, general), score_folder(general, non_apparel, workers)
        train = scored("train", general)
        for name in OF_A_BACKBONE:
            title = f"{METHODS[name].title} ({backbone.architecture})"
            distances[title] = _fitted(name, Known(train, train), *sides)
    measured = [Measured(title, _figures(*sides)) for title, sides in distances.items()]
    content = {
        "split": split,
        "apparel_photos": len(apparel.scores),
        "photos_without_apparel": len(others.scores),
        "verdicts": _verdicts(bundle, apparel, others),
        "measured": [vars(one) for one in measured],
    }
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "screen.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    with replacing(out / PLOT) as temporary:
        temporary.write_bytes(_plot(distances))
    return content


def screen_lines(content: dict[str, Any]) -> list[str]:
    """It for a person."""
    lines = [
        f"apparel or not: {content['apparel_photos']:,} photos of split {content['split']} against "
        f"{content['photos_without_apparel']:,} without apparel",
        f"{'':36}{'AUROC (95 %)':>24}{'average precision':>24}{'let through at 95 %':>24}",
    ]
    for one in content["measured"]:
        cells = "".join(_cell(*one["figures"][name]) for name in FIGURES)
        lines.append(f"{one['title']:36}{cells}")
    for name, counts in (content["verdicts"] or {}).items():
        said = ", ".join(f"{verdict} {count:,}" for verdict, count in counts.items())
        lines.append(f"{name:36}{said}")
    return lines


def screen_section(content: dict[str, Any], folder: Path) -> Section:
    """It for a page, with the plot that `evaluate_screen` left in the folder."""
    rows = [
        [one["title"], *(_cell(*one["figures"][name]).strip() for name in FIGURES)]
        for one in content["measured"]
    ]
    titles = ["by", "AUROC, %", "average precision, %", "let through at 95 %"]
    text = [
        f"{content['apparel_photos']:,} photos of the split against "
        f"{content['photos_without_apparel']:,} that show no apparel, in %, with 95 % intervals. "
        "Average precision is that of finding the latter; let through is the share of them that "
        "passes where 95 % of the apparel photos do."
    ]
    for name, counts in (content["verdicts"] or {}).items():
        said = ", ".join(f"{verdict} {count:,}" for verdict, count in counts.items())
        text.append(f"Of the photos {name}, the screen's verdict: {said}.")
    plot = (folder / PLOT).read_bytes()
    table = pd.DataFrame(rows, columns=titles)
    return Section("Apparel or not", text, [(plot, "")], table, right=frozenset(titles[1:]))


def _cell(value: float, low: float, high: float) -> str:
    return f"{f'{100 * value:.1f} ({100 * low:.1f}-{100 * high:.1f})':>24}"


def _both(
    distance: Any, apparel: Predictions, others: Predictions
) -> tuple[np.ndarray, np.ndarray]:
    near, far = (distance(one.embeddings, one.logits) for one in (apparel, others))
    return near, far


def _fitted(
    name: str, known: Known, apparel: Predictions, others: Predictions
) -> tuple[np.ndarray, np.ndarray]:
    tensors = fit_method(name, known)
    return _both(
        lambda points, logits: METHODS[name].distance(tensors, points, logits), apparel, others
    )


def _verdicts(
    bundle: Bundle, apparel: Predictions, others: Predictions
) -> dict[str, dict[str, int]] | None:
    if bundle.screen is None:
        return None
    sides = {"apparel": apparel, "without apparel": others}
    return {name: count_verdicts(bundle.screen, found) for name, found in sides.items()}


def _figures(near: np.ndarray, far: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """The figures and their intervals, by resampling either side (percentile bootstrap)."""
    noise = np.random.default_rng(0)
    drawn = [
        _point(noise.choice(near, len(near)), noise.choice(far, len(far))) for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    values = zip(_point(near, far), low, high, strict=True)
    return {
        name: (float(value), float(least), float(most))
        for name, (value, least, most) in zip(FIGURES, values, strict=True)
    }


def _point(near: np.ndarray, far: np.ndarray) -> tuple[float, float, float]:
    truth = np.repeat([0, 1], [len(near), len(far)])
    distances = np.concatenate([near, far])
    let_through = float((far <= np.quantile(near, KEPT)).mean())
    return (
        float(roc_auc_score(truth, distances)),
        float(average_precision_score(truth, distances)),
        let_through,
    )


def _plot(distances: dict[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    drawing = figure(5, 4)
    axes = drawing.subplots()
    for number, (title, (near, far)) in enumerate(distances.items()):
        truth = np.repeat([0, 1], [len(near), len(far)])
        x, y, _ = roc_curve(truth, np.concatenate([near, far]))
        colour = ACCENT if number == 0 else COLOURS[number % len(COLOURS)]
        axes.plot(100 * x, 100 * y, color=colour, lw=2 if number == 0 else 1, label=title)
    axes.plot([0, 100], [0, 100], ":", color=COLOURS[-1], lw=1)
    axes.set(
        xlabel="% of apparel photos turned down", ylabel="% of photos without apparel turned down"
    )
    axes.legend(fontsize=8, loc="lower right")
    return to_png(drawing)
