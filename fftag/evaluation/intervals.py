"""How far the figures of an evaluation would move on other photos: bootstrap intervals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fftag.evaluation.metrics import harmonic_mean
from fftag.evaluation.ranking import (
    WeightedPrecision,
    photo_coverage,
    photo_ranking_precision,
)
from fftag.evaluation.reliability import photo_brier

LEVEL = 0.95
RESAMPLES = 1000
MANY_PHOTOS = 20_000
RESAMPLES_OF_MANY = 200
BLOCK_ENTRIES = 2**17  # of the counts held at once: 1 MiB, which a cache holds
METHOD = "percentile bootstrap over photos"
METHOD_OF_MAP = "reverse percentile bootstrap over photos"


@dataclass(frozen=True)
class Resampled:
    """The figures of each resample; metrics of `metrics.overall` that a resample has.

    Attributes:
        overall: metric -> float64 [resamples]; NaN where a resample does not define it.
        ap: float64 [resamples, labels], average precision by label.
        mean_ap: mAP of the photos themselves; NaN where no label has positives.
    """

    overall: dict[str, np.ndarray]
    ap: np.ndarray
    mean_ap: float

    def intervals(self) -> dict[str, tuple[float, float]]:
        """The 95 % interval of each metric: percentiles (Efron 1979), but for mAP reversed ones.

        A resample repeats photos, and so ranks a label's few positives in runs, which lifts their
        average precision. Around the AP of one label that is little; the mean over many labels
        varies less and is lifted as much, until the percentiles lie above the truth. The reverse
        percentiles (Davison and Hinkley 1997, the basic bootstrap), 2 x figure - percentile, take
        the lift off again, and with it that of the figure itself.
        """
        found = {name: interval(values) for name, values in self.overall.items()}
        low, high = found["mAP"]
        turned = np.clip([2 * self.mean_ap - high, 2 * self.mean_ap - low], 0, 1)
        return found | {"mAP": (float(turned[0]), float(turned[1]))}


@dataclass(frozen=True)
class Intervals:
    """95 % intervals; the borders are NaN where no resample defines the figure.

    Attributes:
        overall: metric -> (low, high).
        ap: float64 [labels, 2], low and high of each label's average precision.
        resamples: how many they rest on.
        seed: of the resampling.
    """

    overall: dict[str, tuple[float, float]]
    ap: np.ndarray
    resamples: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """`bootstrap`, how they were made, and `intervals`: metric -> [low, high] or None."""
        made = {
            "method": METHOD,
            "method_of_mAP": METHOD_OF_MAP,
            "level": LEVEL,
            "resamples": self.resamples,
            "seed": self.seed,
        }
        return {
            "bootstrap": made,
            "intervals": {
                name: None if np.isnan(low) else [low, high]
                for name, (low, high) in self.overall.items()
            },
        }


def bootstrap(
    targets: np.ndarray,
    tags: np.ndarray,
    scores: np.ndarray,
    resamples: int | None = None,
    seed: int = 0,
) -> Intervals:
    """Intervals of the figures of `metrics.overall`; see `Resampled.intervals` for the method.

    Args:
        targets: uint8 [photos, labels].
        tags: uint8 [photos, labels].
        scores: float [photos, labels].
        resamples: how many; by default 1,000, and 200 for more than 20,000 photos.
        seed: of the resampling.
    """
    resamples = resamples or default_resamples(len(targets))
    found = resample(targets, tags, scores, resamples, seed)
    return Intervals(
        overall=found.intervals(),
        ap=np.array([interval(values) for values in found.ap.T]),
        resamples=resamples,
        seed=seed,
    )


def default_resamples(photos: int) -> int:
    """Fewer for large sets, whose intervals are narrow and whose resamples are dear."""
    return RESAMPLES if photos <= MANY_PHOTOS else RESAMPLES_OF_MANY


def interval(values: np.ndarray) -> tuple[float, float]:
    """The borders that hold the middle 95 % of the values; resamples without one are left out."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resample(
    targets: np.ndarray, tags: np.ndarray, scores: np.ndarray, resamples: int, seed: int
) -> Resampled:
    """The figures of many resamples of the photos, drawn with replacement.

    The same seed and number of photos draw the same photos: figures of two models on the same
    photos, in the same order, are paired. Arguments as for `bootstrap`.
    """
    photos, labels = targets.shape
    photo = np.arange(photos)
    rankings = [
        WeightedPrecision(t, s, photo, photos) for t, s in zip(targets.T, scores.T, strict=True)
    ]
    together = WeightedPrecision(targets.ravel(), scores.ravel(), np.repeat(photo, labels), photos)
    means = _photo_figures(targets, tags, scores)
    values = np.stack(list(means.values()))
    # Few photos have a label: sums over those alone.
    right, given, true = (
        csr_array(matrix.T.astype(np.float64)) for matrix in (targets & tags, tags, targets)
    )
    blocks: list[dict[str, np.ndarray]] = []
    precisions = []
    for weights in draws(photos, resamples, seed):
        figures = dict(zip(means, values @ weights / photos, strict=True))
        figures |= _label_figures(right @ weights, given @ weights, true @ weights)
        ap = np.stack([ranking(weights) for ranking in rankings])
        figures["mAP"] = _mean_of_defined(ap)
        figures["micro_ap"] = together(weights)
        blocks.append(figures)
        precisions.append(ap.T)
    overall = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    as_it_is = np.stack([ranking(np.ones((photos, 1))) for ranking in rankings])
    return Resampled(overall, np.concatenate(precisions), float(_mean_of_defined(as_it_is)[0]))


def draws(photos: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each resample draws each photo: float64 [photos, resamples of the block]."""
    random = np.random.default_rng(seed)
    size = max(1, min(resamples, BLOCK_ENTRIES // photos))
    for start in range(0, resamples, size):
        width = min(size, resamples - start)
        drawn = random.integers(photos, size=(width, photos))
        places = drawn * width + np.arange(width)[:, None]
        counts = np.bincount(places.ravel(), minlength=photos * width)
        yield counts.reshape(photos, width).astype(np.float64)


def _photo_figures(
    targets: np.ndarray, tags: np.ndarray, scores: np.ndarray
) -> dict[str, np.ndarray]:
    """The figures that are means over photos, of each photo: float64 [photos]."""
    right = (targets & tags).sum(axis=1)
    given, true = tags.sum(axis=1), targets.sum(axis=1)
    return {
        "subset_accuracy": (targets == tags).all(axis=1).astype(np.float64),
        "hamming_loss": (targets != tags).mean(axis=1),
        "samples_precision": _ratio(right, given),
        "samples_recall": _ratio(right, true),
        "samples_f1": _ratio(2 * right, given + true),
        "lrap": photo_ranking_precision(targets, scores),
        "coverage_error": photo_coverage(targets, scores).astype(np.float64),
        "brier": photo_brier(targets, scores),
    }


def _label_figures(right: np.ndarray, given: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Micro, macro and weighted averages by resample: [resamples] from counts [labels, resamples].

    Args:
        right: photos tagged rightly.
        given: photos tagged.
        true: photos with the label.
    """
    figures = {}
    sums = [counts.sum(axis=0) for counts in (right, given, true)]
    for prefix, of in (("micro", sums), ("label", [right, given, true])):
        figures[f"{prefix}_precision"] = _ratio(of[0], of[1])
        figures[f"{prefix}_recall"] = _ratio(of[0], of[2])
        figures[f"{prefix}_f1"] = _ratio(2 * of[0], of[1] + of[2])
    share = _ratio(true, sums[2])
    for name in ("precision", "recall", "f1"):
        by_label = figures.pop(f"label_{name}")
        figures[f"macro_{name}"] = by_label.mean(axis=0)
        figures[f"weighted_{name}"] = (by_label * share).sum(axis=0)
    figures["CF1"] = harmonic_mean(figures["macro_precision"], figures["macro_recall"])
    return figures


def _mean_of_defined(ap: np.ndarray) -> np.ndarray:
    """The mean over labels of [labels, resamples], NaN where no label has one."""
    defined = ~np.isnan(ap)
    number = defined.sum(axis=0)
    sums = np.where(defined, ap, 0).sum(axis=0)
    return np.divide(sums, number, out=np.full(len(sums), np.nan), where=number > 0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where that is not defined, as `metrics.overall` has it."""
    shape = np.broadcast_shapes(part.shape, whole.shape)
    whole = np.broadcast_to(whole, shape)
    return np.divide(part, whole, out=np.zeros(shape), where=whole > 0)
