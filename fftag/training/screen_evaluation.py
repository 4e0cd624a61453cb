"""How well the apparel screen, and other scores, tell photos without apparel from others."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fftag.base.atomic import Kind, has_keys, write_bytes, write_text
from fftag.base.errors import FftagError
from fftag.base.page import Section
from fftag.base.plots import ACCENT, COLOURS, INK, PICTURE, QUIET, STYLE, figure, to_png
from fftag.data.manifest import Manifest
from fftag.evaluation.score_split import BATCH_SIZE, score_photos, split_photos
from fftag.models.architectures.factory import build, input_spec
from fftag.models.folder import Bundle
from fftag.models.scorers import Predictions
from fftag.models.screen import METHODS, Screen
from fftag.models.torch_scorer import Predictor, predictor_on
from fftag.training.screen_fit import Known, fit_method
from fftag.training.screening import MOST_PHOTOS, count_verdicts, score_folder

RESAMPLES = 1000
FIGURES = ("auroc", "average_precision", "fpr_at_95")
MEASUREMENTS = Kind("the measurements of a screen", has_keys("measured", "verdicts"))
FOLDS = 5
KEPT = 0.95  # of the apparel photos, where methods are compared
COLUMNS = 3
BINS = 30
LEAST_SCORE = 1e-4  # that is drawn: what lies lower stands in the first bin
MOST_DRAWN = 0.99  # of the distances: what lies farther out stands in the last bin

Sides = tuple[np.ndarray, np.ndarray]
"""Distances (or scores) of the apparel photos, and of those without."""
HEADINGS = ("AUROC (95 %)", "average precision (95 %)", "let through at 95 % kept (95 %)")


@dataclass(frozen=True)
class Backbone:
    """A network that was trained on something else, whose embeddings are measured too.

    Attributes:
        architecture: one of `fftag.models.architectures.factory.names()`.
        weights: see `fftag.models.architectures.factory.build`; not `none`.
    """

    architecture: str
    weights: str = "imagenet"

    def predictor(self, device: str) -> Predictor:
        """It on a device.

        Raises:
            FftagError: it has no such weights, or they cannot be read or downloaded.
        """
        if self.weights == "none":
            raise FftagError(
                f"{self.architecture} without weights has learned nothing to tell photos by: give "
                "--weights imagenet, or a file"
            )
        spec = input_spec(self.architecture, self.weights)
        model = build(self.architecture, 1, spec, self.weights)
        return predictor_on(device, model, spec)


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


@dataclass(frozen=True)
class ScreenFindings:
    """The screen beside other scores, measured.

    Attributes:
        screen: the model's; None where it has none.
        content: what `screen.json` holds.
        measured: each way, the model's own screen first.
        distances: title of a way -> distances of the apparel photos and of those without.
        plots: file name -> PNG.
    """

    screen: Screen | None
    content: dict[str, Any]
    measured: list[Measured]
    distances: dict[str, Sides]
    plots: dict[str, bytes]

    def write(self, out: Path) -> None:
        """Writes `screen.json` and the plots into a folder."""
        text = json.dumps(self.content, indent=1, ensure_ascii=False)
        write_text(out / "screen.json", text + "\n", MEASUREMENTS)
        for name, png in self.plots.items():
            write_bytes(out / name, png, PICTURE)

    def lines(self) -> Iterator[str]:
        """It for a person."""
        content = self.content
        wide = max(len(one.title) for one in self.measured) + 2
        yield (
            f"apparel or not: {content['apparel_photos']:,} photos of split {content['split']} "
            f"against {content['photos_without_apparel']:,} without apparel"
        )
        titles = ("AUROC (95 %)", "average precision", "let through at 95 %")
        yield f"{'':{wide}}" + "".join(f"{title:>24}" for title in titles)
        for one in self.measured:
            cells = "".join(f"{in_percent(one.figures[name]):>24}" for name in FIGURES)
            yield f"{one.title:{wide}}{cells}"
        for name, counts in (content["verdicts"] or {}).items():
            said = ", ".join(f"{verdict} {count:,}" for verdict, count in counts.items())
            yield f"{name:{wide}}{said}"


def in_percent(figure: tuple[float, float, float]) -> str:
    """A share with its interval."""
    value, low, high = (100 * one for one in figure)
    return f"{value:.1f} ({low:.1f}-{high:.1f})"


def measure_screen(
    bundle: Bundle,
    manifest: Manifest,
    split: str,
    non_apparel: Path,
    backbone: Backbone | None = None,
    device: str = "auto",
    workers: int = 2,
) -> ScreenFindings:
    """Measures the model's screen beside other scores on the same photos.

    Each score is fitted to training photos and measured on the split's photos and those of a
    folder without apparel.

    Args:
        bundle: the model.
        manifest: its training split fits the scores that need photos, its validation split
            (where that is measured, the training split) sets the number of clusters.
        split: of the apparel photos; not `train`.
        non_apparel: folder of photos without apparel.
        backbone: another network, whose embeddings are measured too.
        device: see `fftag.models.devices.choose_device`.
        workers: decoding processes.

    Raises:
        FftagError: a split is missing, photos cannot be read, or the backbone cannot be had.
    """
    split_photos(bundle, manifest, split)  # refused before a backbone is downloaded
    general = backbone.predictor(device) if backbone else None
    predictor = predictor_on(device, bundle.build(), bundle.config.input)
    # What is measured decides nothing, not even the number of clusters.
    deciding = "val" if split != "val" and manifest.has_split("val") else "train"

    def seen_by(network: Predictor) -> tuple[Known, Predictions, Predictions]:
        def scored(name: str) -> Predictions:
            photos = split_photos(bundle, manifest, name, network.spec).drawn(MOST_PHOTOS)
            return score_photos(network, photos, BATCH_SIZE, workers)

        apparel, others = scored(split), score_folder(network, non_apparel, workers)
        return Known(scored("train"), scored(deciding)), apparel, others

    known, apparel, others = seen_by(predictor)
    distances: dict[str, Sides] = {}
    if bundle.screen is not None:
        title = f"this model's screen ({bundle.screen.method})"
        distances[title] = _both(bundle.screen.distances, apparel, others)
    for name in ("kmeans", "neighbour"):
        distances[METHODS[name].title] = _fitted(name, known, apparel, others)
    if len(others.scores) >= FOLDS:
        title = f"{METHODS['contrast'].title}, taught by four in five"
        distances[title] = cross_validated(known, apparel, others)
    if backbone is not None and general is not None:
        known, *both = seen_by(general)
        title = f"{METHODS['neighbour'].title}, {backbone.architecture}"
        distances[title] = _fitted("neighbour", known, *both)
    measured = [Measured(title, _figures(*sides)) for title, sides in distances.items()]
    content = {
        "split": split,
        "apparel_photos": len(apparel.scores),
        "photos_without_apparel": len(others.scores),
        "backbone": vars(backbone) if backbone else None,
        "verdicts": _verdicts(bundle, apparel, others),
        "measured": [vars(one) for one in measured],
    }
    own = _both(bundle.screen.scores, apparel, others) if bundle.screen else None
    plots = {
        "screen.png": roc_curves(distances),
        "screen_scores.png": distributions(distances, bundle.screen, own),
    }
    return ScreenFindings(bundle.screen, content, measured, distances, plots)


def _fitted(method: str, known: Known, apparel: Predictions, others: Predictions) -> Sides:
    tensors = fit_method(method, known)
    distance = METHODS[method].distance
    return _both(lambda points: distance(tensors, points), apparel, others)


def cross_validated(known: Known, apparel: Predictions, others: Predictions) -> Sides:
    """The distances by `contrast`, which learns from what is measured here.

    Each fifth of the photos without apparel is judged by what the other four taught, and an apparel
    photo by all five: its distance is their mean.
    """
    distance = METHODS["contrast"].distance
    fold_of = np.arange(len(others.scores)) % FOLDS
    near, far = [], np.empty(len(fold_of))
    for fold in range(FOLDS):
        held_back = fold_of == fold
        tensors = fit_method("contrast", replace(known, others=others.chosen(~held_back)))
        far[held_back] = distance(tensors, others.embeddings[held_back])
        near.append(distance(tensors, apparel.embeddings))
    return np.mean(near, axis=0), far


def _both(
    distance: Callable[[np.ndarray], np.ndarray], apparel: Predictions, others: Predictions
) -> Sides:
    return distance(apparel.embeddings), distance(others.embeddings)


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


def roc_curves(distances: dict[str, Sides]) -> bytes:
    """The ROC curve of each method, the first one thick, as a PNG."""
    drawing = figure(5, 4)
    axes = drawing.subplots()
    for number, (title, (near, far)) in enumerate(distances.items()):
        truth = np.repeat([0, 1], [len(near), len(far)])
        x, y, _ = roc_curve(truth, np.concatenate([near, far]))
        colour = ACCENT if number == 0 else COLOURS[number % len(COLOURS)]
        style = "-" if number < len(COLOURS) else "--"
        width = 2 if number == 0 else 1
        axes.plot(100 * x, 100 * y, style, color=colour, lw=width, label=title)
    axes.plot([0, 100], [0, 100], ":", color=COLOURS[-1], lw=1)
    axes.set(
        xlabel="% of apparel photos turned down", ylabel="% of photos without apparel turned down"
    )
    axes.legend(fontsize=8, loc="lower right")
    return to_png(drawing)


def distributions(
    distances: dict[str, Sides], screen: Screen | None = None, scores: Sides | None = None
) -> bytes:
    """Where both kinds of photo lie, by each method, as a PNG.

    Args:
        distances: method -> distances; a line stands where 95 % of the apparel photos are nearer.
        screen: the model's, with its thresholds; the first method is its own.
        scores: what it gives, which are drawn in the place of its distances.
    """
    with mpl.rc_context(STYLE):
        rows = -(-len(distances) // COLUMNS)
        drawing = figure(9.5, 0.4 + 2.1 * rows)
        grid = drawing.subplots(rows, COLUMNS, squeeze=False).ravel()
        for number, (axes, (title, sides)) in enumerate(zip(grid, distances.items(), strict=False)):
            if number == 0 and screen is not None and scores is not None:
                _scores(axes, title, screen, scores)
            else:
                _distances(axes, title, sides)
        for axes in grid[len(distances) :]:
            axes.set_axis_off()
        grid[0].legend(fontsize=8)
    return to_png(drawing)


def _scores(axes: Axes, title: str, screen: Screen, scores: Sides) -> None:
    """On a logarithmic scale, as thresholds lie near zero."""
    bins = np.geomspace(LEAST_SCORE, 1, BINS + 1)
    _heaps(axes, scores, bins)
    axes.set_xscale("log")
    ticks = [LEAST_SCORE * 10**power for power in range(5)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    for threshold, name in ((screen.reject, "reject"), (screen.review, "review")):
        if LEAST_SCORE <= threshold <= 1:
            axes.axvline(threshold, color=INK, lw=0.8, ls="--")
            axes.annotate(
                name,
                (threshold, 1),
                xycoords=("data", "axes fraction"),
                xytext=(2, -8),
                textcoords="offset points",
                fontsize=7,
            )
    axes.set_title(title, fontsize=9)
    axes.set(xlabel="apparel_score", ylabel="% of photos")


def _distances(axes: Axes, title: str, sides: Sides) -> None:
    together = np.concatenate(sides)
    low, high = float(together.min()), float(np.quantile(together, MOST_DRAWN))
    _heaps(axes, sides, np.linspace(low, high if high > low else low + 1, BINS + 1))
    axes.axvline(float(np.quantile(sides[0], KEPT)), color=QUIET, lw=0.8, ls=":")
    axes.set_title(title, fontsize=9)


def _heaps(axes: Axes, sides: Sides, bins: np.ndarray) -> None:
    names = (("apparel", COLOURS[1]), ("without apparel", ACCENT))
    for values, (name, colour) in zip(sides, names, strict=True):
        inside = np.clip(values, bins[0], bins[-1])
        share = np.full(len(values), 100 / len(values))
        axes.hist(inside, bins.tolist(), weights=share, color=colour, alpha=0.55, label=name)


def screen_section(findings: ScreenFindings) -> Section:
    """Each way of telling photos without apparel apart: its figures, its ROC curve, its scores."""
    content = findings.content
    table = pd.DataFrame(
        {"method": [one.title for one in findings.measured]}
        | {
            heading: [in_percent(one.figures[name]) for one in findings.measured]
            for name, heading in zip(FIGURES, HEADINGS, strict=True)
        }
    )
    text = [
        f"{content['apparel_photos']:,} photos of split {content['split']} against "
        f"{content['photos_without_apparel']:,} that show no apparel, in %. AUROC: how often a "
        "photo without apparel lies farther out than one with it. Average precision: of finding "
        "photos without apparel. Let through: the false-positive rate, the share of them that "
        "passes where 95 % of the apparel photos do; lower is better.",
        *_verdicts_in_words(findings),
    ]
    if content["backbone"]:
        text.append(
            f"Rows with {content['backbone']['architecture']} tell photos by the embeddings of "
            f"that network (weights {content['backbone']['weights']}), not by the model's."
        )
    captions = {
        "screen.png": "ROC curves.",
        "screen_scores.png": "Where both kinds of photo lie. By distance, farther right is less "
        "like apparel, and 95 % of the apparel photos lie left of the dotted line. Of the "
        "model's own screen the apparel_score is drawn: farther left is less like apparel.",
    }
    images = [(findings.plots[name], caption) for name, caption in captions.items()]
    return Section("Apparel or not", text, images, table, right=frozenset(HEADINGS))


def _verdicts_in_words(findings: ScreenFindings) -> list[str]:
    verdicts = findings.content["verdicts"]
    if verdicts is None or findings.screen is None:
        return ["The model has no screen: `fftag screen` gives it one."]
    sides = [
        f"{name}: " + ", ".join(f"{verdict} {count:,}" for verdict, count in counts.items())
        for name, counts in verdicts.items()
    ]
    return [
        f"With the model's thresholds (reject below {findings.screen.reject:g}, review below "
        f"{findings.screen.review:g}): {'; '.join(sides)}."
    ]
