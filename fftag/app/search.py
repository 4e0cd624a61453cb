"""What a person looks for in the catalogue -> the SQL that finds it, all values bound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from fftag.catalogue.database import quoted

SORTS = {
    "listed": "as listed",
    "score": "score of the label, best first",
    "unsure": "least sure of the label first",
    "newest": "newest first",
    "oldest": "oldest first",
    "cheapest": "cheapest first",
    "dearest": "dearest first",
}
OF_A_LABEL = ("score", "unsure")
STATES = {
    "tagged": "with tags read",
    "failed": "that could not be read",
    "no_apparel": "turned down as no apparel",
    "reviewed": "corrected by reviewers",
    "any": "all",
}
TIMES = {"newest": "desc", "oldest": "asc"}
PRICES = {"dearest": "desc", "cheapest": "asc"}


@dataclass(frozen=True)
class Search:
    """What to look for; nothing given narrows nothing.

    Attributes:
        labels: the photo has all of these.
        any_of: it has at least one of these.
        none_of: it has none of these.
        scored: label that `least`, `most` and two of the sorts are about.
        least: lowest score of it.
        most: highest score of it.
        where: column of the products -> values, one of which its product has.
        price_from: lowest price of its product.
        price_to: highest.
        since: first day of its date.
        until: last.
        state: one of `STATES`.
        source: the source that it is of.
        text: stands in its path, or in its product's brand or category; upper or lower case.
        sort: one of `SORTS`; those of a label need `scored`.
    """

    labels: Sequence[str] = ()
    any_of: Sequence[str] = ()
    none_of: Sequence[str] = ()
    scored: str | None = None
    least: float = 0.0
    most: float = 1.0
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    price_from: float | None = None
    price_to: float | None = None
    since: date | None = None
    until: date | None = None
    state: str = "tagged"
    source: str | None = None
    text: str = ""
    sort: str = "listed"


@dataclass(frozen=True)
class Places:
    """Where the scores of a label lie.

    Attributes:
        of_model: model that counts -> positions in `scores`, from 1. Several names of a model may
            be shown as one label; its score is the best of theirs.
        threshold: of the label; None where its names have different ones.
    """

    of_model: Mapping[str, Sequence[int]]
    threshold: float | None


@dataclass(frozen=True)
class Query:
    """A query and what is bound in it."""

    sql: str
    values: dict[str, Any]


def matching(search: Search, places: Places | None, dated_by_feed: bool) -> Query:
    """The rows of `images` that match, as `id` (their rowid) and `rank`, in whatever order.

    Args:
        search: what to look for.
        places: of the label `search.scored`.
        dated_by_feed: whether the date of a photo is its product's.
    """
    values: dict[str, Any] = {}
    conditions = ["images.run_id in (select run_id from runs where counted)"]
    joins: list[str] = []

    def bound(value: Any) -> str:
        values[f"v{len(values)}"] = value
        return f"$v{len(values) - 1}"

    by_product = bool(
        search.where
        or search.price_from is not None
        or search.price_to is not None
        or search.sort in PRICES
        or (dated_by_feed and (search.since or search.until or search.sort in TIMES))
    )
    if by_product:
        joins.append(
            "left join products on products.source = images.source and products.sku = images.sku"
        )
    for label in search.labels:
        joins.append(_with_label("semi", f"label = {bound(label)}"))
    if search.any_of:
        joins.append(_with_label("semi", f"list_contains({bound(list(search.any_of))}, label)"))
    if search.none_of:
        joins.append(_with_label("anti", f"list_contains({bound(list(search.none_of))}, label)"))
    conditions += _state(search.state)
    if search.source is not None:
        conditions.append(f"images.source = {bound(search.source)}")
    score = None if places is None else _score(places, bound)
    if score is not None and search.least > 0:
        conditions.append(f"{score} >= {bound(search.least)}::float")
    if score is not None and search.most < 1:
        conditions.append(f"{score} <= {bound(search.most)}::float")
    for column, names in search.where.items():
        conditions.append(
            f"list_contains({bound(list(names))}, products.{quoted(column)}::varchar)"
        )
    if search.price_from is not None:
        conditions.append(f"products.price >= {bound(search.price_from)}")
    if search.price_to is not None:
        conditions.append(f"products.price <= {bound(search.price_to)}")
    day = "products.listed_at" if dated_by_feed else "images.dated"
    if search.since is not None:
        conditions.append(f"{day} >= {bound(search.since)}::date")
    if search.until is not None:
        conditions.append(f"{day} <= {bound(search.until)}::date")
    if search.text:
        text = f"lower({bound(search.text)})"
        conditions.append(
            f"""(
                contains(lower(images.image), {text})
                or (images.source, images.sku) in (
                    select (source, sku) from products
                    where contains(lower(brand), {text}) or contains(lower(category), {text})))
            """  # noqa: S608 (the text is bound)
        )
    rank = _rank(search, score, places, day, bound)
    if search.sort in OF_A_LABEL:
        conditions.append("images.scores is not null")
    sql = f"""
        select images.rowid as id, {rank} as rank
        from images {" ".join(joins)}
        where {" and ".join(conditions)}
    """  # noqa: S608 (names are ours or quoted, values are bound)
    return Query(sql, values)


def _with_label(kind: str, condition: str) -> str:
    return (
        f"{kind} join (select image, run_id from photo_labels where {condition}) "  # noqa: S608
        "using (image, run_id)"
    )


def _state(state: str) -> list[str]:
    return {
        "tagged": ["images.status = 'ok'", "images.is_apparel is distinct from false"],
        "failed": ["images.status <> 'ok'"],
        "no_apparel": ["images.status = 'ok'", "not images.is_apparel"],
        "reviewed": [
            "exists (from reviewed as said "
            "where said.image = images.image and said.run_id = images.run_id)"
        ],
        "any": [],
    }[state]


def _score(places: Places, bound: Any) -> str:
    of_model = {
        model: f"greatest({', '.join(f'images.scores[{at:d}]' for at in positions)})"
        for model, positions in places.of_model.items()
    }
    if len(of_model) == 1:
        return next(iter(of_model.values()))
    cases = [f"when {bound(model)} then {score}" for model, score in of_model.items()]
    return f"case images.model_id {' '.join(cases)} end"


def _rank(search: Search, score: str | None, places: Places | None, day: str, bound: Any) -> str:
    """What rises along the order asked for."""
    if search.sort in TIMES:
        sign = "-" if TIMES[search.sort] == "desc" else ""
        return f"{sign}epoch({day})"
    if search.sort in PRICES:
        sign = "-" if PRICES[search.sort] == "desc" else ""
        return f"{sign}products.price"
    if search.sort == "score" and score is not None:
        return f"-({score})"
    if search.sort == "unsure" and score is not None and places is not None:
        threshold = f"{bound(places.threshold or 0.5)}::double"
        return f"abs({_log_odds(score)} - {_log_odds(threshold)})"
    return "0"


def _log_odds(score: str) -> str:
    return f"ln(greatest({score}, 1e-6) / (1 - least({score}, 1 - 1e-6)))"
