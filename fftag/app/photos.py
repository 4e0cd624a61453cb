"""Photos of the catalogue with all that is known of them, from the rows of its tables."""

from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np


@dataclass(frozen=True)
class Photo:
    """A photo of the catalogue.

    Attributes:
        image: its path.
        source: the source that it is of.
        facts: its row of `images` without the scores, and `product`: that of `products`, or None.
        scores: label -> score, in the order of the labels; empty where it failed.
        tagged: labels that the model gave it.
        said: label -> whether it shows it, as a reviewer said.
        offered: the same of an earlier picture of its product, to be asked again; empty of photos
            that are not shown alone.
        distance: from the photo whose neighbour it is; None where it is nobody's.
    """

    image: str
    source: str
    facts: dict[str, Any]
    scores: dict[str, float]
    tagged: frozenset[str]
    said: dict[str, bool]
    offered: dict[str, bool] = field(default_factory=dict)
    distance: float | None = None

    @property
    def labels(self) -> list[str]:
        """The model's tags and above them what reviewers said; the best first."""
        there = (self.tagged | {one for one, shown in self.said.items() if shown}) - {
            one for one, shown in self.said.items() if not shown
        }
        return sorted(there, key=lambda one: (-self.scores.get(one, 0), one))


def photos_of(
    connection: duckdb.DuckDBPyConnection,
    ids: list[int],
    distances: dict[int, float] | None = None,
) -> list[Photo]:
    """Rows of `images` by their rowid, in the order asked for."""
    if not ids:
        return []
    found = connection.execute(
        "select rowid, * from images where rowid in (select unnest($ids::bigint[]))", {"ids": ids}
    )
    names = [column[0] for column in found.description or []]
    rows = {row[0]: dict(zip(names, row, strict=True)) for row in found.fetchall()}
    keys = {
        "images": [row["image"] for row in rows.values()],
        "skus": [row["sku"] for row in rows.values()],
    }
    found = connection.execute(
        "from products where list_contains($skus::varchar[], sku)", {"skus": keys["skus"]}
    )
    names = [column[0] for column in found.description or []]
    products = {}
    for row in found.fetchall():
        product = dict(zip(names, row, strict=True))
        products[product["source"], product["sku"]] = product
    said: dict[tuple[str, str], dict[str, bool]] = {}
    for run, image, label, shown in connection.execute(
        """
        select run_id, image, label, shown from reviewed
        where list_contains($images::varchar[], image)
        """,
        {"images": keys["images"]},
    ).fetchall():
        said.setdefault((run, image), {})[label] = shown
    of_model: dict[str, list[tuple[str, float]]] = {}
    for model, label, threshold in connection.execute(
        "select model_id, label, threshold from model_labels order by model_id, position"
    ).fetchall():
        of_model.setdefault(model, []).append((label, threshold))
    return [
        _photo(
            rows[rowid],
            products.get((rows[rowid]["source"], rows[rowid]["sku"])),
            said.get((rows[rowid]["run_id"], rows[rowid]["image"]), {}),
            of_model.get(rows[rowid]["model_id"], []),
            (distances or {}).get(rowid),
        )
        for rowid in ids
    ]


def _photo(
    row: dict[str, Any],
    product: dict[str, Any] | None,
    said: dict[str, bool],
    labels: list[tuple[str, float]],
    distance: float | None,
) -> Photo:
    scores: dict[str, float] = {}
    tagged = set()
    for (label, threshold), score in zip(labels, row["scores"] or [], strict=False):
        scores[label] = max(score, scores.get(label, 0.0))
        if np.float32(score) >= np.float32(threshold):
            tagged.add(label)
    facts = {key: value for key, value in row.items() if key not in ("scores", "rowid")}
    return Photo(
        image=row["image"],
        source=row["source"],
        facts=facts | {"product": product},
        scores=scores,
        tagged=frozenset(tagged),
        said=said,
        distance=distance,
    )
