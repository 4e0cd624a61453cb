"""A filter that is shown is applied: what is left is what a catalogue of nothing else would say.

Each report is asked under each filter, and asked again, without one, in a catalogue that was loaded
with nothing but what the filter leaves. Rows, the line on what they rest on, and all that the
picture draws have to be the same.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from catalogues import FACT_GROUPS, FACT_LABELS, Catalog, truth, write_feed
from matplotlib.figure import Figure
from typer.testing import CliRunner

from fftag.base.errors import FftagError
from fftag.catalogue.load import load
from fftag.catalogue.options import LoadOptions, Named
from fftag.cli import app
from fftag.reports.ask import Answer, Filters, all_reports, run_report
from fftag.reports.charts import picture
from fftag.reports.review_queue import Answered, take_answers
from fftag.reports.write import as_json, write_answer

REPORTS = {report.name: report for report in all_reports()}
SOURCES = ("north", "south")
GERMAN = {"dress": "Kleid", "pants": "Hose", "cape": "Umhang", "scarf": "Schal", "tie": "Schal"}
FROM, TO = date(2024, 4, 1), date(2025, 10, 31)
COUNTS = {"tp": 160, "fn": 40, "tn": 190, "fp": 10}

Keeps = Callable[[Any], bool]


def shops(
    folder: Path,
    keeps: Keeps = lambda product: True,
    sources: tuple[str, ...] = SOURCES,
    labels: list[str] = FACT_LABELS,
    strays: bool = True,
) -> Path:
    """Two shops with photos, failures, photos without apparel, strays, corrections, an older run.

    Args:
        folder: to make the files in.
        keeps: which products there are, and files of them.
        sources: which shops.
        labels: which labels a model knows.
        strays: whether there are files of no product.
    """
    folder.mkdir()
    taxonomy = folder / "labels.toml"
    taxonomy.write_text(
        "\n".join(
            f'[[label]]\nname = "{label}"\ngroup = "{group}"\n'
            + (f'translations = {{ de = "{GERMAN[label]}" }}\n' if label in GERMAN else "")
            for label, group in zip(FACT_LABELS, FACT_GROUPS, strict=True)
        )
    )
    products = truth().iloc[::8].reset_index(drop=True)
    tags, feeds, answers = [], [], []
    for source in sources:
        photos: dict[str, Any] = {}
        older, no_apparel, contents, kept = {}, [], {}, []
        for number, product in enumerate(products.itertuples()):
            if SOURCES[number % 2] != source or not keeps(product):
                continue
            kept.append(number)
            image = f"shop/{product.sku}_1.jpg"
            photos[image] = sorted(product.labels & set(labels))
            several = number % 40 < 4
            contents[image] = f"{number // 40 if several else number + 1000:064x}"
            if number % 17 == 0:
                photos[f"shop/{product.sku}_2.jpg"] = "truncated" if number % 2 else "unsupported"
            if number % 23 == 0:
                photos[f"shop/{product.sku}_3.jpg"] = []
                no_apparel.append(f"shop/{product.sku}_3.jpg")
            if number % 31 == 0:
                photos.pop(image)
            else:
                changed = (product.labels - {"dress"}) | {"pants"}
                older[image] = sorted((product.labels if number % 10 else changed) & set(labels))
            if number % 29 == 0 and number % 31 and not several:
                said = {name: "cape" not in product.labels for name in ("cape",) if name in labels}
                answers += [
                    Answered(image, source, name, not shown, shown) for name, shown in said.items()
                ]
        if strays:
            photos |= {f"stray/{n}.jpg": sorted({"dress"} & set(labels)) for n in range(5)}
            photos["x.txt"] = "unsupported"
        groups = [FACT_GROUPS[FACT_LABELS.index(label)] for label in labels]
        made = Catalog(
            labels, photos, groups, no_apparel, [COUNTS] * len(labels), source=source,
            run_id=f"new-{source}", contents=contents,
        )  # fmt: skip
        before = Catalog(
            labels, older, groups, source=source, run_id=f"old-{source}", model_id="cd" * 32,
            tagged_at=datetime(2026, 2, 1, tzinfo=UTC), contents=contents,
        )  # fmt: skip
        for one in (made, before):
            tags.append(Named(one.write(folder / f"{one.run_id}.parquet"), source))
        feed = products.iloc[kept].drop(columns="labels").to_dict("records")
        feeds.append(Named(write_feed(folder / f"{source}.csv", feed), source))
    db = folder / "catalog.duckdb"
    load(tags, db, feeds, LoadOptions(taxonomy=str(taxonomy)))
    if answers:
        take_answers(db, answers, "Ana", "it", "")
    return db


def of_two_brands(product: Any) -> bool:
    return product.brand in ("Acme", "Brio") and product.currency == "EUR"


def of_the_time(product: Any) -> bool:
    return FROM <= product.listed_at <= TO


CASES: dict[str, tuple[Filters, dict[str, Any]]] = {
    "brands": (
        Filters({"brand": ["Acme", "Brio"], "currency": ["EUR"]}),
        {"keeps": of_two_brands, "strays": False},
    ),
    "source": (Filters({"source": ["south"]}), {"sources": ("south",)}),
    "time": (Filters(since=FROM, until=TO), {"keeps": of_the_time, "strays": False}),
    "labels": (
        Filters(labels=["dress", "shirt", "cape", "hat"], groups=["wholebody", "upperbody"]),
        {"labels": ["dress", "cape", "shirt"]},
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shops(tmp_path_factory.mktemp("whole") / "shops")


@pytest.fixture(scope="module")
def unfiltered(whole: Path) -> dict[str, pd.DataFrame]:
    return {name: run_report(whole, name, given(name), language="de").table for name in REPORTS}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The catalogues of nothing but what a filter leaves."""
    folder = tmp_path_factory.mktemp("parts")
    return {name: shops(folder / name, **what) for name, (_, what) in CASES.items()}


def given(name: str) -> dict[str, str]:
    """Parameters that leave little out, so that there is something to compare."""
    return {"min_items": "2"} if "min_items" in REPORTS[name].parameters else {}


def drawn(figure: Figure | None) -> list[Any]:
    """All that is drawn: titles, names on axes, lines, and where bars and bands lie."""
    if figure is None:
        return []
    found: list[Any] = [figure.get_suptitle()]
    for axes in figure.axes:
        found += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        found += [label.get_text() for label in axes.get_yticklabels() if axes.containers]
        found += [np.asarray(line.get_xydata(), float).tolist() for line in axes.lines]
        found += [list(bar.get_bbox().bounds) for bar in axes.patches]
        found += [path.vertices.tolist() for one in axes.collections for path in one.get_paths()]
    return found


def rounded(values: Any) -> Any:
    """Numbers with 12 digits, see `read_back`."""
    if isinstance(values, list | tuple):
        return [rounded(value) for value in values]
    return float(f"{float(values):.12g}") if isinstance(values, float) else values


def read_back(rows: str) -> Any:
    """Rows with 12 digits of each number: sums by several threads differ in the last ones."""
    return json.loads(rows, parse_float=lambda number: float(f"{float(number):.12g}"))


def same(one: Answer, other: Answer) -> None:
    """The rows, what they rest on, and the picture."""
    # An item bears its shop's name where several count.
    rows, expected = (read_back(as_json(answer).replace("south/", "")) for answer in (one, other))
    assert rows == expected
    assert one.basis.removeprefix(one.filters.line()) == other.basis
    if not one.table.empty:
        assert rounded(drawn(picture(one))) == rounded(drawn(picture(other)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", REPORTS)
def test_a_filter_leaves_what_a_catalogue_of_nothing_else_has(
    whole: Path,
    parts: dict[str, Path],
    unfiltered: dict[str, pd.DataFrame],
    name: str,
    case: str,
) -> None:
    filters = CASES[case][0]
    if filters.of_labels and not REPORTS[name].by_label:
        with pytest.raises(FftagError, match="tells no labels apart"):
            run_report(whole, name, None, filters)
        return
    narrowed = run_report(whole, name, given(name), filters, language="de")
    same(narrowed, run_report(parts[case], name, given(name), language="de"))
    assert narrowed.basis.startswith(filters.line()) and filters.line().startswith("Only: ")
    assert not narrowed.table.equals(unfiltered[name])


def test_labels_are_given_in_the_language_and_stay_apart(whole: Path) -> None:
    table = run_report(whole, "share", language="de").table
    named = {"Kleid", "Hose", "Umhang", "Schal (scarf)", "Schal (tie)", "hat"}
    assert named <= set(table["label"]) and len(set(table["label"])) == len(FACT_LABELS)
    figure = picture(run_report(whole, "trend", {"months": "12"}, language="de"))
    assert figure is not None
    assert figure.get_suptitle().startswith("Schal (scarf) rose by ")
    assert "Schal (scarf)" in [axes.get_title(loc="left") for axes in figure.axes]


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_written_in_every_format_under_every_option(
    whole: Path, tmp_path: Path, name: str
) -> None:
    report, page = REPORTS[name], tmp_path / "page.html"
    command = ["report", name, "--db", str(whole), "--out", str(page), "--language", "de"]
    command += ["--where", "brand=Acme", "--where", "brand=Brio", "--where", "currency=EUR"]
    command += ["--since", "2024-01-02", "--until", "2025-12-30"]
    labels = ["dress", "pants", "scarf", "hat", "cape"]
    if report.by_label:
        command += [part for label in labels for part in ("--label", label)]
    command += [
        part for key, value in given(name).items() for part in ("--param", f"{key}={value}")
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.exception
    filters = Filters(
        {"brand": ["Acme", "Brio"], "currency": ["EUR"]},
        labels if report.by_label else [],
        since=date(2024, 1, 2),
        until=date(2025, 12, 30),
    )
    answer = run_report(whole, name, given(name), filters, language="de")
    assert not answer.table.empty
    for form in ("table", "csv", "json", "parquet"):
        write_answer(answer, form, tmp_path / form)
    assert len(pd.read_csv(tmp_path / "csv")) == len(answer.table)
    assert len(json.loads((tmp_path / "json").read_text())) == len(answer.table)
    assert pq.read_table(tmp_path / "parquet").num_rows == len(answer.table)
    for text in (page.read_text(), (tmp_path / "table").read_text()):
        assert filters.line().strip() in " ".join(text.split())
        assert "dress" not in text.replace("dresses", "").split(filters.line()[:10])[0]
    assert ("data:image/png" in page.read_text()) == (report.plot is not None)
    if report.plot is None:
        with pytest.raises(FftagError, match="has no picture"):
            write_answer(answer, "png", tmp_path / "png")


def test_the_page_of_all_reports_has_those_that_the_filter_narrows(
    whole: Path, tmp_path: Path
) -> None:
    command = ["report", "all", "--db", str(whole), "--out", str(tmp_path / "site")]
    done = CliRunner().invoke(app, [*command, "--label", "dress", "--language", "de"])
    assert done.exit_code == 0, done.exception
    page = (tmp_path / "site/index.html").read_text()
    left_out = [name for name, report in REPORTS.items() if not report.by_label]
    assert f"Not here, as they tell no labels apart: {', '.join(left_out)}." in page
    for name, report in REPORTS.items():
        assert (f">{report.question}</h2>".replace("'", "&#39;") in page) == report.by_label, name
    assert page.count("Only: label dress.") == 1 + len(REPORTS) - len(left_out)


def test_a_basis_counts_what_is_left(whole: Path) -> None:
    """By hand, from what `shops` does; so that both ways of a comparison are not wrong alike."""
    products = truth().iloc[::8].reset_index(drop=True)
    numbers = [n for n, one in enumerate(products.itertuples()) if one.brand == "Acme"]
    failed = sum(n % 17 == 0 for n in numbers)
    turned_down = sum(n % 23 == 0 for n in numbers)
    unpictured = sum(n % 31 == 0 for n in numbers)
    said = sum(n % 29 == 0 and n % 31 != 0 and n % 40 > 3 for n in numbers)
    counted = len(numbers) - unpictured
    assert min(failed, turned_down, unpictured, said) > 1
    filters = Filters({"brand": ["Acme"]})
    assert run_report(whole, "share", None, filters).basis == (
        f"Only: brand Acme. Counted: {counted} products on {counted} photos of 2 sources. "
        f"Left out: {failed} files that could not be read, {turned_down} photos without apparel, "
        f"{unpictured} products without a photo, {counted} photos of other runs or models. "
        f"With {said} corrections of reviewers. Tagged until 2026-03-01 by model abababababab."
    )
    rows = run_report(whole, "failures", None, filters).table
    assert rows["files"].sum() == failed
    assert rows["of_files"].iloc[0] == counted + failed + turned_down
    assert rows["share"].sum() == pytest.approx(failed / (counted + failed + turned_down))
