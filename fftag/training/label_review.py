"""The labels of a data set that are most likely wrong, by confident learning."""

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from PIL import Image
from sklearn.metrics import average_precision_score

from fftag.base.atomic import PAGE, make_folder, refuse_other, write_bytes
from fftag.base.errors import FftagError
from fftag.base.tables import examples
from fftag.catalogue.review_sheet import UNANSWERED, Suspect, write_sheet
from fftag.data.manifest import Manifest, check_files
from fftag.data.near_duplicates import join_groups, near_duplicates
from fftag.data.splits import duplicate_groups
from fftag.models.folder import Bundle
from fftag.photos.decode import InputSpec
from fftag.photos.pool import ReadOptions, decoded
from fftag.training.loop import TrainOptions
from fftag.training.out_of_fold import fold_numbers, held_out, model_scores, scores_by_folds
from fftag.training.recipe import Recipe

SHEET = "review.csv"
REVIEW_PAGE = "review.html"
FEWEST_PHOTOS = 5
"""Photos with a label, and without it, that are needed to say anything about its errors."""
LEAST_OVER_CHANCE = 1.5
"""Below this many times the mean average precision of chance, a review is worth little."""
THUMBNAIL = InputSpec(240, 180, resize="pad")
QUALITY = 80


@dataclass(frozen=True)
class Review:
    """What was found.

    Attributes:
        photos: photos scored by a model that was not trained on them.
        suspects: the labels to look at: first those that confident learning counts as errors,
            then those where the scores say otherwise; the likeliest errors first in each.
        flagged: all errors that confident learning counts, by label: (given and likely wrong,
            missing and likely right). Labels without any are left out.
        mean_average_precision: of the scores over the labels judged, as the labels are given: how
            much of them the models have learned.
        chance: what scores drawn at random would reach.
        unjudged: labels on too few of the photos, or on too many, to say anything about.
        files: the sheet and the page.
    """

    photos: int
    suspects: tuple[Suspect, ...]
    flagged: dict[str, tuple[int, int]]
    mean_average_precision: float
    chance: float
    unjudged: tuple[str, ...]
    files: tuple[Path, Path]

    def to_json(self) -> dict[str, Any]:
        return {
            "photos": self.photos,
            "mAP": self.mean_average_precision,
            "chance_mAP": self.chance,
            "flagged": sum(map(sum, self.flagged.values())),
            "flagged_by_label": {
                name: {"given": given, "missing": missing}
                for name, (given, missing) in self.flagged.items()
            },
            "listed": [vars(one) for one in self.suspects],
            "unjudged": list(self.unjudged),
            "sheet": str(self.files[0]),
            "page": str(self.files[1]),
        }

    def summary(self) -> list[str]:
        """What was found, and how far to trust it."""
        total = sum(map(sum, self.flagged.values()))
        given = sum(pair[0] for pair in self.flagged.values())
        lines = [
            f"{self.photos:,} photos: {total:,} labels are likely wrong ({given:,} given, "
            f"{total - given:,} missing); the likeliest {len(self.suspects):,} are listed"
        ]
        lines.append(
            f"mAP of the scores {self.mean_average_precision:.1%}, by chance {self.chance:.1%}: "
            "the list is as good as the models behind it"
        )
        if self.mean_average_precision < LEAST_OVER_CHANCE * self.chance:
            lines.append(
                "warning: these models have hardly learned the labels, and cannot tell which are "
                "wrong; use a better recipe, or more photos"
            )
        return lines

    def lines(self) -> list[str]:
        """The review for a person to read."""
        lines = self.summary()
        for name, (wrong, missing) in list(self.flagged.items())[:5]:
            lines.append(f"  {name}: {wrong:,} given wrongly, {missing:,} missing")
        if self.unjudged:
            shown = examples(list(self.unjudged), 5)
            lines.append(f"{len(self.unjudged)} labels on too few photos to judge: {shown}")
        return [
            *lines,
            f"page: {self.files[1]}",
            f"sheet: {self.files[0]} (fill its column correct, then run `fftag data correct`)",
        ]


def review_by_folds(
    manifest: Manifest,
    recipe: Recipe,
    out: Path,
    folds: int,
    top: int,
    options: TrainOptions,
) -> Review:
    """Trains by folds and reviews every photo; copies and near duplicates share a fold.

    Args:
        manifest: the photos and labels; its splits are not used.
        recipe: of the models.
        out: the folder; the models of the folds go to `folds/` in it, and are used again.
        folds: how many.
        top: how many suspects to list.
        options: see `fftag.training.loop.TrainOptions`.

    Raises:
        FftagError: photos are missing or unreadable, there are too few of them, or the sheet of a
            review before has answers.
    """
    need_cleanlab()
    refuse_other(out / SHEET, UNANSWERED)
    check_files(manifest)
    paths = manifest.files()
    groups = join_groups(duplicate_groups(paths), [near_duplicates(paths)])
    fold_of = fold_numbers(manifest.targets(), groups, folds, recipe.run.seed)
    scores = scores_by_folds(manifest, fold_of, recipe, out / "folds", options)
    return write_review(manifest, scores, out, top)


def review_by_model(
    manifest: Manifest, bundle: Bundle, out: Path, top: int, options: TrainOptions
) -> Review:
    """Reviews the photos of a manifest that a model trained on it has not seen.

    Args:
        manifest: the one that the model was trained on.
        bundle: the model.
        out: the folder.
        top: how many suspects to list.
        options: see `fftag.training.loop.TrainOptions`.

    Raises:
        FftagError: the model was trained on something else, or on all photos; or photos are
            missing or unreadable.
    """
    need_cleanlab()
    refuse_other(out / SHEET, UNANSWERED)
    part = held_out(manifest, bundle)
    check_files(part)
    return write_review(part, model_scores(bundle, part, options), out, top)


def need_cleanlab() -> None:
    """Makes sure, before any training, that what the review needs is installed.

    Raises:
        FftagError: it is not.
    """
    try:
        import cleanlab  # noqa: F401
    except ImportError as error:
        raise FftagError(
            f"a review needs cleanlab ({error}): install it with pip install 'fftag[review]'"
        ) from error


def write_review(manifest: Manifest, scores: np.ndarray, out: Path, top: int) -> Review:
    """Finds the suspects and writes `review.csv` and `review.html`.

    Args:
        manifest: the photos and labels.
        scores: float32 [photos, labels], of models that were not trained on the photos.
        out: the folder; made if need be.
        top: how many suspects to list.
    """
    targets = manifest.targets()
    judged = judgeable(targets)
    flags, quality = find_suspects(targets[:, judged], scores[:, judged])
    names = np.array(manifest.labels.names, dtype=object)
    # Confident learning counts few errors rather than too many. A list to look at may go on.
    differ = flags | ((scores[:, judged] >= 0.5) != (targets[:, judged] == 1))
    rows, columns = np.nonzero(differ)
    order = np.lexsort((quality[rows, columns], ~flags[rows, columns]))[:top]
    images = manifest.frame["image"].to_numpy()
    suspects = tuple(
        Suspect(
            image=str(images[row]),
            label=str(names[judged[column]]),
            given=bool(targets[row, judged[column]]),
            score=float(scores[row, judged[column]]),
            quality=float(quality[row, column]),
        )
        for row, column in zip(rows[order], columns[order], strict=True)
    )
    given = (flags & (targets[:, judged] == 1)).sum(axis=0)
    missing = (flags & (targets[:, judged] == 0)).sum(axis=0)
    worst = np.argsort(-(given + missing), kind="stable")
    flagged = {
        str(names[judged[i]]): (int(given[i]), int(missing[i]))
        for i in worst
        if given[i] + missing[i]
    }
    unjudged = tuple(str(name) for name in np.delete(names, judged))
    make_folder(out)
    precisions = average_precision_score(targets[:, judged], scores[:, judged], average=None)
    review = Review(
        photos=len(manifest),
        suspects=suspects,
        flagged=flagged,
        mean_average_precision=float(np.mean(precisions)),
        chance=float(targets[:, judged].mean()),
        unjudged=unjudged,
        files=(out / SHEET, out / REVIEW_PAGE),
    )
    write_sheet(review.files[0], suspects)
    write_review_page(review.files[1], suspects, manifest.root, flagged, review.summary())
    return review


def judgeable(targets: np.ndarray) -> np.ndarray:
    """Positions of the labels that enough photos have, and enough have not: int64 [judged].

    Raises:
        FftagError: there is none.
    """
    support = targets.sum(axis=0, dtype=np.int64)
    enough = (support >= FEWEST_PHOTOS) & (len(targets) - support >= FEWEST_PHOTOS)
    if not enough.any():
        raise FftagError(
            f"no label is on {FEWEST_PHOTOS} of the {len(targets)} photos and missing on "
            f"{FEWEST_PHOTOS}: nothing can be said about errors; review more photos"
        )
    return np.flatnonzero(enough)


def find_suspects(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confident learning, each label against the rest (Northcutt, Jiang, Chuang, JAIR 2021;
    Thyagarajan et al., "Identifying incorrect annotations in multi-label classification data",
    2022).

    Args:
        targets: uint8 [photos, labels]; each label on some photos and not on others.
        scores: float32 [photos, labels], in 0..1, out of sample.

    Returns:
        Which labels are likely wrong, bool [photos, labels]; and how likely each is right, float
        [photos, labels] in 0..1: the score of a label given, and one less that of one not given.
        As the scores are calibrated, that finds more planted errors than a quality adjusted for
        how common a label is.
    """
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

    given = [np.flatnonzero(row).tolist() for row in targets]
    probabilities = scores.astype(np.float64)
    with warnings.catch_warnings():
        # Of labels on few photos it warns that it may not flag all; the page says so for all.
        warnings.simplefilter("ignore", UserWarning)
        flags = find_multilabel_issues_per_class(given, probabilities, n_jobs=1)
        quality = get_label_quality_scores_per_class(given, probabilities)
    return np.asarray(flags, dtype=bool), np.asarray(quality, dtype=np.float64)


def write_review_page(
    path: Path,
    suspects: Sequence[Suspect],
    root: Path,
    flagged: dict[str, tuple[int, int]],
    lead: Sequence[str],
) -> None:
    """Writes a page that stands alone: thumbnails are inside it, and all text is escaped.

    Args:
        path: the HTML file.
        suspects: in the order of the sheet.
        root: the folder that their images are relative to.
        flagged: by label, how many were given wrongly and how many are missing.
        lead: paragraphs under the title.
    """
    environment = Environment(
        loader=PackageLoader("fftag.base"), autoescape=select_autoescape(default=True)
    )
    images = list(dict.fromkeys(one.image for one in suspects))
    photos = decoded([root / image for image in images], THUMBNAIL, ReadOptions())
    pictures = {
        image: _thumbnail(pixels) for image, (_, pixels) in zip(images, photos, strict=True)
    }
    text = environment.get_template("review.html").render(
        suspects=suspects, pictures=pictures, flagged=flagged, lead=lead
    )
    # A label or path from a damaged source may hold what UTF-8 cannot.
    write_bytes(path, text.encode("utf-8", "replace"), PAGE)


def _thumbnail(pixels: np.ndarray | None) -> str:
    """A small JPEG in base64; empty where the photo cannot be read."""
    if pixels is None:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
