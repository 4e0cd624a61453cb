"""What the app asks of the catalogue, and what it writes into it."""

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from catalogues import (
    FAILED,
    HOSTILE,
    NO_APPAREL,
    SHOP_BRANDS,
    SHOP_LABELS,
    SHOP_PHOTOS,
    Shop,
    make_shop,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fftag.app import catalogue
from fftag.app.catalogue import stamp
from fftag.app.choices import choices
from fftag.app.photos import Photo
from fftag.app.search import SORTS, STATES, Search
from fftag.app.thumbnails import Held, Thumbnails, Wanted
from fftag.base.errors import FftagError
from fftag.catalogue import load as warehouse
from fftag.reports.review_queue import Answered, take_answers


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def everything(shop: Shop) -> list[Photo]:
    return catalogue.find(shop.db, Search(state="any"), 0, 1000).photos


def matches(one: Photo, search: Search) -> bool:
    """The same rules, in Python."""
    labels, facts = set(one.labels), one.facts
    product = facts["product"] or {}
    checks: list[Any] = [
        set(search.labels) <= labels,
        not search.any_of or labels & set(search.any_of),
        not labels & set(search.none_of),
        search.source in (None, one.source),
        {
            "tagged": facts["status"] == "ok" and facts["is_apparel"] is not False,
            "failed": facts["status"] != "ok",
            "no_apparel": facts["is_apparel"] is False,
            "reviewed": bool(one.said),
            "any": True,
        }[search.state],
        all(product.get(column) in values for column, values in search.where.items()),
    ]
    if search.price_from is not None:
        checks.append(product and product["price"] >= search.price_from)
    if search.price_to is not None:
        checks.append(product and product["price"] <= search.price_to)
    if search.since is not None:
        checks.append(product and product["listed_at"] >= search.since)
    if search.until is not None:
        checks.append(product and product["listed_at"] <= search.until)
    if search.scored is not None:
        score = one.scores.get(search.scored)
        within = score is not None and (
            np.float32(search.least) <= np.float32(score) <= np.float32(search.most)
        )
        checks.append(within if (search.least, search.most) != (0.0, 1.0) else True)
    if search.text:
        texts = (one.image, product.get("brand"), product.get("category"))
        checks.append(any(text and search.text.lower() in text.lower() for text in texts))
    return all(checks)


labels_drawn = st.lists(st.sampled_from(SHOP_LABELS), max_size=2, unique=True)
searches = st.builds(
    Search,
    labels=labels_drawn,
    any_of=labels_drawn,
    none_of=labels_drawn,
    scored=st.none() | st.sampled_from(SHOP_LABELS),
    least=st.sampled_from([0.0, 0.2, 0.5]),
    most=st.sampled_from([0.6, 1.0]),
    where=st.dictionaries(
        st.sampled_from(["brand", "colour = x"]),
        st.lists(st.sampled_from([*SHOP_BRANDS, "deep"]), min_size=1, max_size=2, unique=True),
        max_size=2,
    ),
    price_from=st.none() | st.integers(0, 60),
    price_to=st.none() | st.integers(0, 60),
    since=st.none() | st.dates(date(2025, 1, 1), date(2025, 7, 1)),
    until=st.none() | st.dates(date(2025, 1, 1), date(2025, 7, 1)),
    state=st.sampled_from(list(STATES)),
    text=st.sampled_from(["", "ff-000", "ACME", "%", "_", "'", "co</b>", "bands"]),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(search=searches)
def test_a_search_finds_what_matches_and_nothing_else(
    shop: Shop, everything: list[Photo], search: Search
) -> None:
    found = catalogue.find(shop.db, search, 0, 1000)
    expected = [one.image for one in everything if matches(one, search)]
    assert [one.image for one in found.photos] == expected
    assert found.total == len(expected)


def test_pages_hold_every_photo_once(shop: Shop, everything: list[Photo]) -> None:
    pages = [catalogue.find(shop.db, Search(state="any"), page, 7) for page in range(6)]
    assert [len(page.photos) for page in pages] == [7, 7, 7, 7, 7, SHOP_PHOTOS + 1 - 35]
    assert [one.image for page in pages for one in page.photos] == [one.image for one in everything]
    assert catalogue.find(shop.db, Search(state="any"), 6, 7).photos == []


@pytest.mark.parametrize("label", ["red", *HOSTILE[:2]])
def test_photos_are_sorted_by_score_and_by_doubt(
    shop: Shop, everything: list[Photo], label: str
) -> None:
    def log_odds(score: float) -> float:
        bounded = min(max(score, 1e-6), 1 - 1e-6)
        return float(np.log(bounded / (1 - bounded)))

    scored = [one for one in everything if one.scores and one.image != NO_APPAREL]
    for sort, key in (
        ("score", lambda one: -one.scores[label]),
        ("unsure", lambda one: abs(log_odds(one.scores[label]))),
    ):
        found = catalogue.find(shop.db, Search(scored=label, sort=sort), 0, 1000).photos
        assert [one.image for one in found] == [one.image for one in sorted(scored, key=key)]


def test_photos_are_sorted_by_date_and_price(shop: Shop) -> None:
    for sort, fact, falls in (
        ("newest", "listed_at", True),
        ("oldest", "listed_at", False),
        ("dearest", "price", True),
        ("cheapest", "price", False),
    ):
        found = catalogue.find(shop.db, Search(sort=sort), 0, 1000).photos
        values = [one.facts["product"][fact] for one in found]
        assert values == sorted(values, reverse=falls) and len(values) == SHOP_PHOTOS - 1
    assert set(SORTS) >= {"listed", "score", "unsure"}


def test_a_sort_by_score_needs_a_label(shop: Shop) -> None:
    with pytest.raises(FftagError, match="choose the label"):
        catalogue.find(shop.db, Search(sort="score"))
    with pytest.raises(FftagError, match="no label 'beret'"):
        catalogue.find(shop.db, Search(sort="score", scored="beret"))


def test_what_there_is_to_choose_from(shop: Shop) -> None:
    found = choices(shop.db)
    assert list(found.labels) == SHOP_LABELS and found.labels["red"] == "warm"
    assert found.columns["brand"] == sorted(SHOP_BRANDS) and found.columns["colour = x"] == ["deep"]
    assert found.prices == (10.0, 10.0 + SHOP_PHOTOS - 1) and found.photos == SHOP_PHOTOS + 1
    assert found.days == (date(2025, 1, 15), date(2025, 6, 15))
    assert list(found.sources.values()) == [str(shop.photos)]


def test_the_nearest_are_those_of_the_least_distance(shop: Shop, everything: list[Photo]) -> None:
    one = everything[3]
    others = [other for other in everything if other.scores and other.image != one.image]
    vector = np.array(list(one.scores.values()), np.float32)
    distance = {
        other.image: float(np.linalg.norm(vector - np.array(list(other.scores.values()))))
        for other in others
    }
    near = catalogue.neighbours(shop.db, one, 5)
    assert [other.image for other in near] == sorted(distance, key=distance.__getitem__)[:5]
    assert [other.distance for other in near] == pytest.approx(sorted(distance.values())[:5])


def test_a_photo_has_its_product_and_a_failure_its_reason(shop: Shop) -> None:
    (source,) = choices(shop.db).sources
    one = catalogue.photo(shop.db, source, "rail/FF-0003_1.jpg")
    assert one is not None and one.facts["product"]["price"] == 13.0
    assert set(one.tagged) == {name for name, score in one.scores.items() if score >= 0.5}
    broken = catalogue.photo(shop.db, source, FAILED)
    assert broken is not None and broken.facts["status"] == "unsupported" and not broken.scores
    assert catalogue.neighbours(shop.db, broken) == []
    assert catalogue.photo(shop.db, source, "rail/other.jpg") is None
    assert catalogue.photo(shop.db, "'; drop table images; --", one.image) is None


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "other"])
def test_what_is_no_catalogue_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    db = tmp_path / "catalog.duckdb"
    if kind == "text":
        db.write_text("no database")
    elif kind in ("empty", "other"):
        connection = duckdb.connect(str(db))
        if kind == "other":
            connection.execute("create table images (a integer)")
        connection.close()
    for ask in (stamp, choices, lambda db: catalogue.find(db, Search())):
        with pytest.raises(FftagError) as refused:
            ask(db)
        assert "\n" not in str(refused.value) and str(db) in str(refused.value)


@pytest.fixture
def own_shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path, 6)


def answer(shop: Shop, number: int, label: str, shown: bool) -> Answered:
    (source,) = choices(shop.db).sources
    return Answered(f"rail/FF-{number:04d}_1.jpg", source, label, not shown, shown)


def said(shop: Shop) -> dict[tuple[str, str], bool]:
    found = catalogue.find(shop.db, Search(state="reviewed"), 0, 100).photos
    return {(one.image, label): shown for one in found for label, shown in one.said.items()}


def test_a_correction_stands_above_the_tags_and_outlives_a_load(own_shop: Shop) -> None:
    before = stamp(own_shop.db)
    label = HOSTILE[0]
    with_it = catalogue.find(own_shop.db, Search(labels=[label])).photos
    target = next(n for n in range(6) if f"rail/FF-{n:04d}_1.jpg" not in [p.image for p in with_it])
    take_answers(own_shop.db, [answer(own_shop, target, label, True)], "Ana", "it", "")
    assert stamp(own_shop.db) != before
    for _ in range(2):
        found = catalogue.find(own_shop.db, Search(labels=[label])).photos
        assert len(found) == len(with_it) + 1
        corrected = next(one for one in found if one.said)
        assert label in corrected.labels and label not in corrected.tagged
        own_shop.load()
    take_answers(own_shop.db, [answer(own_shop, target, label, False)], None, "it", "")
    assert len(catalogue.find(own_shop.db, Search(labels=[label])).photos) == len(with_it)


def test_what_is_withdrawn_leaves_no_trace_in_any_count(own_shop: Shop) -> None:
    def counted() -> dict[str, list[tuple[Any, ...]]]:
        connection = duckdb.connect(str(own_shop.db), read_only=True)
        try:
            return {
                table: connection.execute(f"from {table} order by all").fetchall()
                for table in ("all_item_labels", "label_totals", "corrections", "photo_labels")
            }
        finally:
            connection.close()

    before = counted()
    label = HOSTILE[0]
    first, second = answer(own_shop, 0, label, True), answer(own_shop, 1, "red", False)
    take_answers(own_shop.db, [first, second], "Ana", "it", "")
    assert counted()["all_item_labels"] != before["all_item_labels"]
    done = take_answers(own_shop.db, [replace(first, shown=None)], "Bo", "it", "")
    assert (done.answers, done.changed, done.measured) == (0, 0, [])
    assert said(own_shop) == {(second.image, "red"): False}
    own_shop.load()
    assert said(own_shop) == {(second.image, "red"): False}  # a load does not bring it back
    mixed = [replace(second, shown=None), first]
    done = take_answers(own_shop.db, mixed, None, "it", "")
    assert (done.answers, [row["label"] for row in done.measured]) == (1, [label])
    take_answers(own_shop.db, [replace(first, shown=None)], None, "it", "")
    assert counted() == before
    take_answers(own_shop.db, [replace(first, shown=None)], None, "it", "")  # twice is as once
    assert counted() == before


def test_answers_of_what_is_not_there_change_nothing(own_shop: Shop) -> None:
    content = own_shop.db.read_bytes()
    for wrong in (
        replace(answer(own_shop, 0, "red", True), image="rail/gone.jpg"),
        answer(own_shop, 0, "beret", True),
    ):
        with pytest.raises(FftagError, match="look again"):
            take_answers(own_shop.db, [wrong], None, "the app", "look again")
    assert own_shop.db.read_bytes() == content
    assert [path.name for path in own_shop.db.parent.glob(".*")] == []


def test_reviewers_at_the_same_time_lose_no_answer(own_shop: Shop) -> None:
    jobs = [
        threading.Thread(
            target=take_answers,
            args=(own_shop.db, [answer(own_shop, number, "red", True)], None, "it", ""),
        )
        for number in range(5)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert set(said(own_shop)) == {(f"rail/FF-{number:04d}_1.jpg", "red") for number in range(5)}


def test_a_correction_made_while_a_load_builds_is_kept(
    own_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Callable[..., None] = warehouse.fill_tables
    one = answer(own_shop, 2, "blue", True)
    sheet = own_shop.db.with_name("answers.csv")
    pd.DataFrame([{"image": one.image, "source": one.source, "label": one.label}]).assign(
        tagged="no", correct="yes"
    ).to_csv(sheet, index=False)
    command = ["review", "import", str(sheet), "--db", str(own_shop.db)]

    def fill_slowly(*given: Any) -> None:
        whole(*given)
        subprocess.run([sys.executable, "-m", "fftag", *command], check=True, capture_output=True)

    monkeypatch.setattr(warehouse, "fill_tables", fill_slowly)
    own_shop.load()
    assert said(own_shop) == {("rail/FF-0002_1.jpg", "blue"): True}


def test_a_replaced_file_is_noticed(own_shop: Shop) -> None:
    before = stamp(own_shop.db)
    assert stamp(own_shop.db) == before
    own_shop.load()
    assert stamp(own_shop.db) != before
    make_shop(own_shop.db.parent, 9, "run-2")
    assert catalogue.find(own_shop.db, Search()).total == 8  # of nine, one shows no apparel


def test_dates_without_a_feed_are_the_photos_own(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, 3)
    warehouse.load(shop.tags, shop.db, None, warehouse.LoadOptions(dates="file"))
    days = choices(shop.db).days
    assert days is not None
    assert catalogue.find(shop.db, Search(since=days[0])).total == 3
    assert catalogue.find(shop.db, Search(since=days[1] + timedelta(1))).total == 0
    assert catalogue.find(shop.db, Search(sort="newest")).total == 3


def test_thumbnails_are_made_once_and_held_within_a_bound(shop: Shop) -> None:
    held = Held(6000)
    thumbnails = Thumbnails(shop.photos, held)
    try:
        wanted = [Wanted(f"rail/FF-{number:04d}_1.jpg", str(number)) for number in range(8)]
        first = thumbnails(wanted, 64)
        assert all(one.jpeg and one.jpeg[:2] == b"\xff\xd8" for one in first)
        assert 0 < held.size <= 6000
        assert thumbnails(wanted[-1:], 64) == first[-1:]
        assert held.get((shop.photos, 64, wanted[-1].image, "7")) == first[-1].jpeg
        assert held.get((shop.photos, 64, wanted[0].image, "0")) is None
        bad = thumbnails([Wanted(FAILED), Wanted("rail/gone.jpg"), Wanted("../feed.csv")])
        assert [one.jpeg for one in bad] == [None] * 3
        assert [str(one.error).split(":")[0] for one in bad] == [
            "unsupported",
            "vanished",
            "unreadable",
        ]
        assert "out of the folder" in str(bad[2].error)
    finally:
        thumbnails.close()
