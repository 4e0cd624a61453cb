"""How far a photo lies from the apparel photos that a model learned from, by several methods.

A method is its tensors and one function of them: fitting (`fftag.training.screen_fit`) makes the
tensors, `screen.safetensors` keeps them, and this module applies them with numpy alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Method:
    """A way to tell apparel from all else.

    Attributes:
        title: what it is called on a page.
        shapes: name of each tensor -> its dimensions: a number, `features` of the model, or any
            other word for a number of the tensor's own, the same wherever the word stands.
        distance: tensors, embeddings [photos, features] and logits [photos, labels] -> float64
            [photos]; larger is less like apparel, in a unit of its own.
        reads_logits: whether it changes with the head, rather than with the backbone alone.
    """

    title: str
    shapes: dict[str, tuple[str | int, ...]]
    distance: Callable[[Tensors, np.ndarray, np.ndarray], np.ndarray]
    reads_logits: bool = False


def on_sphere(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings brought to length 1: float64 [photos, features]; zero stays zero."""
    vectors = embeddings.astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)


def squared_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float64 [points, others], from [points, features] and [others, features]."""
    points, others = points.astype(np.float64), others.astype(np.float64)
    ends = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
    return np.maximum(ends - 2 * points @ others.T, 0)


def _kmeans(tensors: Tensors, embeddings: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """To the nearest centroid, in units of the spread of its own photos."""
    squared = squared_distances(on_sphere(embeddings), tensors["centroids"])
    nearest = squared.argmin(axis=1)
    distance = np.sqrt(squared[np.arange(len(squared)), nearest])
    return distance / tensors["spreads"].astype(np.float64)[nearest]


def _neighbour(tensors: Tensors, embeddings: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """To the k-th nearest training photo, on the sphere (Sun et al. 2022)."""
    squared = squared_distances(on_sphere(embeddings), tensors["photos"])
    place = int(tensors["neighbour"][0]) - 1
    return np.sqrt(np.partition(squared, place, axis=1)[:, place])


def _mahalanobis(tensors: Tensors, embeddings: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """From the mean of the training photos, on the sphere, in units of their own scatter.

    Lee et al. 2018 take a Gaussian per class; where a photo has several labels there is one for
    all. Lengths are taken out first (Mueller and Hein 2025).
    """
    centred = on_sphere(embeddings) - tensors["mean"].astype(np.float64)
    found: np.ndarray = np.linalg.norm(centred @ tensors["whitening"].astype(np.float64), axis=1)
    return found


def _energy(tensors: Tensors, embeddings: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """JointEnergy, its sign turned: - sum over labels of log(1 + exp(logit)) (Wang et al. 2021)."""
    found: np.ndarray = -np.logaddexp(0, logits.astype(np.float64)).sum(axis=1)
    return found


def _max_probability(tensors: Tensors, embeddings: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """By the surest label: its logit, which ranks photos as its probability does."""
    return -logits.max(axis=1).astype(np.float64)


def _contrast(tensors: Tensors, embeddings: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Logit of showing none, by a logistic regression on the sphere; needs known photos of that."""
    weighted = on_sphere(embeddings) @ tensors["weights"].astype(np.float64)
    found: np.ndarray = weighted + float(tensors["bias"][0])
    return found


METHODS = {
    "kmeans": Method(
        "k-means",
        {"centroids": ("clusters", "features"), "spreads": ("clusters",)},
        _kmeans,
    ),
    "neighbour": Method(
        "nearest neighbour", {"photos": ("photos", "features"), "neighbour": (1,)}, _neighbour
    ),
    "mahalanobis": Method(
        "Mahalanobis",
        {"mean": ("features",), "whitening": ("features", "features")},
        _mahalanobis,
    ),
    "energy": Method("joint energy", {}, _energy, reads_logits=True),
    "max_probability": Method("max probability", {}, _max_probability, reads_logits=True),
    "contrast": Method("logistic regression", {"weights": ("features",), "bias": (1,)}, _contrast),
}
