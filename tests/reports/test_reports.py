"""The reports: numbers against reference formulas, both ways to run them, and every format."""

import errno
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from catalogues import GAP, MONTHS, SHARES, Catalog, planted, write_feed
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from fftag.base.errors import FftagError
from fftag.base.resources import sql_folder
from fftag.base.text_table import text_table
from fftag.catalogue.load import load
from fftag.reports.ask import Answer, all_reports, run_report
from fftag.reports.files import read_report
from fftag.reports.write import as_csv, as_json, as_table, write_answer, write_site

NAMES = [report.name for report in all_reports()]
SHELL = shutil.which("duckdb", path=str(Path(sys.executable).parent)) or shutil.which("duckdb")


@pytest.fixture(scope="session")
def trends(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A catalogue with planted trends, and the truth."""
    folder = tmp_path_factory.mktemp("trends")
    tags, feed, truth = planted(folder)
    load(tags, folder / "catalog.duckdb", feed)
    return folder / "catalog.duckdb", truth


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    load(Catalog(["cape"], {}).write(folder / "tags.parquet"), folder / "catalog.duckdb")
    return folder / "catalog.duckdb"


@pytest.fixture(scope="session")
def macros() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute((sql_folder() / "macros.sql").read_text())
    yield connection
    connection.close()


def asked(connection: duckdb.DuckDBPyConnection, query: str, *values: int | float) -> list[float]:
    return list(connection.execute(query, list(values)).fetchall()[0])


def wilson(k: int, n: int) -> tuple[float, float]:
    result = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    return result.low, result.high


COUNTS = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_wilson_is_scipys(macros: duckdb.DuckDBPyConnection, count: tuple[int, int]) -> None:
    low, high = asked(macros, "select wilson_low($1, $2), wilson_high($1, $2)", *count)
    assert (low, high) == pytest.approx(wilson(*count), abs=1e-9)
    assert 0 <= low <= count[0] / count[1] <= high <= 1


def test_wilson_of_nothing_is_null(macros: duckdb.DuckDBPyConnection) -> None:
    assert asked(macros, "select wilson_low(0, 0), wilson_high(0, 0)") == [None, None]


def newcombe(k1: int, n1: int, k2: int, n2: int) -> tuple[float, float]:
    """Newcombe 1998, method 10, written from the paper: p2 - p1."""
    (l1, u1), (l2, u2) = wilson(k1, n1), wilson(k2, n2)
    p1, p2 = k1 / n1, k2 / n2
    delta, epsilon = math.hypot(p2 - l2, u1 - p1), math.hypot(u2 - p2, p1 - l1)
    return p2 - p1 - delta, p2 - p1 + epsilon


@settings(max_examples=60, deadline=None)
@given(COUNTS, COUNTS)
def test_the_difference_is_newcombes(
    macros: duckdb.DuckDBPyConnection, first: tuple[int, int], last: tuple[int, int]
) -> None:
    query = "select difference_low($1, $2, $3, $4), difference_high($1, $2, $3, $4)"
    got = asked(macros, query, *first, *last)
    assert got == pytest.approx(newcombe(*first, *last), abs=1e-9)


def test_newcombes_own_example(macros: duckdb.DuckDBPyConnection) -> None:
    # Newcombe 1998, table II, example (a): 56/70 - 48/80 = 0.2, interval 0.0524 to 0.3339.
    query = "select difference_low(48, 80, 56, 70), difference_high(48, 80, 56, 70)"
    assert asked(macros, query) == pytest.approx([0.0524, 0.3339], abs=5e-5)


@settings(max_examples=60, deadline=None)
@given(st.floats(-6, 6))
def test_p_values_are_scipys(macros: duckdb.DuckDBPyConnection, z: float) -> None:
    assert asked(macros, "select p_of_z($1)", z) == pytest.approx(
        [2 * stats.norm.sf(abs(z))], abs=2e-7
    )


def test_the_z_of_two_shares_is_the_root_of_chi_square(macros: duckdb.DuckDBPyConnection) -> None:
    table = [[30, 70], [45, 55]]
    chi = stats.chi2_contingency(table, correction=False).statistic
    assert asked(macros, "select difference_z(30, 100, 45, 100)") == pytest.approx([math.sqrt(chi)])
    assert asked(macros, "select difference_z(0, 9, 0, 9)") == [0]


def test_shares_are_those_of_the_truth(trends: tuple[Path, pd.DataFrame]) -> None:
    db, truth = trends
    table = run_report(db, "share").table.set_index("label")
    for label in SHARES:
        k = sum(label in seen for seen in truth["labels"])
        assert table.loc[label, ["items", "of_items"]].tolist() == [k, len(truth)]
        assert table.loc[label, "share"] == pytest.approx(k / len(truth))
        interval = table.loc[label, ["low", "high"]].tolist()
        assert interval == pytest.approx(wilson(k, len(truth)), abs=1e-9)
    assert table["share"].is_monotonic_decreasing


def test_months_are_those_of_the_truth_and_a_month_without_listings_is_a_gap(
    trends: tuple[Path, pd.DataFrame],
) -> None:
    db, truth = trends
    table = run_report(db, "monthly").table
    assert len(table) == len(SHARES) * (len(MONTHS) - 1)
    assert GAP not in set(table["month"].dt.strftime("%Y-%m"))
    for row in table.itertuples():
        of_month = truth[truth["month"] == f"{row.month:%Y-%m}"]
        k = sum(row.label in seen for seen in of_month["labels"])
        assert (row.items, row.of_items) == (k, len(of_month))


def test_planted_labels_stand_at_the_ends_of_the_trend(trends: tuple[Path, pd.DataFrame]) -> None:
    table = run_report(trends[0], "trend").table
    assert table["label"].tolist()[:2] == ["wide trousers", "cape"]
    assert table["label"].tolist()[-1] == "skinny jeans"
    verdicts = table.set_index("label")["verdict"]
    assert verdicts["wide trousers"] == verdicts["cape"] == "rising"
    assert verdicts["skinny jeans"] == "falling"
    assert verdicts[["t-shirt", "skirt"]].isna().all()
    assert table["change"].is_monotonic_decreasing


@pytest.mark.parametrize("months", [1, 3, 6, 100])
def test_trend_numbers_are_those_of_the_truth(
    trends: tuple[Path, pd.DataFrame], months: int
) -> None:
    db, truth = trends
    width = min(months, len(MONTHS) // 2)
    sides = [set(map(str, MONTHS[:width])), set(map(str, MONTHS[-width:]))]
    table = run_report(db, "trend", {"months": str(months), "min_items": "0"}).table
    p_values = []
    for row in table.itertuples():
        counts = []
        for side in sides:
            seen = truth[truth["month"].isin(side)]["labels"]
            counts += [sum(row.label in labels for labels in seen), len(seen)]
        k1, n1, k2, n2 = counts
        assert [row.items_first, row.of_first, row.items_last, row.of_last] == counts
        assert row.change == pytest.approx(k2 / n2 - k1 / n1)
        assert (row.low, row.high) == pytest.approx(newcombe(*counts), abs=1e-9)
        odds = [(k + 0.5) / (n - k + 0.5) for k, n in ((k1, n1), (k2, n2))]
        assert row.log_odds == pytest.approx(math.log(odds[1] / odds[0]))
        cross = [[k1, n1 - k1], [k2, n2 - k2]]
        p_values.append(stats.chi2_contingency(cross, correction=False).pvalue)
    found = stats.false_discovery_control(p_values) <= 0.05
    assert (table["verdict"].notna() == found).all()


def test_the_course_has_a_character_per_month_and_a_space_for_the_gap(
    trends: tuple[Path, pd.DataFrame],
) -> None:
    table = run_report(trends[0], "trend").table
    for course in table["course"]:
        assert len(course) == len(MONTHS)
        assert [i for i, character in enumerate(course) if character == " "] == [
            list(map(str, MONTHS)).index(GAP)
        ]
        assert "█" in course


def test_the_course_is_of_three_years_at_most(tmp_path: Path) -> None:
    tags = Catalog(["cape"], {"A.jpg": ["cape"], "B.jpg": []}).write(tmp_path / "tags.parquet")
    dates = {"A": "1999-01-31", "B": "2025-12-31"}
    feed = [{"sku": sku, "listed_at": date} for sku, date in dates.items()]
    load(tags, tmp_path / "c.duckdb", write_feed(tmp_path / "feed.csv", feed))
    (row,) = run_report(tmp_path / "c.duckdb", "trend", {"min_items": "1"}).table.to_dict("records")
    assert row["course"] == " " * 35 + "▁"
    assert (row["share_first"], row["share_last"]) == (1, 0)


def pair_catalog(folder: Path) -> Path:
    """100 photos: shirt on 40, tie on 20, both on 16 (lift 2); a collar on every shirt."""
    photos: dict[str, list[str]] = {}
    for number in range(100):
        seen = ["shirt", "collar"] if number < 40 else []
        photos[f"{number}.jpg"] = seen + (["tie"] if 24 <= number < 44 else [])
    groups = ["upperbody", "garment parts", None]
    tags = Catalog(["shirt", "collar", "tie"], photos, groups).write(folder / "tags.parquet")
    load(tags, folder / "pairs.duckdb")
    return folder / "pairs.duckdb"


def test_lift_is_that_of_a_pair_known_by_hand(tmp_path: Path) -> None:
    table = run_report(pair_catalog(tmp_path), "pairs", {"min_items": "1"}).table
    (row,) = table.to_dict("records")
    assert (row["label_a"], row["label_b"], row["items"]) == ("shirt", "tie", 16)
    assert (row["share"], row["expected"], row["lift"]) == (0.16, 8.0, 2.0)
    assert row["low"] < 2 < row["high"]


def test_parts_of_garments_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    db = pair_catalog(tmp_path)
    with_parts = run_report(db, "pairs", {"parts": "true", "min_items": "1"}).table
    assert {"collar", "shirt", "tie"} == {*with_parts["label_a"], *with_parts["label_b"]}
    assert run_report(db, "pairs", {"min_items": "17"}).table.empty


def test_failures_are_counted_by_code(tmp_path: Path) -> None:
    photos = {
        "a.jpg": ["cape"],
        "b.jpg": "truncated",
        "c.txt": "unsupported",
        "d.txt": "unsupported",
    }
    tags = Catalog(["cape"], photos).write(tmp_path / "tags.parquet")
    load(tags, tmp_path / "c.duckdb")
    rows = run_report(tmp_path / "c.duckdb", "failures").table.to_dict("records")
    assert [(row["status"], row["files"], row["share"], row["example"]) for row in rows] == [
        ("unsupported", 2, 0.5, "c.txt"),
        ("truncated", 1, 0.25, "b.jpg"),
    ]
    assert rows[1]["error"] == "cannot read: truncated" and "copy it again" in rows[1]["what_to_do"]


def test_photos_without_apparel_are_left_out_and_counted(tmp_path: Path) -> None:
    photos = {"a.jpg": ["cape"], "b.jpg": [], "c.jpg": ["cape"]}
    tags = Catalog(["cape"], photos, no_apparel=["c.jpg"]).write(tmp_path / "tags.parquet")
    load(tags, tmp_path / "c.duckdb")
    answer = run_report(tmp_path / "c.duckdb", "share")
    assert answer.table[["items", "of_items"]].to_numpy().tolist() == [[1, 2]]
    assert "Counted: 2 photos. Left out: 1 photos without apparel." in answer.basis


@pytest.mark.parametrize("name", NAMES)
def test_every_report_gives_a_reason_where_it_has_no_answer(empty: Path, name: str) -> None:
    answer = run_report(empty, name)
    assert answer.table.empty
    assert f"No rows. {answer.report.empty}" in as_table(answer)
    assert json.loads(as_json(answer)) == []
    assert as_csv(answer) == ",".join(answer.table.columns)


@pytest.mark.parametrize("name", ["monthly", "trend"])
def test_without_listing_dates_there_is_no_trend(tmp_path: Path, name: str) -> None:
    tags = Catalog(["cape"], {"A.jpg": ["cape"]}).write(tmp_path / "tags.parquet")
    load(tags, tmp_path / "c.duckdb", write_feed(tmp_path / "feed.csv", [{"sku": "A"}]))
    assert "listed_at" in as_table(run_report(tmp_path / "c.duckdb", name))
    with pytest.raises(FftagError, match="nothing to draw"):
        answer = run_report(tmp_path / "c.duckdb", name)
        write_answer(answer, "png", tmp_path / "x.png")


@pytest.mark.skipif(SHELL is None, reason="no duckdb shell: pip install duckdb-cli")
@pytest.mark.parametrize("name", NAMES)
def test_the_file_runs_unchanged_in_the_plain_shell(
    trends: tuple[Path, pd.DataFrame], name: str
) -> None:
    assert SHELL is not None
    db = trends[0]
    with (sql_folder() / "reports" / f"{name}.sql").open() as file:
        result = subprocess.run(
            [SHELL, "-readonly", "-csv", str(db)], stdin=file, capture_output=True, text=True
        )
    assert result.returncode == 0 and not result.stderr
    expected = run_report(db, name).table
    if expected.empty:
        return
    got = pd.read_csv(io.StringIO(result.stdout))
    assert got.columns.tolist() == expected.columns.tolist() and len(got) == len(expected)
    for column in expected.select_dtypes("number"):
        assert got[column].to_numpy() == pytest.approx(
            expected[column].to_numpy(), rel=1e-6, nan_ok=True
        )


@pytest.mark.skipif(SHELL is None, reason="no duckdb shell: pip install duckdb-cli")
def test_parameters_are_variables_in_the_plain_shell(trends: tuple[Path, pd.DataFrame]) -> None:
    assert SHELL is not None
    sql = (sql_folder() / "reports" / "share.sql").read_text()
    script = f"set variable min_items = 300;\n{sql}"
    command = [SHELL, "-readonly", "-csv", str(trends[0])]
    result = subprocess.run(command, input=script, capture_output=True, text=True, check=True)
    expected = run_report(trends[0], "share", {"min_items": "300"}).table
    assert len(result.stdout.splitlines()) == 1 + len(expected) > 1


@pytest.mark.parametrize("name", NAMES)
def test_the_header_says_what_the_sql_does(trends: tuple[Path, pd.DataFrame], name: str) -> None:
    answer = run_report(trends[0], name)
    report = answer.report
    used = re.findall(r"coalesce\(getvariable\('(\w+)'\), '?([\w.]+)'?\)", report.sql)
    assert dict(used) == {name: str(one.default).lower() for name, one in report.parameters.items()}
    assert report.sql.count("getvariable") == len(used)
    assert set(report.shows) <= set(answer.table.columns)
    assert set(report.plot.columns if report.plot else ()) <= set(answer.table.columns)
    assert report.question.endswith("?") and len(report.question) < 80


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"month": "3"}, "has no parameter 'month': it takes months, min_items"),
        ({"months": "three"}, "months takes a whole number"),
        ({"months": "-1"}, "months takes a whole number"),
        ({"months": "1); drop table tags; --"}, "months takes a whole number"),
    ],
)
def test_parameters_are_checked(
    trends: tuple[Path, pd.DataFrame], given_: dict[str, str], words: str
) -> None:
    with pytest.raises(FftagError) as caught:
        run_report(trends[0], "trend", given_)
    assert words in str(caught.value)


def test_the_nearest_report_is_named(trends: tuple[Path, pd.DataFrame]) -> None:
    with pytest.raises(FftagError, match="did you mean trend"):
        run_report(trends[0], "trends")
    with pytest.raises(FftagError, match="there are brands, category"):
        run_report(trends[0], "zzz")


def test_what_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FftagError, match="no database"):
        run_report(tmp_path / "none.duckdb", "share")
    (tmp_path / "text.duckdb").write_text("hello, I am no database at all\n" * 500)
    with pytest.raises(FftagError, match="is not a DuckDB database"):
        run_report(tmp_path / "text.duckdb", "share")
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    with pytest.raises(FftagError, match="but no catalogue of fftag"):
        run_report(tmp_path / "other.duckdb", "share")


OWN = """-- title = "Count"
-- question = "How many?"
-- read = '''
-- As it
-- says: "so".
-- '''
-- empty = "Never."
--
-- [show]
-- ratio = ["n"]
--
-- [parameters]
-- least = { default = 0.5, meaning = "of the score" }

-- A comment of the query.
select count(*) as n from tags where score >= coalesce(getvariable('least'), 0.5);
"""


def test_a_report_of_ones_own_runs_from_its_file(
    tmp_path: Path, trends: tuple[Path, pd.DataFrame]
) -> None:
    path = tmp_path / "own.sql"
    path.write_text(OWN)
    answer = run_report(trends[0], str(path), {"least": "0.95"})
    assert answer.table["n"].tolist() == [0] and answer.report.read == 'As it says: "so".'


def test_a_report_of_ones_own_reaches_no_file(
    tmp_path: Path, trends: tuple[Path, pd.DataFrame]
) -> None:
    path = tmp_path / "own.sql"
    path.write_text(OWN.split("select")[0] + "select * from read_text('/etc/hostname');")
    with pytest.raises(FftagError, match="own failed"):
        run_report(trends[0], str(path))
    path.write_text(OWN.split("select")[0] + "drop table tags;")
    with pytest.raises(FftagError, match="read-only"):
        run_report(trends[0], str(path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('-- question = "How many?"\n', ""), "question: Field required"),
        (('"How many?"', '" "'), "question: String should have at least 1"),
        (("ratio =", "money ="), "show.money"),
        (("-- [show]", '-- colour = "red"\n-- [show]'), "colour: Extra inputs"),
        (('-- [show]\n-- ratio = ["n"]', '-- plot = { kind = "pie" }'), "does not match any"),
        (
            ('-- [show]\n-- ratio = ["n"]', '-- plot = { kind = "bars", names = ["n"] }'),
            "plot.bars.value: Field required",
        ),
        (("least = { default = 0.5, ", "least = { "), "parameters.least.default: Field required"),
        (("-- least =", "-- since ="), "since is a filter"),
        (("-- least =", '-- "a; drop table tags" ='), "should match pattern"),
        (("-- empty =", "-- empty ~"), "are no TOML, as a report begins: Expected '=' after a key"),
        (("-- title = ", "-- title: "), "are no TOML"),
    ],
)
def test_a_header_that_is_wrong_is_refused(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    path = tmp_path / "own.sql"
    path.write_text(OWN.replace(*change))
    with pytest.raises(FftagError) as caught:
        read_report(path)
    assert words in str(caught.value)


@pytest.mark.parametrize("header", ['[show]\n-- ratio = ["x"]', '[plot]\n-- kind = "trend"'])
def test_a_header_that_names_a_column_which_is_not_there_is_refused(
    tmp_path: Path, trends: tuple[Path, pd.DataFrame], header: str
) -> None:
    path = tmp_path / "own.sql"
    path.write_text(OWN.replace('[show]\n-- ratio = ["n"]', header))
    with pytest.raises(FftagError, match="its answer has not: it has n"):
        run_report(trends[0], str(path))


def test_formats_that_need_a_file_say_so(trends: tuple[Path, pd.DataFrame]) -> None:
    answer = run_report(trends[0], "share")
    with pytest.raises(FftagError, match="needs --out"):
        write_answer(answer, "png", None)
    with pytest.raises(FftagError, match="no format 'pdf'"):
        write_answer(answer, "pdf", None)
    with pytest.raises(FftagError, match="cannot write"):
        write_answer(answer, "csv", Path("/proc/nobody/share.csv"))


FORMS = ["table", "csv", "json", "parquet", "html", "png"]
FEED = "sku,brand,price\nFF-000001,Acme,19.9\n"


def others(folder: Path) -> dict[str, bytes]:
    """What people have, by the name under which it lies in the folder."""
    Image.new("RGB", (8, 8), "red").save(folder / "photo.png")
    pd.DataFrame({"sku": ["FF-000001"]}).to_parquet(folder / "table.parquet")
    Catalog(["cape"], {"a.jpg": ["cape"]}).write(folder / "tags.parquet")
    (folder / "feed.csv").write_text(FEED)
    (folder / "note.txt").write_text("Count of labels\nby hand\n")
    (folder / "own.html").write_text("<!doctype html><html><title>My page</title></html>")
    (folder / "rows.json").write_text('[{"sku": "FF-000001"}]')
    (folder / "settings.json").write_text('{"label": 1}')
    (folder / "catalog.duckdb").write_bytes(bytes(8) + b"DUCK" + bytes(99))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_an_answer_is_not_written_over(
    tmp_path: Path, trends: tuple[Path, pd.DataFrame], form: str
) -> None:
    kept = others(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/null")
    answer = run_report(trends[0], "share")
    for name in [*kept, "folder", "device"]:
        with pytest.raises(FftagError) as refused:
            write_answer(answer, form, tmp_path / name)
        assert name in str(refused.value) and "\n" not in str(refused.value)
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept
    assert Path("/dev/null").is_char_device() and (tmp_path / "device").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "folder", "device"}


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_takes_the_place_of_an_older_one_and_of_no_other_reports(
    tmp_path: Path, trends: tuple[Path, pd.DataFrame], form: str
) -> None:
    out, answer = tmp_path / "answer", run_report(trends[0], "share")
    older = run_report(trends[0], "share", {"min_items": "300"})
    assert 0 < len(older.table) < len(answer.table)
    out.touch()  # as mktemp leaves it
    write_answer(older, form, out)
    before = out.read_bytes()
    write_answer(answer, form, out)
    assert out.read_bytes() != before
    if form not in ("html", "png"):  # a page and a picture are fftag's, whatever is on them
        with pytest.raises(FftagError, match="answer of report trend"):
            write_answer(run_report(trends[0], "trend"), form, out)


def test_a_site_has_a_folder_of_its_own(tmp_path: Path, trends: tuple[Path, pd.DataFrame]) -> None:
    answers = [run_report(trends[0], "share")]
    site = tmp_path / "shop" / "site"
    for _ in range(2):
        assert write_site(answers, site) == site / "index.html"
    (site / ".DS_Store").touch()
    write_site(answers, site)
    (site / "style.css").write_text("p {}")
    with pytest.raises(FftagError, match=r"site holds style.css: give a folder of its own"):
        write_site(answers, site)
    (tmp_path / "index.html").write_text("<!doctype html><title>Mine</title>")
    (tmp_path / "shop").rename(tmp_path / ".shop")
    with pytest.raises(FftagError, match=r"index\.html is there and is not a page"):
        write_site(answers, tmp_path)
    with pytest.raises(FftagError, match="cannot make the folder"):
        write_site(answers, tmp_path / "index.html" / "site")


@pytest.mark.parametrize("out", ["/proc/answer.{}", "/proc/none/answer.{}", "/dev/full"])
@pytest.mark.parametrize("form", FORMS)
def test_where_nothing_can_be_written_one_line_says_so(
    trends: tuple[Path, pd.DataFrame], form: str, out: str
) -> None:
    with pytest.raises(FftagError) as failed:
        write_answer(run_report(trends[0], "share"), form, Path(out.format(form)))
    assert out.format(form) in str(failed.value) and "\n" not in str(failed.value)


def test_a_read_only_file_system_is_one_line(
    tmp_path: Path, trends: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: object, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    answer = run_report(trends[0], "share")
    monkeypatch.setattr(os, "open", read_only)
    monkeypatch.setattr(os, "unlink", read_only)
    monkeypatch.setattr(Path, "unlink", read_only)
    monkeypatch.setattr(os, "mkdir", read_only)
    for form in FORMS:
        with pytest.raises(FftagError, match=r"cannot write .*: Read-only file system$"):
            write_answer(answer, form, tmp_path / f"answer.{form}")
    with pytest.raises(FftagError, match=r"Read-only file system$"):
        write_site([answer], tmp_path / "site")


def test_json_has_numbers_dates_and_nulls(trends: tuple[Path, pd.DataFrame]) -> None:
    first = json.loads(as_json(run_report(trends[0], "monthly")))[0]
    assert first["month"] == "2024-01-01" and isinstance(first["items"], int)
    verdicts = [row["verdict"] for row in json.loads(as_json(run_report(trends[0], "trend")))]
    assert verdicts[0] == "rising" and None in verdicts


NASTY = ["=cmd()", "+1", "-1", "@x", "<script>alert(1)</script>", 'a,"b"\nc', "عباية", "旗袍", "👗"]


@pytest.fixture
def nasty(tmp_path: Path) -> tuple[Path, Answer]:
    photos = {f"{number}.jpg": [name] for number, name in enumerate(NASTY)}
    labels = [*NASTY, "\x1b[31mred"]
    tags = Catalog(labels, {**photos, "z.jpg": labels[-1:]}).write(tmp_path / "tags.parquet")
    load(tags, tmp_path / "c.duckdb")
    return tmp_path / "c.duckdb", run_report(tmp_path / "c.duckdb", "share")


def test_csv_defuses_formulas_in_text_and_leaves_numbers_alone(
    nasty: tuple[Path, Answer], trends: tuple[Path, pd.DataFrame]
) -> None:
    read = pd.read_csv(io.StringIO(as_csv(nasty[1])), keep_default_na=False)
    for name in NASTY:
        assert ("'" + name if name[0] in "=+-@" else name) in read["label"].tolist()
    changes = pd.read_csv(io.StringIO(as_csv(run_report(trends[0], "trend"))))["change"]
    assert changes.min() < 0 < changes.max()


def test_names_cannot_become_markup_or_steer_the_terminal(nasty: tuple[Path, Answer]) -> None:
    db, answer = nasty
    text = as_table(answer)
    assert "\x1b" not in text and "\\x1b[31mred" in text
    assert "<script>alert(1)</script>" in text and "旗袍" in text
    page = db.with_name("share.html")
    write_answer(answer, "html", page)
    assert "<script" not in page.read_text() and "&lt;script&gt;alert(1)" in page.read_text()
    names = [row["label"] for row in json.loads(as_json(answer))]
    assert set(NASTY) < set(names)


def test_wide_characters_keep_the_columns_aligned() -> None:
    # A terminal gives a Chinese character and an emoji two columns each, a combining mark none.
    rows = [("旗袍", "1"), ("abc", "10"), ("👗", "1"), ("e\u0301x", "1"), ("[red]:joy:", "")]
    assert text_table(("name", "n"), rows, (False, True)) == [
        "name         n",
        "旗袍         1",
        "abc         10",
        "👗           1",
        "e\u0301x           1",
        "[red]:joy:",
    ]


@pytest.mark.parametrize("columns", ["40", "300"])
def test_piped_tables_are_whole_whatever_the_terminal(
    trends: tuple[Path, pd.DataFrame], columns: str
) -> None:
    command = [sys.executable, "-m", "fftag", "report", "trend", "--db", str(trends[0])]
    environment = os.environ | {"COLUMNS": columns, "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    shown = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert shown.stdout == as_table(run_report(trends[0], "trend")) + "\n"
    assert "\x1b" not in shown.stdout and "…" not in shown.stdout
    lines = shown.stdout.splitlines()
    assert lines[3].split()[:2] == ["label", "verdict"] and lines[3].endswith("course")
    assert lines[4].startswith("wide trousers  rising") and len(lines[4]) > 120


def test_a_long_name_is_cut_in_pictures(tmp_path: Path) -> None:
    label = "a very long label " * 20
    tags = Catalog([label], {"a.jpg": [label]}).write(tmp_path / "tags.parquet")
    db = tmp_path / "c.duckdb"
    load(tags, db)
    write_answer(run_report(db, "share"), "png", tmp_path / "share.png")
    with Image.open(tmp_path / "share.png") as picture:
        assert picture.width < 1200
