"""The app in a real browser: each page used as a person uses it, at desktop and phone width.

With `FFTAG_SCREENSHOTS=docs/images` the pictures of the documentation are made; with `FFTAG_DEMO`,
of the example catalogue that `make demo` leaves in that folder.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from browser import DESKTOP, PHONE, Tab, browser, picture, tab, violations
from catalogues import HOSTILE, SCRIPT, Shop, make_shop

from fftag.app import catalogue
from fftag.app.launch import streamlit_arguments
from fftag.app.search import Search
from fftag.app.settings import VARIABLE, Settings
from fftag.app.written_pages import evaluate
from fftag.models.folder import Bundle

pytest.importorskip("streamlit", reason="Streamlit is not installed")
pytestmark = pytest.mark.browser

PAGES = {"Tag": "", "Catalogue": "catalogue", "Trends": "trends", "Models": "models"}
PAGES["Data"] = "data"
KNOWN: dict[str, str] = {}
"""Rules of axe that Streamlit's own parts break, and why."""


class App:
    """The app as a process of its own."""

    def __init__(self, settings: Settings) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, *streamlit_arguments("127.0.0.1", port)],
            env=os.environ | {VARIABLE: settings.to_json()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(150):
            try:
                with urlopen(f"{self.address}/_stcore/health"):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError("the app does not start")

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def evaluated(session_bundle: Bundle, bands_manifest: Path, shop: Shop) -> Path:
    """A model folder with an evaluation of its test split."""
    folder = Path(shutil.copytree(session_bundle.path, shop.db.parent / "model"))
    evaluate(folder, bands_manifest, "test")
    return folder


@pytest.fixture(scope="module")
def app(shop: Shop, evaluated: Path, bands_manifest: Path, chromium: Any) -> Iterator[App]:
    running = App(Settings(evaluated, shop.db, data=bands_manifest, runs=shop.db.parent / "runs"))
    yield running
    running.end()


@pytest.fixture
def desktop(chromium: Any) -> Iterator[Tab]:
    with tab(chromium, DESKTOP) as opened:
        yield opened


def visit(opened: Tab, app: App, name: str) -> Any:
    """Goes to a page, and waits until it is drawn."""
    opened.page.goto(f"{app.address}/{PAGES[name]}")
    opened.page.get_by_role("heading", name=name, exact=True, level=1).wait_for()
    settled(opened.page)
    return opened.page


def settled(page: Any) -> None:
    """Waits until Streamlit has run to its end."""
    page.wait_for_timeout(300)
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]');
            return app && app.getAttribute('data-test-script-state') !== 'running'
                && !document.querySelector('[data-testid="stSkeleton"], [data-stale="true"]');
        }"""
    )
    page.wait_for_timeout(200)


def quiet(opened: Tab) -> None:
    """Nothing ran that should not, nothing broke, nobody else was asked."""
    assert opened.page.title() in [*PAGES, "fftag"]
    assert opened.outside == [] and opened.complaints == []
    assert opened.overflow() <= 0
    assert opened.page.get_by_test_id("stException").count() == 0


def test_photos_are_dropped_and_tagged(desktop: Tab, app: App, shop: Shop) -> None:
    page = visit(desktop, app, "Tag")
    photos = sorted(shop.photos.glob("rail/*_1.jpg"))[:3]
    page.set_input_files("input[type=file]", [*photos, shop.photos / "rail/broken.jpg"][:3])
    page.get_by_text("3 photos").wait_for()
    settled(page)
    assert page.get_by_role("button", name=photos[0].name, exact=True).count() == 1
    page.get_by_role("button", name=photos[1].name, exact=True).click()
    page.get_by_role("heading", name=photos[1].name).wait_for()
    assert page.locator('[data-testid="stDataFrame"]').count() == 1
    with page.expect_download() as got:
        page.get_by_role("button", name="CSV").click()
    lines = Path(got.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 4 and lines[1].startswith(photos[0].name)
    quiet(desktop)


def test_the_catalogue_is_filtered_by_a_label_that_bites(
    desktop: Tab, app: App, shop: Shop
) -> None:
    page = visit(desktop, app, "Catalogue")
    page.get_by_label("With all of these labels").click()
    page.get_by_role("option", name=SCRIPT).click()
    expected = catalogue.find(shop.db, Search(labels=[SCRIPT])).total
    page.get_by_test_id("stMetricValue").get_by_text(f"{expected}", exact=True).wait_for()
    settled(page)
    body = page.locator('[data-testid="stMain"]').inner_text()
    assert SCRIPT in body
    assert any(name in body for name in HOSTILE[1:])
    assert page.locator('[data-testid="stMain"] script').count() == 0
    quiet(desktop)


def test_hostile_labels_are_shown_as_they_are(desktop: Tab, app: App, shop: Shop) -> None:
    photos = catalogue.find(shop.db, Search()).photos
    left, page = set(HOSTILE), desktop.page
    while left:
        one = max(photos, key=lambda one: len(left & set(one.labels)))
        page.goto(f"{app.address}/catalogue?source={one.source}&image={one.image}")
        page.get_by_text("Nearest by labels").wait_for()
        settled(page)
        form = page.get_by_test_id("stForm").inner_text().replace("\u2060", "")
        assert [label for label in one.labels if label not in form] == []
        left -= set(one.labels)
    quiet(desktop)


def test_a_label_is_corrected_and_a_nightly_load_replaces_the_database(
    desktop: Tab, app: App, shop: Shop
) -> None:
    one = next(one for one in catalogue.find(shop.db, Search()).photos if "red" in one.tagged)
    page = visit(desktop, app, "Catalogue")
    name = one.facts["sku"]
    page.get_by_role("button", name=name, exact=True).click()
    page.get_by_text("Nearest by labels").wait_for()
    settled(page)
    group = page.get_by_role("radiogroup", name=re.compile("^red"))
    group.get_by_text("wrong", exact=True).click()
    page.get_by_label("Reviewer").fill("Ana")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("1 correction saved").wait_for()
    found = catalogue.photo(shop.db, one.source, one.image)
    assert found is not None and found.said == {"red": False}
    total = catalogue.find(shop.db, Search()).total
    make_shop(shop.db.parent, total - 4, "run-night")  # fewer photos, in a file swapped in
    page.get_by_role("button", name="Back to the photos").click()
    page.get_by_test_id("stMetricValue").get_by_text(f"{total - 5}", exact=True).wait_for()
    kept = catalogue.photo(shop.db, one.source, one.image)
    assert kept is not None and kept.said == {"red": False}
    quiet(desktop)


def test_a_picture_is_opened_with_its_table_and_its_sql(desktop: Tab, app: App) -> None:
    page = visit(desktop, app, "Trends")
    page.get_by_label("Question").click()
    page.get_by_role("option", name="What is in the catalogue?").or_(
        page.get_by_role("option", name=re.compile("share|common", re.IGNORECASE)).first
    ).first.click()
    settled(page)
    assert page.get_by_role("img", name=re.compile("the table below has the numbers")).count() == 1
    assert page.locator('[data-testid="stDataFrame"]').count() >= 1
    page.get_by_text("SQL", exact=True).click()
    page.get_by_text("-- title =").first.wait_for()
    quiet(desktop)


def test_models_and_data_are_looked_at(desktop: Tab, app: App) -> None:
    page = visit(desktop, app, "Models")
    inside = page.frame_locator("iframe").frame_locator("iframe")
    inside.get_by_role("heading", name="Reliability").wait_for()
    assert inside.get_by_role("img").count() >= 6
    page = visit(desktop, app, "Data")
    inside = page.frame_locator("iframe").frame_locator("iframe")
    inside.get_by_role("heading", name="Label frequency").wait_for()
    assert inside.get_by_role("img").first.evaluate("image => image.naturalWidth") > 300
    quiet(desktop)


HOSTILE_PAGE = """<!doctype html><html lang="en"><head><title>run</title>
<meta http-equiv="refresh" content="0;url=http://outside.example/refreshed">
<script>document.title = parent.document.title = top.document.title = 'run'</script></head>
<body onload="top.document.title = 'run'"><h1>Evaluation</h1>
<img src="http://outside.example/image.png" onerror="top.document.title = 'run'" alt="">
<link rel="stylesheet" href="http://outside.example/style.css"><form action="http://outside.example">
</form></body></html>"""


def test_a_page_in_a_model_folder_that_bites_does_not(
    desktop: Tab, app: App, evaluated: Path
) -> None:
    file = evaluated / "evaluation-test/evaluation.html"
    kept = file.read_bytes()
    file.write_text(HOSTILE_PAGE)
    try:
        page = visit(desktop, app, "Models")
        inside = page.frame_locator("iframe").frame_locator("iframe")
        inside.get_by_role("heading", name="Evaluation").wait_for()
        page.wait_for_timeout(1500)
        assert page.title() != "run" and desktop.outside == []
        assert inside.get_by_role("heading", name="Evaluation").count() == 1
    finally:
        file.write_bytes(kept)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_pages_can_be_used_by_everyone_at_any_width(
    chromium: Any, app: App, name: str, width: int, tmp_path: Path
) -> None:
    with tab(chromium, width) as opened:
        page = visit(opened, app, name)
        assert violations(page, KNOWN) == []
        quiet(opened)
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    """() => {
                        const element = document.activeElement;
                        const inside = element.closest('[data-testid="stMain"]') !== null;
                        return `${inside} ${element.tagName} ${element.outerHTML.slice(0, 300)}`;
                    }"""
                )
            )
        assert len(set(reached)) >= 5  # it is stuck nowhere
        assert any(one.startswith(("true INPUT", "true BUTTON")) for one in reached)


def upgraded(app: App, host: str) -> str:
    """What the app answers to a web socket that is asked for under a name."""
    port = int(app.address.rsplit(":", 1)[1])
    lines = [
        "GET /_stcore/stream HTTP/1.1",
        f"Host: {host}:{port}",
        f"Origin: http://{host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    with socket.create_connection(("127.0.0.1", port), 10) as wire:
        wire.sendall("\r\n".join([*lines, "", ""]).encode())
        return wire.recv(200).decode().split()[1]


def test_another_name_for_this_machine_is_turned_away(app: App) -> None:
    assert upgraded(app, "127.0.0.1") == "101"
    assert upgraded(app, "rebound.example") == "403"


@pytest.fixture(scope="module")
def shown(
    app: App,
    shop: Shop,
    chromium: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[App, Path, Path]]:
    """The app to be pictured, its photos, and its database."""
    demo = Path(os.environ["FFTAG_DEMO"]) if "FFTAG_DEMO" in os.environ else None
    if demo is None:
        yield app, shop.photos, shop.db
        return
    folder = tmp_path_factory.mktemp("demo")
    db = Path(shutil.copy(demo / "catalog.duckdb", folder))
    photos = {"": demo / "catalogue"}
    running = App(Settings(demo / "model", db, photos, demo / "dataset.parquet", folder))
    yield running, demo / "catalogue", db
    running.end()


@pytest.mark.parametrize(("width", "end"), [(DESKTOP, ""), (PHONE, "-phone")])
def test_pages_look_right(
    chromium: Any, shown: tuple[App, Path, Path], width: int, end: str, tmp_path: Path
) -> None:
    running, root, db = shown
    photos = catalogue.find(db, Search(text="_1.jp", sort="newest")).photos
    one = max(photos, key=lambda one: len(one.labels))
    with tab(chromium, width) as opened:
        page = visit(opened, running, "Tag")
        files = [root / one.image for one in photos[: 4 if width == DESKTOP else 1]]
        page.set_input_files("input[type=file]", files)
        page.locator('[data-testid="stDataFrame"]').first.wait_for()
        settled(page)
        if width == DESKTOP:
            page.locator('[data-testid="stDataFrame"]').first.scroll_into_view_if_needed()
        quiet(opened)
        made = [picture(page, f"app-tag{end}", tmp_path)]
        for name in ("Catalogue", "Trends", "Models", "Data"):
            page = visit(opened, running, name)
            if name in ("Models", "Data"):  # a page that a command wrote, within the app's own
                inside = page.frame_locator("iframe").frame_locator("iframe")
                inside.get_by_role("img").first.wait_for()
            quiet(opened)
            made.append(picture(page, f"app-{name.lower()}{end}", tmp_path))
        where = f"source={quote(one.source)}&image={quote(one.image)}"
        page.goto(f"{running.address}/catalogue?{where}")
        page.get_by_text("Nearest by labels").wait_for()
        settled(page)
        quiet(opened)
        made.append(picture(page, f"app-photo{end}", tmp_path))
    assert len({path.read_bytes() for path in made}) == 6


def test_a_page_whose_database_went_away_says_so(
    chromium: Any, session_bundle: Bundle, tmp_path: Path
) -> None:
    shop = make_shop(tmp_path, 4)
    running = App(Settings(db=shop.db, runs=tmp_path))
    try:
        with tab(chromium) as opened:
            page = visit(opened, running, "Catalogue")
            shop.db.unlink()
            page.get_by_role("link", name="Trends").click()
            page.get_by_text("no database").wait_for()
            shop.load()
            page.get_by_role("link", name="Catalogue").click()
            page.get_by_test_id("stMetricValue").wait_for()
            quiet(opened)
    finally:
        running.end()
