"""Each report finds the fact that was planted for it, by value; and nothing where there is none."""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from catalogues import SENSITIVITY, SPECIFICITY, Catalog, catalogue, truth, write_feed
from scipy import stats

from fftag.base.errors import FftagError
from fftag.base.resources import sql_folder
from fftag.catalogue.load import load
from fftag.catalogue.options import LoadOptions, Named
from fftag.catalogue.tables import make_items, run_script
from fftag.reports.ask import Filters, all_reports, run_report
from fftag.reports.write import as_table, write_site


@pytest.fixture(scope="module")
def products() -> pd.DataFrame:
    return truth()


@pytest.fixture(scope="module")
def db(products: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a perfect model sees it."""
    return catalogue(tmp_path_factory.mktemp("facts"), products)


@pytest.fixture(scope="module")
def blurred(products: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a model with errors sees it."""
    return catalogue(tmp_path_factory.mktemp("blurred"), products, errors=True)


def has(products: pd.DataFrame, label: str) -> pd.Series:
    return products["labels"].map(lambda labels: label in labels)


def rows(db: Path, name: str, **given: str) -> pd.DataFrame:
    return run_report(db, name, given).table


def test_what_rises_all_the_way_is_steady(db: Path) -> None:
    table = rows(db, "trend").set_index("label")
    assert table.loc["scarf", "verdict"] == "rising" and table.loc["scarf", "steady"]
    assert table["verdict"].notna().sum() == 1
    assert not table.drop(index="scarf")["steady"].any()


def test_kendalls_tau_is_scipys(db: Path, products: pd.DataFrame) -> None:
    table = rows(db, "trend").set_index("label")
    months = products["listed_at"].map(lambda day: (day.year, day.month))
    for label in ("scarf", "dress", "hat"):
        shares = has(products, label).groupby(months).mean()
        tau = stats.kendalltau(np.arange(len(shares)), shares).statistic
        assert table.loc[label, "tau"] == pytest.approx(tau)


def test_a_season_is_told_from_a_trend(db: Path) -> None:
    table = rows(db, "seasonality")
    assert table["label"].tolist()[0] == "hat"
    assert table["verdict"].tolist()[0] == "seasonal" and table["verdict"].notna().sum() == 1
    assert table["peak"].tolist()[0] == "Jun to Aug"
    assert table["difference"].tolist()[0] == pytest.approx(0.22, abs=0.06)
    assert (table["years"] == 2).all()


def test_one_year_has_no_season(tmp_path: Path, products: pd.DataFrame) -> None:
    one = products[products["listed_at"] < pd.Timestamp("2025-06-01").date()]
    answer = run_report(catalogue(tmp_path, one), "seasonality")
    assert answer.table.empty and "two years" in as_table(answer)


def test_what_changed_between_two_periods(db: Path, products: pd.DataFrame) -> None:
    ends = {"first_from": "2024-01-01", "first_to": "2024-03-31"}
    ends |= {"last_from": "2025-10-01", "last_to": "2025-12-31"}
    table = rows(db, "changed", **ends).set_index("label")
    assert table.index[0] == "scarf" and table.loc["scarf", "verdict"] == "more"
    dates = pd.to_datetime(products["listed_at"])
    first, last = dates < "2024-04-01", dates >= "2025-10-01"
    for label in table.index:
        change = has(products, label)[last].mean() - has(products, label)[first].mean()
        assert table.loc[label, "change"] == pytest.approx(change)


def test_left_out_periods_are_the_last_months_with_listings(db: Path) -> None:
    table = rows(db, "changed")
    ends = [str(table[name].iloc[0])[:10] for name in ("first_from", "first_to", "last_from")]
    assert ends == ["2025-07-01", "2025-09-30", "2025-10-01"]


def test_newness_is_the_share_listed_lately(db: Path, products: pd.DataFrame) -> None:
    table = rows(db, "newness", weeks="10").set_index("label")
    dates = pd.to_datetime(products["listed_at"])
    fresh = dates > dates.max() - pd.Timedelta(weeks=10)
    for label in table.index:
        assert table.loc[label, "share_new"] == pytest.approx(fresh[has(products, label)].mean())
    assert table.index[0] == "scarf"


def test_capes_cost_twice_as_much(db: Path, products: pd.DataFrame) -> None:
    table = rows(db, "prices").set_index("label")
    assert table["ratio"].idxmax() == "cape" and table.loc["cape", "ratio"] > 1.4
    assert table.loc["cape", "median"] == products[has(products, "cape")]["price"].median()
    assert (table["low"] <= table["median"]).all() and (table["median"] <= table["high"]).all()
    assert table.loc["cape", "dear"] > 0.7
    sums = table["cheap"] + table["middle"] + table["dear"]
    assert sums.to_numpy() == pytest.approx(1)


def test_brio_is_strong_in_capes(db: Path) -> None:
    table = rows(db, "brands")
    first = table.iloc[0]
    assert (first["brand"], first["label"], first["verdict"]) == ("Brio", "cape", "strong")
    assert first["low"] > 1.5
    acme = table[(table["brand"] == "Acme") & (table["label"] == "belt")].iloc[0]
    assert acme["verdict"] == "weak" and acme["high"] < 0.5


def test_a_small_brand_is_not_strong_by_chance(tmp_path: Path) -> None:
    photos = {f"A{n}.jpg": (["cape"] if n % 10 == 0 else []) for n in range(500)}
    photos |= {"B0.jpg": ["cape"], "B1.jpg": ["cape"]}
    feed = [{"sku": name[:-4], "brand": name[0]} for name in photos]
    tags = Catalog(["cape"], photos).write(tmp_path / "t.parquet")
    load(tags, tmp_path / "c.duckdb", write_feed(tmp_path / "f.csv", feed))
    table = rows(tmp_path / "c.duckdb", "brands", min_items="1", prior="20")
    (small,) = table[table["brand"] == "B"].to_dict("records")
    assert small["share"] == 1 and small["strength"] < 4
    assert rows(tmp_path / "c.duckdb", "brands", min_items="5")["brand"].tolist() in ([], ["A"])


def test_the_gap_is_found(db: Path) -> None:
    table = rows(db, "gaps")
    assert (table["ours"] == "Acme").all()
    assert set(table["label"][:2]) == {"belt", "cape"}
    assert (table["verdict"][:2] == "gap").all() and (table["low"][:2] > 0.05).all()
    turned = rows(db, "gaps", ours="Brio", theirs="Acme").set_index("label")
    assert turned.loc["belt", "verdict"] == turned.loc["cape", "verdict"] == "lead"


def test_shirts_go_with_ties(db: Path) -> None:
    first = rows(db, "pairs").iloc[0]
    assert (first["label_a"], first["label_b"]) == ("shirt", "tie") and first["low"] > 2


def test_dresses_under_trousers_are_found(db: Path, products: pd.DataFrame) -> None:
    table = rows(db, "category")
    wrong = (products["category"] == "trousers") & has(products, "dress")
    none = products["category"].isna()
    found = table.set_index(["category", "photos_say"])["items"]
    assert found[("trousers", "dresses")] == wrong.sum()
    assert found["missing"].sum() == none.sum()
    assert len(table) == 4


def test_errors_of_the_model_are_taken_out_of_the_share(
    blurred: Path, products: pd.DataFrame
) -> None:
    table = rows(blurred, "share").set_index("label")
    assert table["corrected"].all()
    inside = 0
    for label in table.index:
        true = has(products, label).mean()
        expected = (table.loc[label, "seen"] + SPECIFICITY - 1) / (SENSITIVITY + SPECIFICITY - 1)
        assert table.loc[label, "share"] == pytest.approx(np.clip(expected, 0, 1), abs=1e-9)
        inside += table.loc[label, "low"] <= true <= table.loc[label, "high"]
    assert inside >= len(table) - 1
    # What is seen of a frequent label is wrong by more than its own interval.
    assert has(products, "dress").mean() - table.loc["dress", "seen"] > 0.03


def test_the_change_without_errors_holds_the_truth(blurred: Path, products: pd.DataFrame) -> None:
    row = rows(blurred, "trend").set_index("label").loc["scarf"]
    dates = pd.to_datetime(products["listed_at"])
    early, late = dates < "2024-07-01", dates >= "2025-07-01"
    scarf = has(products, "scarf")
    true = scarf[late].mean() - scarf[early].mean()
    assert row["true_low"] < true < row["true_high"]
    assert row["true_change"] == pytest.approx(row["change"] / (SENSITIVITY + SPECIFICITY - 1))


def test_where_no_correction_is_possible_it_says_so(tmp_path: Path) -> None:
    bad = {"tp": 55, "fn": 45, "fp": 48, "tn": 52}
    none = {"tp": 0, "fn": 0, "fp": 1, "tn": 99}
    good = {"tp": 90, "fn": 10, "fp": 5, "tn": 95}
    photos = {f"{n}.jpg": ["a", "b", "c"] if n % 3 == 0 else [] for n in range(90)}
    tags = Catalog(["a", "b", "c"], photos, validation=[bad, none, good])
    load(tags.write(tmp_path / "t.parquet"), tmp_path / "c.duckdb")
    table = rows(tmp_path / "c.duckdb", "prevalence").set_index("label")
    assert "chance" in table.loc["a", "why_not"] and "no photo with it" in table.loc["b", "why_not"]
    assert table.loc[["a", "b"], "corrected"].isna().all()
    assert pd.isna(table.loc["c", "why_not"]) and table.loc["c", "corrected"] > 0
    shares = rows(tmp_path / "c.duckdb", "share").set_index("label")
    assert shares["corrected"].to_dict() == {"a": False, "b": False, "c": True}
    assert shares.loc["a", "share"] == pytest.approx(1 / 3)


GRID = [
    (sensitivity, specificity, share, with_it, without, n)
    for sensitivity in (0.7, 0.8, 0.9, 0.95)
    for specificity in (0.9, 0.95, 0.97, 0.99)
    for share in (0.05, 0.1, 0.3, 0.6)
    for with_it, without in ((50, 200), (100, 500), (300, 2000))
    for n in (500, 3000)
]


@pytest.mark.slow
def test_corrected_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(8)
    draws = 1500
    connection = duckdb.connect()
    connection.execute((sql_folder() / "macros.sql").read_text())
    coverage, naive = [], []
    for se, sp, share, with_it, without, n in GRID:
        tp, tn = rng.binomial(with_it, se, draws), rng.binomial(without, sp, draws)
        x = rng.binomial(n, share * se + (1 - share) * (1 - sp), draws)
        drawn = pd.DataFrame({"x": x, "tp": tp, "fn": with_it - tp, "tn": tn, "fp": without - tn})
        assert len(drawn)
        ours, usual = connection.execute(
            """
            select avg(($t between low and high)::int), avg(($t between wl and wh)::int)
            from (
                select corrected_low(x, $n, tp, fp, fn, tn) as low,
                    corrected_high(x, $n, tp, fp, fn, tn) as high,
                    wilson_low(x, $n) as wl, wilson_high(x, $n) as wh
                from drawn)
            """,
            {"t": share, "n": n},
        ).fetchall()[0]
        coverage.append(ours)
        naive.append(usual)
    connection.close()
    covered = np.array(coverage)
    assert covered.min() > 0.92 and 0.94 < covered.mean() < 0.975
    assert np.quantile(covered, 0.9) < 0.98
    assert np.mean(naive) < 0.4  # the usual interval of what is seen misses the truth mostly


def test_what_changes_with_the_other_model_is_found(db: Path, products: pd.DataFrame) -> None:
    table = rows(db, "drift", first="run-0", last="run-1").set_index("label")
    assert table["verdict"].notna().sum() == 2
    dress = has(products, "dress")[np.arange(len(products)) % 10 == 0].sum()
    assert (table.loc["dress", "gained"], table.loc["dress", "lost"]) == (dress, 0)
    assert table.loc["pants", "change"] < 0 < table.loc["dress", "change"]
    assert table.loc["hat", "agreement"] == 1
    auto = rows(db, "drift").set_index("label")
    assert auto["change"].to_dict() == table["change"].to_dict()


def test_runs_of_another_model_are_not_counted(db: Path, products: pd.DataFrame) -> None:
    answer = run_report(db, "share")
    assert f"Left out: 3 files that could not be read, {len(products):,} photos of other" in (
        answer.basis
    )
    share = answer.table.set_index("label").loc["dress", "share"]
    assert share == pytest.approx(has(products, "dress").mean())


def test_the_review_queue_has_the_least_sure_photos_of_rare_labels_first(tmp_path: Path) -> None:
    photos = {f"{n}.jpg": ["cape"] if n < 2 else ["hat"] for n in range(20)}
    scores = {"5.jpg": [0.49, 0.9], "6.jpg": [0.3, 0.55], "0.jpg": [0.6, 0.1]}
    tags = Catalog(["cape", "hat"], photos, scores=scores).write(tmp_path / "t.parquet")
    load(tags, tmp_path / "c.duckdb")
    table = rows(tmp_path / "c.duckdb", "review", per_label="2")
    assert table["label"].tolist() == ["cape", "cape", "hat", "hat"]
    assert table["image"].tolist()[:3] == ["5.jpg", "0.jpg", "6.jpg"]
    assert table["tagged"].tolist()[:2] == [False, True]


def test_a_photo_under_two_products_is_found(db: Path) -> None:
    (row,) = rows(db, "duplicates").to_dict("records")
    assert (row["products"], row["files"], row["items"]) == (2, 2, "P-00000, P-00001")


def test_coverage_counts_from_files_to_products(db: Path, products: pd.DataFrame) -> None:
    (row,) = rows(db, "coverage").to_dict("records")
    n = len(products)
    assert (row["files"], row["failed"], row["photos_counted"]) == (n + 3, 3, n)
    assert (row["products"], row["products_with_photo"], row["without_product"]) == (n, n, 0)


def test_health_names_what_there_is_to_do(db: Path, products: pd.DataFrame) -> None:
    table = rows(db, "health").set_index("check")
    look = table[table["verdict"] == "look"]["count"].to_dict()
    assert look["files that could not be read"] == 3
    assert look["photos under several products"] == 2
    assert look["products without a category"] == products["category"].isna().sum()
    assert table.loc["products without a photo", "verdict"] == "fine"
    named = {report.name for report in all_reports()}
    assert set(table["report"]) <= named


def test_filters_narrow_down_every_report(db: Path, products: pd.DataFrame) -> None:
    brio = products[products["brand"] == "Brio"]
    answer = run_report(db, "share", None, Filters({"brand": ["Brio"]}))
    assert answer.table["of_items"].iloc[0] == len(brio)
    assert answer.basis.startswith(f"Only: brand Brio. Counted: {len(brio):,} products")
    two = run_report(db, "share", None, Filters({"brand": ["Brio", "Cora"], "currency": ["EUR"]}))
    assert two.table["of_items"].iloc[0] == products["brand"].isin(["Brio", "Cora"]).sum()
    day = pd.Timestamp("2025-03-15").date()
    since = run_report(db, "share", None, Filters(since=day))
    assert since.table["of_items"].iloc[0] == (products["listed_at"] >= day).sum()
    until = run_report(db, "trend", None, Filters(until=day, labels=["scarf", "hat"]))
    assert set(until.table["label"]) == {"scarf", "hat"}
    group = run_report(db, "share", None, Filters(groups=["neck"]))
    assert set(group.table["label"]) == {"scarf", "tie"}


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (Filters({"brnd": ["x"]}), "--where: there is no 'brnd': did you mean 'brand'"),
        (Filters(labels=["drss"]), "--label: there is no 'drss': did you mean 'dress'"),
        (Filters(groups=["shoes"]), "--group: there is no 'shoes': there are"),
    ],
)
def test_a_filter_that_names_nothing_is_refused(db: Path, filters: Filters, words: str) -> None:
    with pytest.raises(FftagError) as caught:
        run_report(db, "share", None, filters)
    assert words in str(caught.value)


def test_values_of_filters_are_bound(db: Path) -> None:
    nasty = Filters({"brand": ["x'; drop table tags; --", "\"']}"]})
    assert run_report(db, "share", None, nasty).table.empty


def test_all_reports_make_one_page(db: Path, tmp_path: Path) -> None:
    answers = [run_report(db, report.name) for report in all_reports()]
    page = write_site(answers, tmp_path / "site").read_text()
    for answer in answers:
        assert answer.report.question.replace("'", "&#39;") in page
    assert page.count("<details><summary>SQL</summary>") == len(answers)
    assert page.count("data:image/png") >= 10
    assert 'src="http' not in page and 'href="http' not in page


def test_reports_of_ones_own_stand_beside_the_shipped_ones(db: Path, tmp_path: Path) -> None:
    lines = ("title = 'A'", "question = 'B?'", "read = 'C.'", "empty = 'D.'")
    own = "\n".join([*(f"-- {line}" for line in lines), "select 7 as n;"])
    (tmp_path / "mine.sql").write_text(own)
    (tmp_path / "share.sql").write_text(own)
    names = [report.name for report in all_reports(tmp_path)]
    assert "mine" in names and "trend" in names
    assert run_report(db, "share", folder=tmp_path).table["n"].tolist() == [7]
    with pytest.raises(FftagError, match="no report in"):
        all_reports(tmp_path / "none")


FAKE = """
insert into settings values (2, 'union', 'feed', false, null, '{}');
insert into runs
    values ('r', 's', 's', 'm', '0', '{}',
        null, null, null, 0, 0, 0, null, null, now()::timestamp, true);
insert into labels by name
select i as position, 'labels' as "group", 'label ' || i as label, 'many' as kind, 0.5 as threshold
    from range(30) as t(i);
insert into products (source, sku, listed_at)
    select 's', i::varchar, date '2024-01-01' + to_months((i // 50)::integer)
    from range(1200) as t(i);
insert into images (image, source, sku, status, model_id, run_id, tagged_at)
    select i::varchar, 's', i::varchar, 'ok', 'm', 'r', now()::timestamp from range(1200) as t(i);
"""


@pytest.fixture
def chance() -> Iterator[duckdb.DuckDBPyConnection]:
    """A catalogue of 1,200 products listed over two years, without tags yet."""
    connection = duckdb.connect()
    for name in ("schema.sql", "macros.sql", "photos.sql"):
        run_script(connection, name)
    connection.execute(FAKE)
    make_items(connection)
    yield connection
    connection.close()


def draw_labels(
    connection: duckdb.DuckDBPyConnection, rng: np.random.Generator, rarest: float = 0.05
) -> None:
    """Each label on a share of the items, which has nothing to do with anything else."""
    item, label = np.nonzero(rng.random((1200, 30)) < np.linspace(rarest, 0.5, 30))
    drawn = pd.DataFrame({"image": item.astype(str), "label": [f"label {n}" for n in label]})
    assert len(drawn)
    connection.execute("delete from tags")
    connection.execute("insert into tags select image, 'labels', label, 0.9, 'r' from drawn")
    run_script(connection, "item_labels.sql")


def report_sql(name: str) -> str:
    return (sql_folder() / f"reports/{name}.sql").read_text(encoding="utf-8")


def test_the_interval_of_lift_holds_the_truth_as_often_as_it_says(
    chance: duckdb.DuckDBPyConnection,
) -> None:
    rng, held = np.random.default_rng(5), []
    chance.execute("set variable min_items = 1")
    for _ in range(8):
        draw_labels(chance, rng, rarest=0.2)
        found = chance.execute(report_sql("pairs")).df()
        assert len(found) == 30 * 29 / 2
        held += ((found["low"] < 1) & (found["high"] > 1)).tolist()  # the truth: independent
    assert np.mean(held) == pytest.approx(0.95, abs=0.012)


def test_the_interval_of_a_median_holds_the_truth_as_often_as_it_says(
    chance: duckdb.DuckDBPyConnection,
) -> None:
    rng, held = np.random.default_rng(2), []
    draw_labels(chance, rng)
    for _ in range(60):
        prices = pd.DataFrame({"item_id": np.arange(1200), "price": rng.exponential(size=1200)})
        assert len(prices)
        chance.execute(
            "update all_items set price = prices.price from prices "
            "where prices.item_id = all_items.item_id"
        )
        found = chance.execute(report_sql("prices")).df()
        assert len(found) == 30 and (found["items"] > 30).all()
        held += ((found["low"] <= np.log(2)) & (np.log(2) <= found["high"])).tolist()
    # Ranks are whole numbers: it holds the truth somewhat more often than it says.
    assert 0.95 < np.mean(held) < 0.975


@pytest.mark.slow
def test_where_nothing_was_planted_hardly_anything_is_found(
    chance: duckdb.DuckDBPyConnection,
) -> None:
    rng = np.random.default_rng(4)
    false_trends = false_courses = false_seasons = 0
    seeds = 200
    for _ in range(seeds):
        draw_labels(chance, rng)
        found = chance.execute(report_sql("trend")).df()
        assert len(found) == 30
        false_trends += found["verdict"].notna().any()
        false_courses += found["steady"].any()
        false_seasons += chance.execute(report_sql("seasonality")).df()["verdict"].notna().any()
    # With nothing to find, the false-discovery rate is the share of catalogues with any discovery.
    most = stats.binom.ppf(0.999, seeds, 0.05)
    assert false_trends <= most and false_courses <= most and false_seasons <= most


def test_several_sources_are_counted_together_and_apart(tmp_path: Path) -> None:
    shops = {"north": ["cape"] * 3 + ["hat"], "south": ["hat"] * 4 + ["cape"]}
    tags, feeds = [], []
    for shop, labels in shops.items():
        photos = {f"{n}.jpg": [label] for n, label in enumerate(labels)}
        made = Catalog(["cape", "hat"], photos, run_id=f"run-{shop}")
        tags.append(Named(made.write(tmp_path / f"{shop}.parquet"), shop))
        feed = [{"sku": str(n), "currency": shop} for n in range(len(labels))]
        feeds.append(Named(write_feed(tmp_path / f"{shop}.csv", feed), shop))
    db = tmp_path / "c.duckdb"
    summary = load(tags, db, feeds)
    assert (summary.products, summary.joined, summary.not_counted) == (9, 9, 0)
    answer = run_report(db, "share")
    assert answer.table.set_index("label")["items"].to_dict() == {"cape": 4, "hat": 5}
    assert "of 2 sources" in answer.basis
    only = run_report(db, "share", None, Filters({"source": ["north"]}))
    assert only.table.set_index("label")["items"].to_dict() == {"cape": 3, "hat": 1}
    gaps = run_report(db, "gaps", {"across": "source", "ours": "south", "min_items": "1"}).table
    assert gaps["label"].tolist()[0] == "cape"
    with pytest.raises(FftagError, match="could belong to 2 sources"):
        load(tags, db, feeds[0].path)
    with pytest.raises(FftagError, match="of which there are no tags"):
        load(tags, db, [Named(feeds[0].path, "west")])


def test_a_source_of_another_model_is_left_out_unless_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Catalog(["cape"], {"a.jpg": ["cape"]}, run_id="1")
    two = Catalog(["hat"], {"b.jpg": ["hat"]}, run_id="2", model_id="ef" * 32)
    tags = [
        Named(one.write(tmp_path / "1.parquet"), "north"),
        Named(two.write(tmp_path / "2.parquet"), "south"),
    ]
    db = tmp_path / "c.duckdb"
    assert load(tags, db).not_counted == 1
    assert "tag it anew with this one, or load with --mix-models" in capsys.readouterr().err
    assert len(run_report(db, "share").table) == 1
    load(tags, db, None, LoadOptions(mix_models=True))
    assert set(run_report(db, "share").table["label"]) == {"cape", "hat"}


def test_a_vote_asks_for_half_of_the_photos(tmp_path: Path) -> None:
    photos = {"A_1.jpg": ["cape", "hat"], "A_2.jpg": ["cape"], "A_3.jpg": ["cape"]}
    tags = Catalog(["cape", "hat"], photos).write(tmp_path / "t.parquet")
    feed = write_feed(tmp_path / "f.csv", [{"sku": "A"}])
    found = {}
    for labels_by in ("union", "vote"):
        load(tags, tmp_path / "c.duckdb", feed, LoadOptions(labels_by=labels_by))
        table = rows(tmp_path / "c.duckdb", "share")
        found[labels_by] = table.set_index("label")["items"].to_dict()
    assert found == {"union": {"cape": 1, "hat": 1}, "vote": {"cape": 1}}
    with pytest.raises(FftagError, match="--labels-by takes union, vote"):
        LoadOptions(labels_by="all")


@pytest.mark.parametrize(
    ("dates", "expected"),
    [("feed", "2025-01-31"), ("folder", "2025-03-01"), ("exif", "2025-02-02"),
     ("file", "2026-02-01"), ("auto", "2025-01-31")],
)  # fmt: skip
def test_dates_are_from_where_they_are_asked_for(tmp_path: Path, dates: str, expected: str) -> None:
    taken = {"2025-03/A.jpg": pd.Timestamp("2025-02-02 10:00").to_pydatetime()}
    tags = Catalog(["cape"], {"2025-03/A.jpg": ["cape"]}, taken=taken).write(tmp_path / "t.parquet")
    feed = write_feed(tmp_path / "f.csv", [{"sku": "A", "listed_at": "2025-01-31"}])
    summary = load(tags, tmp_path / "c.duckdb", feed, LoadOptions(dates=dates))
    connection = duckdb.connect(str(tmp_path / "c.duckdb"), read_only=True)
    (found,) = connection.execute("select listed_at::varchar from items").fetchall()
    connection.close()
    assert found == (expected,)
    assert summary.dates_from == ("feed" if dates == "auto" else dates)


def test_without_a_feed_dates_are_those_of_the_folders(tmp_path: Path) -> None:
    photos = {"2025-03/a.jpg": ["cape"], "2025-04-17/b.jpg": [], "x/2025-99.jpg": []}
    tags = Catalog(["cape"], photos).write(tmp_path / "t.parquet")
    assert load(tags, tmp_path / "c.duckdb").dates_from == "folder"
    months = rows(tmp_path / "c.duckdb", "monthly")["month"].dt.strftime("%Y-%m").tolist()
    assert months == ["2025-03", "2025-04"]


TAXONOMY = """
[[label]]
name = "pants"
group = "lowerbody"
synonyms = ["trousers", "slacks"]
translations = { de = "Hose" }

[[label]]
name = "hat"
"""


def test_a_taxonomy_gives_groups_synonyms_and_translations(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(TAXONOMY)
    counts = {"tp": 9, "fp": 1, "fn": 1, "tn": 9}
    photos = {"a.jpg": ["trousers", "slacks"], "b.jpg": ["slacks"], "c.jpg": ["cape"]}
    labels = ["trousers", "slacks", "cape", "hat"]
    tags = Catalog(labels, photos, ["x", None, "outer", None], validation=[counts] * 4)
    db = tmp_path / "c.duckdb"
    load(
        tags.write(tmp_path / "t.parquet"), db, None,
        LoadOptions(taxonomy=str(tmp_path / "own.toml")),
    )  # fmt: skip
    table = rows(db, "share").set_index("label")
    assert table.loc["pants", ["items", "group"]].tolist() == [2, "lowerbody"]
    assert table.loc["cape", ["items", "group"]].tolist() == [1, "outer"]
    # Two model labels behind one name were not validated together.
    assert not table.loc["pants", "corrected"] and table.loc["cape", "corrected"]
    german = run_report(db, "share", language="de").table["label"].tolist()
    assert "Hose" in german and "pants" not in german
    with pytest.raises(FftagError, match=r"no labels in 'fr' \(it has: de\)"):
        run_report(db, "share", language="fr")
    queue = rows(db, "review")
    assert set(queue["label"]) == {"pants", "cape", "hat"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[label]]\nname = "a"\nsynonyms = ["b"]\n[[label]]\nname = "b"\n', "stands for"),
        ('[[label]]\nname = "a"\nsynonyms = "b"\n', "are a list of names"),
        ('[[label]]\nname = "a"\ntranslations = ["b"]\n', "language = name"),
    ],
)
def test_a_taxonomy_that_is_wrong_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    tags = Catalog(["a"], {"a.jpg": ["a"]}).write(tmp_path / "t.parquet")
    with pytest.raises(FftagError, match=words):
        load(tags, tmp_path / "c.duckdb", None, LoadOptions(taxonomy=str(tmp_path / "own.toml")))


def test_a_feed_with_other_names_and_in_json(tmp_path: Path) -> None:
    tags = Catalog(["cape"], {"A.jpg": ["cape"]}).write(tmp_path / "t.parquet")
    db = tmp_path / "c.duckdb"
    content = [{"id": "A", "launch": "2025-01-31", "cost": 7.5, "sku": "other", "vegan": True}]
    (tmp_path / "f.json").write_text(json.dumps(content))
    (tmp_path / "f.jsonl").write_text("\n".join(map(json.dumps, content)))
    columns = {"sku": "id", "listed_at": "launch", "price": "cost"}
    for name in ("f.json", "f.jsonl"):
        assert load(tags, db, tmp_path / name, LoadOptions(columns=columns)).joined == 1
    connection = duckdb.connect(str(db), read_only=True)
    row = connection.execute('select sku, listed_at::varchar, price, "sku (feed)" from products')
    assert row.fetchall() == [("A", "2025-01-31", 7.5, "other")]
    connection.close()
    (tmp_path / "bad.json").write_text('{"a": 1}')
    with pytest.raises(FftagError, match="a list of objects"):
        load(tags, db, tmp_path / "bad.json")
    with pytest.raises(FftagError, match="has no column 'nope'"):
        load(tags, db, tmp_path / "f.json", LoadOptions(columns={"sku": "nope"}))
    with pytest.raises(FftagError, match="name one of sku"):
        load(tags, db, tmp_path / "f.json", LoadOptions(columns={"size": "id"}))


def test_the_planted_catalogue_is_as_it_says(products: pd.DataFrame) -> None:
    assert len(products) == 24 * 80
    assert products["sku"].is_unique
