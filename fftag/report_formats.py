"""An answer, written: aligned text, CSV, JSON, Parquet, HTML, PNG."""

import io
import json
from pathlib import Path

import pandas as pd

from fftag.atomic import replacing, write_text
from fftag.errors import FftagError
from fftag.page import Section, write_page
from fftag.report import Answer
from fftag.report_plots import draw

TEXTS = ("table", "csv", "json")
FILES = ("parquet", "html", "png")
SHARES = {"share", "low", "high", "share_first", "share_last"}
RATIOS = {"lift"}
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_answer(answer: Answer, db: Path, form: str, out: Path | None) -> str:
    """Writes an answer to a file, or gives the text to print.

    Args:
        answer: of `fftag.report.run_report`.
        db: the database it came from, which pictures may ask more of.
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
        write_text(out, text + "\n")
    elif out is None:
        raise FftagError(f"--format {form} needs --out FILE")
    elif form == "parquet":
        with replacing(out) as temporary:
            answer.table.to_parquet(temporary, index=False)
    elif form == "png":
        with replacing(out) as temporary:
            temporary.write_bytes(_picture(answer, db))
    else:
        _write_html(answer, db, out)
    return str(out)


def as_table(answer: Answer) -> str:
    """Aligned columns with a title, the reading and, where there are no rows, the reason."""
    report = answer.report
    head = [report.title, report.question, ""]
    if answer.table.empty:
        return "\n".join([*head, f"no rows: {report.empty}"])
    shown = display(answer.table)
    width = {column: max(map(len, [column, *shown[column]])) for column in shown}
    right = {c for c in shown if pd.api.types.is_numeric_dtype(answer.table[c])}

    def line(cells: list[str]) -> str:
        return "  ".join(
            cell.rjust(width[column]) if column in right else cell.ljust(width[column])
            for column, cell in zip(shown, cells, strict=True)
        ).rstrip()

    rows = [line(list(row)) for row in shown.itertuples(index=False)]
    used = ", ".join(f"{name} = {_plain(value)}" for name, value in answer.values.items())
    notes = ["", report.read] + ([f"Parameters: {used}."] if used else [])
    return "\n".join([*head, line(list(shown)), *rows, *notes])


def display(table: pd.DataFrame) -> pd.DataFrame:
    """The cells as a person reads them: shares as percent, changes in points."""
    points = "change" in table.columns
    shown = {}
    for column in table.columns:
        values = table[column]
        if column == "change" or (points and column in ("low", "high")):
            cells = [f"{value * 100:+.1f} pp" for value in values]
        elif column in RATIOS or ("lift" in table.columns and column in ("low", "high")):
            cells = [f"{value:.2f}" for value in values]
        elif column in SHARES:
            cells = [f"{value:.1%}" for value in values]
        elif pd.api.types.is_datetime64_any_dtype(values):
            cells = [f"{value:%Y-%m-%d}" for value in values]
        elif pd.api.types.is_integer_dtype(values):
            cells = [f"{value:,}" for value in values]
        else:
            cells = ["" if pd.isna(value) else " ".join(str(value).split("\n")) for value in values]
        shown[str(column)] = cells
    return pd.DataFrame(shown, dtype=object)


def as_csv(answer: Answer) -> str:
    """CSV; a text that a spreadsheet would take for a formula gets an apostrophe in front."""
    safe = answer.table.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = [_defused(value) for value in safe[column]]
    buffer = io.StringIO()
    safe.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue().rstrip("\n")


def as_json(answer: Answer) -> str:
    """A list with one object per row; dates in ISO form, nothing as null."""
    text = answer.table.to_json(orient="records", date_format="iso", date_unit="s") or "[]"
    return json.dumps(json.loads(text), indent=1, ensure_ascii=False)


def _defused(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _picture(answer: Answer, db: Path) -> bytes:
    if answer.table.empty:
        raise FftagError(f"nothing to draw: {answer.report.empty}")
    picture = draw(answer, db)
    if picture is None:
        raise FftagError(f"report {answer.report.name} has no picture: use --format html")
    return picture


def _write_html(answer: Answer, db: Path, out: Path) -> None:
    report = answer.report
    text = [report.read] if not answer.table.empty else [f"No rows: {report.empty}"]
    picture = None if answer.table.empty else draw(answer, db)
    images = [(picture, "")] if picture else []
    used = ", ".join(f"{name} = {_plain(value)}" for name, value in answer.values.items())
    if used:
        text.append(f"Parameters: {used}.")
    section = Section(report.question, text, images, display(answer.table), report.sql)
    write_page(out, report.title, [section])
