"""The apparel screen of a model: embeddings -> a score in 0 to 1, and what is turned down.

docs/screen.md says how it is fitted, and what it is worth.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fftag.base.atomic import replacing
from fftag.base.errors import FftagError

FILE = "screen.safetensors"
FORMAT_VERSION = 1
VERDICTS = ("accept", "review", "reject")
CURVE = {"knots": ("knots",), "shares": ("knots",)}
LARGEST = 2**30  # bytes of a screen

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Method:
    """A way to tell apparel from all else: its tensors, and one function of them.

    Attributes:
        title: what it is called on a page.
        shapes: name of each tensor -> its dimensions: a number, `features` of the model, or any
            other word for a number of the tensor's own, the same wherever the word stands.
        distance: tensors and embeddings [photos, features] -> float64 [photos]; larger is less
            like apparel, in a unit of its own.
    """

    title: str
    shapes: dict[str, tuple[str | int, ...]]
    distance: Callable[[Tensors, np.ndarray], np.ndarray]


def on_sphere(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings brought to length 1: float64 [photos, features]; zero stays zero."""
    vectors = embeddings.astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)


def squared_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float64 [points, others], from [points, features] and [others, features]."""
    points, others = points.astype(np.float64), others.astype(np.float64)
    ends = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
    return np.maximum(ends - 2 * points @ others.T, 0)


def _kmeans(tensors: Tensors, embeddings: np.ndarray) -> np.ndarray:
    """To the nearest centroid, in units of the spread of its own photos."""
    squared = squared_distances(on_sphere(embeddings), tensors["centroids"])
    nearest = squared.argmin(axis=1)
    distance = np.sqrt(squared[np.arange(len(squared)), nearest])
    return distance / tensors["spreads"].astype(np.float64)[nearest]


def _neighbour(tensors: Tensors, embeddings: np.ndarray) -> np.ndarray:
    """To the k-th nearest training photo, on the sphere (Sun et al. 2022)."""
    squared = squared_distances(on_sphere(embeddings), tensors["photos"])
    place = int(tensors["neighbour"][0]) - 1
    return np.sqrt(np.partition(squared, place, axis=1)[:, place])


def _contrast(tensors: Tensors, embeddings: np.ndarray) -> np.ndarray:
    """Logit of showing none, by a logistic regression on the sphere; needs known photos of that."""
    weighted = on_sphere(embeddings) @ tensors["weights"].astype(np.float64)
    found: np.ndarray = weighted + float(tensors["bias"][0])
    return found


METHODS = {
    "kmeans": Method(
        "k-means", {"centroids": ("clusters", "features"), "spreads": ("clusters",)}, _kmeans
    ),
    "neighbour": Method(
        "nearest neighbour", {"photos": ("photos", "features"), "neighbour": (1,)}, _neighbour
    ),
    "contrast": Method("logistic regression", {"weights": ("features",), "bias": (1,)}, _contrast),
}


@dataclass(frozen=True, eq=False)
class Screen:
    """What tells photos of apparel from others, by what a model makes of them.

    Attributes:
        method: one of `METHODS`.
        tensors: its tensors.
        knots: float32 [knots], rising: distances of apparel photos that the screen was not
            fitted on.
        shares: float32 [knots], falling: which share of apparel photos lies farther out.
        reject: photos with a score below this are turned down.
        review: photos below this, and not turned down, are for a person to look at.
        about: what it was fitted on, for the record.
    """

    method: str
    tensors: dict[str, np.ndarray]
    knots: np.ndarray
    shares: np.ndarray
    reject: float
    review: float
    about: dict[str, Any]

    def distances(self, embeddings: np.ndarray) -> np.ndarray:
        """float64 [photos], of float32 [photos, features]: larger is less like apparel."""
        return METHODS[self.method].distance(self.tensors, embeddings)

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """float32 [photos], in 0 to 1, higher is more like apparel.

        The share of known apparel photos that lie farther out; between those that were kept as
        knots a straight line. Past the last one the share falls by a factor e for every half of
        the distance between the median and that one: photos far out keep their order.

        Args:
            embeddings: float32 [photos, features].
        """
        distances = self.distances(embeddings)
        knots, shares = self.knots.astype(np.float64), self.shares.astype(np.float64)
        found = np.interp(distances, knots, shares)
        scale = (knots[-1] - knots[len(knots) // 2]) / 2
        beyond = np.maximum(distances - knots[-1], 0) / max(scale, 1e-9)
        return np.asarray(found * np.exp(-np.minimum(beyond, 80)), np.float32)

    def is_apparel(self, scores: np.ndarray) -> np.ndarray:
        """bool [photos]: not turned down."""
        return np.asarray(scores, np.float32) >= np.float32(self.reject)

    def verdicts(self, scores: np.ndarray) -> list[str]:
        """`accept`, `review` or `reject` of each photo."""
        scores = np.asarray(scores, np.float32)
        passed = self.is_apparel(scores).astype(int) + (scores >= np.float32(self.review))
        return [VERDICTS[2 - step] for step in passed]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Screen) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.id, self.reject, self.review))

    @cached_property
    def id(self) -> str:
        """SHA-256 of what scores depend on beside the model: everything but the two thresholds."""
        digest = hashlib.sha256(self.method.encode())
        for name, tensor in sorted(self._all_tensors().items()):
            digest.update(f"{name} {tensor.shape} ".encode() + tensor.tobytes())
        return digest.hexdigest()

    def to_json(self) -> dict[str, Any]:
        """What a tags file says of the screen that its scores are from."""
        return {
            "id": self.id,
            "method": self.method,
            "reject": self.reject,
            "review": self.review,
        }

    def _all_tensors(self) -> dict[str, np.ndarray]:
        own = {name: np.ascontiguousarray(tensor) for name, tensor in self.tensors.items()}
        return own | {"knots": self.knots, "shares": self.shares}

    def save(self, path: Path) -> None:
        """Writes `screen.safetensors`, atomically."""
        metadata = {
            "format_version": FORMAT_VERSION,
            "method": self.method,
            "reject": self.reject,
            "review": self.review,
            "about": self.about,
        }
        with replacing(path) as temporary:
            save_file(self._all_tensors(), temporary, {"screen": json.dumps(metadata)})


def load_screen(path: Path, features: int) -> Screen:
    """Reads `screen.safetensors`, and trusts nothing in it.

    Args:
        path: of the file.
        features: of the model's embeddings.

    Raises:
        FftagError: it is no such file, of a newer format, or its tensors do not fit its method or
            the model.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is larger than any screen")
        with safe_open(path, "numpy") as file:
            metadata = json.loads((file.metadata() or {})["screen"])
            if metadata["format_version"] > FORMAT_VERSION:
                raise FftagError(f"{path} was written by a newer fftag: upgrade fftag to use it")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _check(metadata, tensors, features)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise FftagError(
            f"{path} is no screen of this model ({reason}): fit it anew with `fftag screen`"
        ) from error
    return Screen(
        method=metadata["method"],
        knots=tensors.pop("knots"),
        shares=tensors.pop("shares"),
        tensors=tensors,
        reject=float(metadata["reject"]),
        review=float(metadata["review"]),
        about=metadata["about"],
    )


def _check(metadata: dict[str, Any], tensors: dict[str, np.ndarray], features: int) -> None:
    if metadata["method"] not in METHODS:
        raise ValueError(f"unknown method {metadata['method']!r}")
    if not 0 <= float(metadata["reject"]) <= float(metadata["review"]) <= 1:
        raise ValueError("its thresholds are not in order")
    wanted = CURVE | METHODS[metadata["method"]].shapes
    if set(tensors) != set(wanted):
        raise ValueError(f"it has the tensors {', '.join(sorted(tensors))}")
    sizes: dict[str | int, int] = {"features": features}
    for name, shape in wanted.items():
        tensor = tensors[name]
        if tensor.dtype != np.float32 or tensor.ndim != len(shape) or not tensor.size:
            raise ValueError(f"{name} is {tensor.dtype} {list(tensor.shape)}")
        for word, size in zip(shape, tensor.shape, strict=True):
            if size != (word if isinstance(word, int) else sizes.setdefault(word, size)):
                raise ValueError(f"{name} is {list(tensor.shape)}, and {word} should agree")
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name} holds what is no number")
    knots, shares = tensors["knots"], tensors["shares"]
    if (np.diff(knots) <= 0).any() or (np.diff(shares) >= 0).any():
        raise ValueError("its curve does not fall")
    if shares[0] > 1 or shares[-1] <= 0:
        raise ValueError("its shares are none")
    if metadata["method"] == "kmeans" and tensors["spreads"].min() <= 0:
        raise ValueError("a spread is not positive")
    if metadata["method"] == "neighbour":
        place = tensors["neighbour"][0]
        if place != int(place) or not 1 <= place <= len(tensors["photos"]):
            raise ValueError("it has no such neighbour")
