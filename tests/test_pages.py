"""What the pages have of the code is as the code has it, and a stale page is told."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fftag.cli.base import COMMANDS
from fftag.reports.files import all_reports

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def copied(tmp_path: Path) -> ModuleType:
    """The generator, beside copies of the pages."""
    for page in DOCS.glob("*.md"):
        shutil.copy(page, tmp_path)
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.DOCS = tmp_path
    return module


def test_a_stale_page_fails_the_check_until_it_is_written(
    copied: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    copied.main()
    page = tmp_path / "reports.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("What is rising, and what is falling?", "What rises?"))
    with pytest.raises(SystemExit, match=r"reports\.md: run `make docs`"):
        copied.main()
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    copied.main()
    assert page.read_text(encoding="utf-8") == text


def test_no_command_and_no_report_is_left_out() -> None:
    heads = set(re.findall(r"^### (\w+)", (DOCS / "cli.md").read_text(encoding="utf-8"), re.M))
    assert heads == {name for names in COMMANDS.values() for name in names}
    blocks = re.findall(r"generated: report (\w+)", (DOCS / "reports.md").read_text("utf-8"))
    assert sorted(blocks) == [report.name for report in all_reports()]


def test_links_within_the_pages_lead_somewhere() -> None:
    def anchors(page: Path) -> set[str]:
        heads = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.M)
        return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}

    for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]:
        text = page.read_text(encoding="utf-8")
        for name, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), (page.name, name)
            if anchor:
                assert anchor in anchors(target), (page.name, name, anchor)
