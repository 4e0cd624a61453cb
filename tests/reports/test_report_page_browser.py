"""The page of all reports in a real browser: it fits, stays alone, and runs nothing of its data."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from browser import DESKTOP, PHONE, browser, picture, tab, violations
from catalogues import HOSTILE, SCRIPT, catalogue, make_shop, truth

from fftag.reports.ask import all_reports, run_report
from fftag.reports.write import write_site

pytestmark = pytest.mark.browser
KNOWN = {"region": "the page has no landmarks but its own headings"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


def site(db: Path, folder: Path, names: Sequence[str]) -> str:
    """As `fftag report all --out` writes it."""
    answers = [run_report(db, name) for name in names]
    return write_site(answers, folder).as_uri()


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All reports; of the example catalogue in the folder `FFTAG_DEMO`, if that is given."""
    folder = tmp_path_factory.mktemp("facts")
    names = [report.name for report in all_reports()]
    if "FFTAG_DEMO" in os.environ:
        return site(Path(os.environ["FFTAG_DEMO"]) / "catalog.duckdb", folder / "site", names)
    return site(catalogue(folder, truth(), errors=True), folder / "site", names)


@pytest.mark.parametrize(("width", "name"), [(DESKTOP, "report"), (PHONE, "report-phone")])
def test_the_page_fits_and_asks_nobody(
    chromium: Any, facts: str, width: int, name: str, tmp_path: Path
) -> None:
    with tab(chromium, width) as opened:
        opened.page.goto(facts)
        opened.page.get_by_role("heading", level=1).wait_for()
        assert opened.overflow() <= 0
        assert opened.complaints == [] and opened.outside == []
        assert violations(opened.page, KNOWN) == []
        heading = opened.page.get_by_role("heading", name="What is rising, and what is falling?")
        heading.evaluate("element => element.scrollIntoView()")
        picture(opened.page, name, tmp_path)


def test_a_label_with_a_script_does_not_run(chromium: Any, tmp_path: Path) -> None:
    shop = make_shop(tmp_path, 30)
    with tab(chromium) as opened:
        opened.page.goto(site(shop.db, tmp_path / "site", ["share", "pairs", "trend"]))
        text = opened.page.locator("body").inner_text()
        assert SCRIPT in text and HOSTILE[2] in text
        assert opened.page.title() != "run"
        assert opened.page.locator("script").count() == 0
        assert opened.complaints == [] and opened.outside == []
