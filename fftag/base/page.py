"""One self-contained HTML page: headings, prose, tables and pictures, no outside address."""

import base64
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape

from fftag.base.atomic import PAGE, write_text


@dataclass(frozen=True)
class Section:
    """A part of a page. All text is escaped; nothing in it can become markup.

    Attributes:
        heading: the heading.
        text: paragraphs above the rest.
        images: PNG files as bytes, each with its caption.
        table: a table, or None.
        code: code shown folded away, such as the SQL behind a table.
        right: columns set to the right, as numbers are, though their cells are text.
    """

    heading: str
    text: list[str] = field(default_factory=list)
    images: list[tuple[bytes, str]] = field(default_factory=list)
    table: pd.DataFrame | None = None
    code: str = ""
    right: frozenset[str] = frozenset()

    @property
    def rows(self) -> list[list[object]]:
        """The table's cells as Python values, row by row."""
        return [] if self.table is None else self.table.astype(object).to_numpy().tolist()


def _number(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write_page(path: Path, title: str, sections: list[Section], lead: str = "") -> None:
    """Writes the page atomically.

    Args:
        path: the HTML file.
        title: title and first heading.
        sections: the parts, in order; a table of contents is made of their headings.
        lead: one paragraph under the title.

    Raises:
        FftagError: it cannot be written, or what is there is no page of fftag.
    """
    environment = Environment(
        loader=PackageLoader("fftag.base"), autoescape=select_autoescape(default=True)
    )
    environment.filters["cell"] = _number
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    environment.tests["numeric"] = lambda value: (
        isinstance(value, (int, float)) and not isinstance(value, bool)
    )
    template = environment.get_template("page.html")
    write_text(path, template.render(title=title, lead=lead, sections=sections), PAGE)
