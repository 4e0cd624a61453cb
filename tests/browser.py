"""A real browser for the tests: Chromium by Playwright, its complaints, its pictures."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

DESKTOP, PHONE = 1280, 390
HEIGHT = {DESKTOP: 900, PHONE: 844}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 20
COLOURS_OF_A_PICTURE = 128  # enough for a page, in a third of the bytes
LARGEST = 200_000  # bytes of a picture in docs/


@dataclass
class Tab:
    """A page in the browser, and what was noticed on it.

    Attributes:
        page: Playwright's.
        complaints: errors of the page's own scripts and its console.
        outside: requests to other hosts.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(
            self.page.evaluate(
                "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
                " - window.innerWidth"
            )
        )


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium; the test is skipped where it or Playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser is installed ({', '.join(NAMES)})")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def tab(chromium: Any, width: int = DESKTOP) -> Iterator[Tab]:
    """An empty tab of a width in pixels; on a phone's width, it takes touches."""
    context = chromium.new_context(
        viewport={"width": width, "height": HEIGHT[width]},
        has_touch=width == PHONE,
        is_mobile=width == PHONE,
        reduced_motion="reduce",
    )
    context.set_default_timeout(1000 * SECONDS)
    opened = Tab(context.new_page())

    def told(message: Any) -> None:
        # Streamlit looks for its own health under the page's path first, and finds it above.
        if message.type == "error" and "_stcore" not in message.location.get("url", ""):
            opened.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def asked(request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname != "127.0.0.1":
            opened.outside.append(request.url)

    opened.page.on("console", told)
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("request", asked)
    try:
        yield opened
    finally:
        context.close()


def violations(page: Any, known: dict[str, str]) -> list[str]:
    """What axe-core finds that is serious or critical, but for what is known.

    Args:
        page: Playwright's.
        known: rule -> why it cannot be mended here.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    found = axe.run(page, options=options).response["violations"]
    return [
        f"{one['id']}: {node['html'][:160]}"
        for one in found
        if one["impact"] in ("serious", "critical") and one["id"] not in known
        for node in one["nodes"]
    ]


def picture(page: Any, name: str, folder: Path, whole: bool = False) -> Path:
    """A picture of the page: into `folder`, or where `FFTAG_SCREENSHOTS` says."""
    from PIL import Image

    place = Path(os.environ.get("FFTAG_SCREENSHOTS", folder))
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{name}.png"
    page.screenshot(path=path, full_page=whole, animations="disabled")
    small = Image.open(path).convert("RGB").quantize(COLOURS_OF_A_PICTURE)
    small.save(path, optimize=True)
    assert path.stat().st_size < LARGEST, f"{path} is too large for the documentation"
    return path
