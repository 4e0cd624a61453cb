"""Uploaded photos -> what a model says of them, and that as files to take away."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.app.thumbnails import LARGE, READ, SPEC, as_jpeg
from fftag.app.uploads import Upload, laid_down
from fftag.catalogue.review_sheet import defused
from fftag.models.devices import choose_device
from fftag.models.folder import Bundle
from fftag.models.scorers import Scorer, choose_arithmetic, open_scorer
from fftag.photos.pool import PoolOnDemand, ReadOptions
from fftag.photos.sources.local import Folder

READ_EXACTLY = ReadOptions(batch_size=8, workers=1, timeout=20, exact=True)


@dataclass(frozen=True)
class Scored:
    """What there is of one photo.

    Attributes:
        name: of the upload.
        status: `ok`, or the code of a failure.
        error: one line; None where all is well.
        width: of the photo as stored, in pixels; None where it failed.
        height: likewise.
        scores: float32 [labels]; None where it failed.
        jpeg: the photo, to be shown.
        apparel: the screen's score; None without a screen.
        verdict: `accept`, `review` or `reject`; None without a screen.
    """

    name: str
    status: str
    error: str | None
    width: int | None
    height: int | None
    scores: np.ndarray | None
    jpeg: bytes | None
    apparel: float | None = None
    verdict: str | None = None


class Tagger:
    """A model that scores uploads as `fftag tag --tier exact` scores files."""

    def __init__(self, bundle: Bundle, spool: Path) -> None:
        """Loads the model.

        Args:
            bundle: the model.
            spool: folder that uploads are laid down in while they are decoded.

        Raises:
            FftagError: the model cannot be loaded.
        """
        device = choose_device()
        self.bundle, self.spool = bundle, spool
        self.scorer: Scorer = open_scorer(
            bundle, choose_arithmetic("exact", "auto", device), device
        )
        self._decode = PoolOnDemand(Folder(spool), bundle.config.input, READ_EXACTLY)
        self._picture = PoolOnDemand(Folder(spool), SPEC, READ)

    def __call__(self, photos: Sequence[Upload]) -> Iterator[Scored]:
        """Scores photos, some at a time; one that failed says why, and costs no other anything.

        Raises:
            FftagError: the model gives no numbers, or nothing can be decoded.
        """
        for start in range(0, len(photos), READ_EXACTLY.batch_size):
            yield from self._some(photos[start : start + READ_EXACTLY.batch_size])

    def _some(self, photos: Sequence[Upload]) -> list[Scored]:
        with laid_down(photos, self.spool) as entries:
            decoded, pictures = self._decode(entries), self._picture(entries)
        good = {at: pixels for at, (_, pixels) in enumerate(decoded) if pixels is not None}
        scores: dict[int, np.ndarray] = {}
        screened: dict[int, tuple[float, str]] = {}
        if good:
            found = self.scorer(np.stack(list(good.values())))
            scores = dict(zip(good, found.scores, strict=True))
            screen = self.bundle.screen
            if screen is not None and found.apparel is not None:
                verdicts = screen.verdicts(found.apparel)
                screened = dict(zip(good, zip(found.apparel, verdicts, strict=True), strict=True))
        return [
            Scored(
                name=photo.name,
                status=record.status,
                error=record.error,
                width=record.width,
                height=record.height,
                scores=scores.get(at),
                jpeg=None if pixels is None else as_jpeg(pixels, LARGE),
                apparel=float(screened[at][0]) if at in screened else None,
                verdict=screened[at][1] if at in screened else None,
            )
            for at, (photo, (record, _), (_, pixels)) in enumerate(
                zip(photos, decoded, pictures, strict=True)
            )
        ]

    def close(self) -> None:
        """Ends its decoding processes."""
        self._decode.close()
        self._picture.close()


def tags_of(one: Scored, names: Sequence[str], thresholds: np.ndarray) -> list[tuple[str, float]]:
    """Label and score of what is at or above its threshold, best first."""
    if one.scores is None:
        return []
    order = np.argsort(-one.scores, kind="stable")
    return [(names[at], float(one.scores[at])) for at in order if one.scores[at] >= thresholds[at]]


def as_csv(results: Sequence[Scored], names: Sequence[str], thresholds: np.ndarray) -> bytes:
    """One row per photo: its tags joined by `|`, and all scores; formulas defused."""
    rows: list[dict[str, Any]] = []
    for one in results:
        tags = [label for label, _ in tags_of(one, names, thresholds)]
        row: dict[str, Any] = {
            "image": defused(one.name),
            "status": one.status,
            "error": defused(one.error or ""),
            "apparel": one.verdict or "",
            "tags": defused("|".join(tags)),
        }
        scores = one.scores if one.scores is not None else [None] * len(names)
        rows.append(
            row | {f"score: {name}": score for name, score in zip(names, scores, strict=True)}
        )
    frame = pd.DataFrame(rows)
    return frame.to_csv(index=False, float_format="%.4f", lineterminator="\r\n").encode("utf-8-sig")


def as_parquet(results: Sequence[Scored], names: Sequence[str], thresholds: np.ndarray) -> bytes:
    """One row per photo, its columns as docs/tags-format.md has them, as far as they go."""
    tag = pa.struct([("label", pa.string()), ("score", pa.float32())])
    tags = [
        None
        if one.scores is None
        else [{"label": label, "score": score} for label, score in tags_of(one, names, thresholds)]
        for one in results
    ]
    scores = [None if one.scores is None else one.scores.tolist() for one in results]
    table = pa.table(
        {
            "image": pa.array([one.name for one in results], pa.string()),
            "status": pa.array([one.status for one in results], pa.string()),
            "error": pa.array([one.error for one in results], pa.string()),
            "tags": pa.array(tags, pa.list_(tag)),
            "scores": pa.array(scores, pa.list_(pa.float32(), len(names))),
            "apparel_score": pa.array([one.apparel for one in results], pa.float32()),
            "apparel": pa.array([one.verdict for one in results], pa.string()),
            "width": pa.array([one.width for one in results], pa.int32()),
            "height": pa.array([one.height for one in results], pa.int32()),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
