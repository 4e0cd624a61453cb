"""An answer, written: aligned text, CSV, JSON, Parquet, HTML, PNG."""

import io
import json
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.atomic import Kind, make_folder, replacing, write_bytes, write_text
from fftag.base.errors import FftagError
from fftag.base.page import Section, write_page
from fftag.base.plots import PICTURE
from fftag.base.text_table import text_table
from fftag.reports.ask import Answer
from fftag.reports.charts import draw
from fftag.reports.files import Bars
from fftag.tagging.tags_file import METADATA_KEY

TEXTS = ("table", "csv", "json")
FILES = ("parquet", "html", "png")
NOTES_WIDTH = 100
BAR_WIDTH = 10  # columns of the terminal
EIGHTHS = " ▏▎▍▌▋▊▉"
MOST_ROWS = 200  # of a table on a page; the other formats have all
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_answer(answer: Answer, form: str, out: Path | None) -> str:
    """Writes an answer to a file, or gives the text to print.

    Args:
        answer: of `fftag.reports.ask.run_report`.
        form: `table`, `csv`, `json`, `parquet`, `html` or `png`.
        out: the file; needed for the last three.

    Returns:
        What to print: the text, or where it was written.

    Raises:
        FftagError: there is no such form, it needs a file, there is nothing to draw, or the file
            cannot be written.
    """
    if form not in (*TEXTS, *FILES):
        raise FftagError(f"no format {form!r}: use one of {', '.join((*TEXTS, *FILES))}")
    if form in TEXTS:
        text = {"table": as_table, "csv": as_csv, "json": as_json}[form](answer)
        if out is None:
            return text
        write_text(out, text + "\n", _kind(answer, form))
    elif out is None:
        raise FftagError(f"--format {form} needs --out FILE")
    elif form == "parquet":
        table = pa.Table.from_pandas(answer.table, preserve_index=False)
        about = {METADATA_KEY: json.dumps({"report": answer.report.name}).encode()}
        with replacing(out, _kind(answer, form)) as temporary:
            pq.write_table(
                table.replace_schema_metadata((table.schema.metadata or {}) | about), temporary
            )
    elif form == "png":
        write_bytes(out, _picture(answer), PICTURE)
    else:
        write_page(out, answer.report.title, [section_of(answer)])
    return str(out)


def _kind(answer: Answer, form: str) -> Kind:
    """What may be written over: an answer of the same report in the same format."""

    def knows(path: Path) -> bool:
        try:
            if form == "parquet":
                about = (pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}")
                return bool(json.loads(about).get("report") == answer.report.name)
            text = path.read_text(encoding="utf-8")
            if form == "json":
                rows = json.loads(text)
                return bool(rows == [] or list(rows[0]) == list(answer.table))
            heads = as_csv(replace(answer, table=answer.table.head(0)))
            return text.split("\n")[0] == (heads if form == "csv" else answer.report.title)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, pa.ArrowException):
            return False

    return Kind(f"an answer of report {answer.report.name} as {form}", knows)


def as_table(answer: Answer) -> str:
    """Aligned columns with a title, the reading and, where there are no rows, the reason."""
    report = answer.report
    head = [report.title, report.question, ""]
    if answer.table.empty:
        return "\n".join([*head, f"No rows. {report.empty}", answer.basis])
    brief = [c for c in answer.table.columns if report.shows.get(str(c)) != "detail"]
    shown = display(answer)[brief]
    right = [pd.api.types.is_numeric_dtype(answer.table[column]) for column in brief]
    if (bars := _bars(answer)) is not None:
        shown, brief, right = shown.assign(**{"": bars}), [*brief, ""], [*right, False]
    lines = text_table(brief, shown.itertuples(index=False), right)
    notes = [textwrap.fill(note, NOTES_WIDTH) for note in _notes(answer)]
    return "\n".join([*head, *lines, "", *notes])


def _bars(answer: Answer) -> list[str] | None:
    """A bar per row, of the value that the picture shows; None where there is none to show."""
    plot = answer.report.plot
    if not isinstance(plot, Bars):
        return None
    values = answer.table[plot.value].astype(float)
    if (values < 0).any() or not values.max() > 0:
        return None
    return [_bar(value / values.max()) for value in values]


def _bar(share: float) -> str:
    if pd.isna(share):
        return ""
    eighths = round(8 * BAR_WIDTH * share)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


def display(answer: Answer) -> pd.DataFrame:
    """The cells as a person reads them: shares as percent, changes in points; all text."""
    shown = {
        str(column): [_cell(value, answer.report.shows.get(str(column))) for value in values]
        for column, values in answer.named.items()
    }
    return pd.DataFrame(shown, dtype=object)


def as_csv(answer: Answer) -> str:
    """CSV; a text that a spreadsheet would take for a formula gets an apostrophe in front."""
    safe = answer.table.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = safe[column].map(_defused)
    buffer = io.StringIO()
    safe.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue().rstrip("\n")


def as_json(answer: Answer) -> str:
    """A list with one object per row; dates in ISO form, what is missing as null."""
    rows = answer.table.to_dict("records")
    records = [{key: _native(value) for key, value in row.items()} for row in rows]
    return json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False)


def _cell(value: object, form: str | None) -> str:
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    if isinstance(value, float):
        text = {"percent": f"{value:.1%}", "points": f"{value * 100:+.1f} pp"}.get(form or "")
        return text or (f"{value:.2f}" if form == "ratio" else f"{value:,.4g}")
    if isinstance(value, bool):
        return _plain(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    # A control character in a file's name could steer the terminal.
    return "".join(
        repr(character)[1:-1] if unicodedata.category(character) == "Cc" else character
        for character in str(value)
    )


def _native(value: object) -> object:
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return None
    return f"{value:%Y-%m-%d}" if isinstance(value, date) else value


def _defused(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _notes(answer: Answer) -> list[str]:
    used = ", ".join(f"{name} = {_plain(value)}" for name, value in answer.values.items())
    parameters = [f"Parameters: {used}."] if used else []
    return [answer.report.read, answer.basis, *parameters]


def _picture(answer: Answer) -> bytes:
    if answer.table.empty:
        raise FftagError(f"nothing to draw: {answer.report.empty}")
    picture = draw(answer)
    if picture is None:
        raise FftagError(f"report {answer.report.name} has no picture: use --format html")
    return picture


def section_of(answer: Answer) -> Section:
    """An answer as a part of a page: how to read it, its picture, its rows, the SQL behind it."""
    report = answer.report
    empty = answer.table.empty
    text = [f"No rows. {report.empty}", answer.basis] if empty else _notes(answer)
    table = answer.table.head(MOST_ROWS)
    if len(table) < len(answer.table):
        text.append(
            f"The first {len(table)} of {len(answer.table):,} rows; "
            f"`fftag report {report.name} --format csv` has all."
        )
    picture = None if empty else draw(answer)
    images = [(picture, "")] if picture else []
    right = {str(name) for name in table if pd.api.types.is_numeric_dtype(table[name])}
    shown = display(replace(answer, table=table))
    return Section(report.question, text, images, shown, report.sql, frozenset(right))


def write_site(answers: Sequence[Answer], folder: Path, left_out: Sequence[str] = ()) -> Path:
    """Writes answers as one page that needs nothing else; returns its path.

    Args:
        answers: of one catalogue, under the same filters.
        folder: to write it into.
        left_out: reports that these filters cannot narrow down, and so are not there.

    Raises:
        FftagError: it cannot be written.
    """
    page = folder / "index.html"
    make_folder(folder)
    names = {one.name for one in folder.iterdir() if not one.name.startswith(".")}
    if others := sorted(names - {page.name}):
        raise FftagError(f"{folder} holds {others[0]}: give a folder of its own to the page")
    lead = answers[0].basis
    if left_out:
        lead += f" Not here, as they tell no labels apart: {', '.join(left_out)}."
    sections = [section_of(answer) for answer in answers]
    write_page(page, f"Catalogue {answers[0].db.stem}", sections, lead)
    return page
