"""The apparel screen, fitted: each method on training photos, its curve on others."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fftag.base.errors import FftagError
from fftag.models.scorers import Predictions
from fftag.models.screen import METHODS, Screen, Tensors, on_sphere, squared_distances
from fftag.training.settings import ScreenSettings

PHOTOS_PER_CLUSTER = 20
LEAST_GAIN = 0.03  # of twice as many clusters, for them to be worth it
FIRST_CLUSTERS = 2
BORROWED = 10  # photos' worth of the common spread in that of each cluster
NEIGHBOUR = 10
MOST_NEIGHBOURS = 5_000  # photos kept to be compared with
MOST_KNOTS = 2_048


@dataclass(frozen=True)
class Known:
    """What a model makes of photos that are known to show apparel, or not to.

    Attributes:
        train: training photos.
        held_out: apparel photos that the model did not learn from.
        others: photos without apparel; None where there are none at hand.
        seed: of everything random.
    """

    train: Predictions
    held_out: Predictions
    others: Predictions | None = None
    seed: int = 0


def fit_screen(settings: ScreenSettings, known: Known) -> Screen:
    """A screen by the method of the settings.

    Raises:
        FftagError: the method needs photos without apparel, and there are none.
    """
    tensors = fit_method(settings.method, known)
    away = METHODS[settings.method].distance(tensors, known.held_out.embeddings)
    knots, shares = curve(away)
    about = {
        "train": len(known.train.embeddings),
        "held_out": len(known.held_out.embeddings),
        "non_apparel": 0 if known.others is None else len(known.others.embeddings),
        "keep": settings.keep,
        "accept": settings.accept,
    }
    if "centroids" in tensors:
        about["clusters"] = len(tensors["centroids"])
    return Screen(
        method=settings.method,
        tensors=dict(tensors),
        knots=knots,
        shares=shares,
        reject=round(1 - settings.keep, 9),
        review=round(1 - settings.accept, 9),
        about=about,
    )


def fit_method(method: str, known: Known) -> Tensors:
    """The tensors of a method: float32, as `fftag.models.screen.METHODS` has their shapes.

    Raises:
        FftagError: the method needs photos without apparel, and there are none.
    """
    return FITS[method](known)


def curve(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of held-out photos, and which share of apparel photos lies farther out.

    Of n distances, the expected share beyond the i-th largest is i / (n + 1), whatever their
    distribution (Weibull's plotting position; Hyndman and Fan 1996, type 6). So many apparel
    photos, in expectation over photos drawn like these, have a lower score than that share.

    Args:
        distances: float64 [photos].

    Returns:
        float32 [knots] rising, and float32 [knots] falling, within 0 and 1.
    """
    rising, counts = np.unique(distances.astype(np.float32), return_counts=True)
    farther = len(distances) - np.cumsum(counts)
    shares = (farther + 1) / (len(distances) + 1)
    if len(rising) > MOST_KNOTS:
        kept = np.unique(np.linspace(0, len(rising) - 1, MOST_KNOTS).astype(int))
        rising, shares = rising[kept], shares[kept]
    return rising, shares.astype(np.float32)


def _kmeans(known: Known) -> Tensors:
    """As many clusters as pay: twice as many, while held-out photos come 3 % nearer to theirs.

    Nearness is the mean squared distance to the nearest centroid, on the sphere. There are no more
    than one cluster for 20 photos.
    """
    points, judged = on_sphere(known.train.embeddings), on_sphere(known.held_out.embeddings)
    best, clusters = _clustered(points, min(FIRST_CLUSTERS, len(points)), known.seed), 0
    before = squared_distances(judged, best).min(axis=1).mean()
    clusters = 2 * len(best)
    while clusters * PHOTOS_PER_CLUSTER <= len(points):
        tried = _clustered(points, clusters, known.seed)
        now = squared_distances(judged, tried).min(axis=1).mean()
        if now > (1 - LEAST_GAIN) * before:
            break
        best, before, clusters = tried, now, 2 * clusters
    return {"centroids": best.astype(np.float32), "spreads": _spreads(points, best)}


def _clustered(points: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    from sklearn.cluster import MiniBatchKMeans  # takes seconds to import

    found = MiniBatchKMeans(clusters, batch_size=1024, n_init=3, random_state=seed).fit(points)
    return np.asarray(found.cluster_centers_)


def _spreads(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Root mean square distance of each cluster's photos; those of few photos lean on the rest."""
    squared = squared_distances(points, centroids)
    nearest, least = squared.argmin(axis=1), squared.min(axis=1)
    counts = np.bincount(nearest, minlength=len(centroids))
    sums = np.bincount(nearest, least, minlength=len(centroids))
    spreads = np.sqrt((sums + BORROWED * least.mean()) / (counts + BORROWED))
    return np.maximum(spreads, 1e-6).astype(np.float32)


def _neighbour(known: Known) -> Tensors:
    points = on_sphere(known.train.embeddings)
    if len(points) > MOST_NEIGHBOURS:
        drawn = np.random.default_rng(known.seed).choice(len(points), MOST_NEIGHBOURS, False)
        points = points[np.sort(drawn)]
    place = min(NEIGHBOUR, len(points))
    return {
        "photos": points.astype(np.float32),
        "neighbour": np.array([place], np.float32),
    }


def _contrast(known: Known) -> Tensors:
    from sklearn.linear_model import LogisticRegression

    if known.others is None:
        raise FftagError(
            "the screen's method contrast learns from photos without apparel: fit it with "
            "`fftag screen MODEL --method contrast --non-apparel DIR`"
        )
    points = np.concatenate([on_sphere(known.train.embeddings), on_sphere(known.others.embeddings)])
    other = np.repeat([0, 1], [len(known.train.embeddings), len(known.others.embeddings)])
    fitted = LogisticRegression(C=10, class_weight="balanced", max_iter=2000).fit(points, other)
    return {
        "weights": fitted.coef_[0].astype(np.float32),
        "bias": fitted.intercept_.astype(np.float32),
    }


FITS: dict[str, Callable[[Known], Tensors]] = {
    "kmeans": _kmeans,
    "neighbour": _neighbour,
    "contrast": _contrast,
}
"""Method -> what makes its tensors."""
