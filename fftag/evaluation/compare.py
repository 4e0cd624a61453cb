"""Runs beside each other: their figures, and whether a difference is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fftag.base.text_table import text_table
from fftag.evaluation import baselines, intervals, metrics
from fftag.evaluation.baselines import Baseline
from fftag.evaluation.runs import Run

TABLE = {
    "subset_accuracy": "exact match",
    "micro_f1": "micro-F1",
    "micro_precision": "precision",
    "micro_recall": "recall",
    "macro_f1": "macro-F1",
    "mAP": "mAP",
}
DIFFERENCES = {
    "subset_accuracy": "exact-match accuracy",
    "micro_f1": "micro-F1",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "macro_f1": "macro-F1",
    "samples_f1": "samples-F1",
    "CF1": "CF1",
    "mAP": "mAP",
    "lrap": "label-ranking AP",
    "brier": "Brier score",
}
LOWER_IS_BETTER = frozenset({"brier"})
BASELINES = ("chance", "best_constant")


@dataclass(frozen=True)
class Difference:
    """A run less the first one, in one metric.

    Attributes:
        run: name of the run.
        metric: its key in `metrics.overall`.
        value: the difference on the photos themselves.
        low: lower border of its 95 % interval.
        high: upper border.
        better: share of the resamples in which the run is better than the first.
    """

    run: str
    metric: str
    value: float
    low: float
    high: float
    better: float


@dataclass(frozen=True)
class Comparison:
    """Runs on the same photos.

    Attributes:
        runs: what was compared; differences are from the first.
        overall: run name -> figures, as `metrics.overall`.
        intervals: run name -> metric -> (low, high).
        baselines: `chance` and `best_constant` on these photos.
        differences: of every other run, by metric.
        resamples: how many the intervals rest on.
        seed: of the resampling.
    """

    runs: Sequence[Run]
    overall: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]
    baselines: dict[str, Baseline]
    differences: list[Difference]
    resamples: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Strictly valid JSON; None where a figure is not defined."""
        about = self.runs[0].photos.about
        return {
            "split": about.split,
            "photos": len(self.runs[0].photos.images),
            "bootstrap": {
                "method": intervals.METHOD,
                "method_of_mAP": intervals.METHOD_OF_MAP,
                "level": intervals.LEVEL,
                "resamples": self.resamples,
                "seed": self.seed,
            },
            "runs": [
                {
                    "run": run.name,
                    "architecture": run.photos.about.architecture,
                    "model_id": run.photos.about.model_id,
                    "epochs": len(run.log) or None,
                    "training_seconds": run.training_seconds,
                    "overall": metrics.without_nan(self.overall[run.name]),
                    "intervals": {
                        name: None if np.isnan(low) else [low, high]
                        for name, (low, high) in self.intervals[run.name].items()
                    },
                }
                for run in self.runs
            ],
            "baselines": {name: one.to_json() for name, one in self.baselines.items()},
            "first": self.runs[0].name,
            "differences": [metrics.without_nan(vars(one)) for one in self.differences],
        }

    def lines(self) -> list[str]:
        """The table and the differences, as aligned lines."""
        content = self.to_json()
        rows = [
            [
                run["run"],
                *_cells(run["overall"]),
                "" if run["epochs"] is None else str(run["epochs"]),
                seconds(run["training_seconds"]),
            ]
            for run in content["runs"]
        ]
        rows += [
            [one.name, *_cells(metrics.without_nan(one.overall)), "", ""]
            for one in self.baselines.values()
        ]
        heads = ["", *TABLE.values(), "epochs", "training"]
        lines = [
            f"{content['photos']:,} photos of split {content['split']}",
            *text_table(heads, rows, [False, *[True] * (len(heads) - 1)]),
        ]
        if self.differences:
            lines += [
                "",
                f"Difference from {self.runs[0].name} (95 %: paired {intervals.METHOD}, "
                f"{self.resamples:,} resamples)",
                *text_table(
                    ["", "metric", "difference", "low", "high", "better"],
                    [
                        [one.run, DIFFERENCES[one.metric], *_shown(one), f"{one.better:.0%}"]
                        for one in self.differences
                    ],
                    [False, False, *[True] * 4],
                ),
            ]
        return lines


def compare(runs: Sequence[Run], resamples: int | None = None, seed: int = 0) -> Comparison:
    """Measures runs on the same photos, and the differences of each from the first.

    Every run is measured on the same resamples of the photos: what all find hard or easy cancels
    out of a difference, which an interval around each figure alone would not show.

    Args:
        runs: as `load_runs` gives them: photos and labels in the same order.
        resamples: how many; see `intervals.bootstrap`.
        seed: of the resampling.
    """
    first = runs[0].photos
    number = resamples or intervals.default_resamples(len(first.images))
    overall, drawn, around = {}, {}, {}
    for run in runs:
        photos = run.photos
        arrays = (photos.targets, photos.tags, photos.scores)
        overall[run.name] = metrics.overall(*arrays)
        resampled = intervals.resample(*arrays, number, seed)
        drawn[run.name], around[run.name] = resampled.overall, resampled.intervals()
    prevalence = np.asarray(first.about.prevalence, dtype=np.float64)
    beside = {
        "chance": baselines.chance(first.targets, prevalence),
        "best_constant": baselines.best_constant(first.targets, first.labels),
    }
    return Comparison(
        runs=runs,
        overall=overall,
        intervals=around,
        baselines=beside,
        differences=[
            _difference(run.name, runs[0].name, metric, overall, drawn)
            for run in runs[1:]
            for metric in DIFFERENCES
        ],
        resamples=number,
        seed=seed,
    )


def _difference(
    run: str,
    first: str,
    metric: str,
    overall: dict[str, dict[str, float]],
    drawn: dict[str, dict[str, np.ndarray]],
) -> Difference:
    values = drawn[run][metric] - drawn[first][metric]
    low, high = intervals.interval(values)
    # A resample that does not define the metric, or in which the two are equal, is no win.
    wins = values < 0 if metric in LOWER_IS_BETTER else values > 0
    value = overall[run][metric] - overall[first][metric]
    return Difference(run, metric, value, low, high, float(wins.mean()))


def points(metric: str) -> float:
    """What a difference is multiplied by to be shown: shares are in percentage points."""
    return 1.0 if metric == "brier" else 100.0


def seconds(value: float | None) -> str:
    """A duration for people; empty where it is not known."""
    if value is None:
        return ""
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _cells(figures: dict[str, float | None]) -> list[str]:
    values = (figures[metric] for metric in TABLE)
    return ["undefined" if value is None else f"{value:.2%}" for value in values]


def _shown(one: Difference) -> list[str]:
    """A difference and its interval, in percentage points where it is one of shares."""
    unit = points(one.metric)
    return [
        "undefined" if np.isnan(number) else f"{number * unit:+.{2 if unit > 1 else 4}f}"
        for number in (one.value, one.low, one.high)
    ]
