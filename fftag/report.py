"""A named question to the catalogue -> its answer, and what the answer rests on."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from fftag.errors import FftagError
from fftag.report_files import Report, Value, all_reports, find_report

__all__ = ["Answer", "Report", "all_reports", "find_report", "run_report"]

LEFT_OUT = {
    "failed": "files that could not be read",
    "without_apparel": "photos without apparel",
    "without_product": "photos of no product in the feed",
    "products_without_photo": "products without a photo",
}


@dataclass(frozen=True)
class Answer:
    """What a report found.

    Attributes:
        report: the question.
        table: the rows.
        values: of the parameters, as used.
        basis: one line: what was counted, what was left out, when it was tagged by which model.
    """

    report: Report
    table: pd.DataFrame
    values: dict[str, Value]
    basis: str


def run_report(db: Path, name: str, given: dict[str, str] | None = None) -> Answer:
    """Asks the database.

    Args:
        db: a file that `fftag tag --db` or `fftag load` wrote; opened for reading only, and with
            no way to any other file.
        name: of the report, or the path of a `.sql` file.
        given: parameter -> value as text.

    Raises:
        FftagError: no such database, report or parameter, a value of the wrong kind, or an error
            in the SQL.
    """
    report = find_report(name)
    known = {parameter.name: parameter for parameter in report.parameters}
    strange = [parameter for parameter in given or {} if parameter not in known]
    if strange:
        raise FftagError(
            f"report {report.name} has no parameter {strange[0]!r}: "
            f"it takes {', '.join(known) or 'none'}"
        )
    chosen = {key: known[key].parse(text) for key, text in (given or {}).items()}
    connection = _open(db)
    try:
        basis = _basis(connection, db)
        for key, value in chosen.items():
            # The name is one of the report's own; the value is bound.
            connection.execute(f"set variable {key} = $value", {"value": value})
        table = connection.execute(report.sql).df()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise FftagError(f"report {report.name} failed on {db}: {reason}") from error
    finally:
        connection.close()
    defaults = {parameter.name: parameter.default for parameter in report.parameters}
    return Answer(report, table, defaults | chosen, basis)


def _open(db: Path) -> duckdb.DuckDBPyConnection:
    if not db.is_file():
        raise FftagError(f"no database {db}: make one with `fftag tag --db` or `fftag load`")
    config: dict[str, str | bool | int | float | list[str]] = {"enable_external_access": "false"}
    try:
        return duckdb.connect(str(db), read_only=True, config=config)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise FftagError(f"{db} cannot be opened as a DuckDB file: {reason}") from error


def _basis(connection: duckdb.DuckDBPyConnection, db: Path) -> str:
    try:
        (row,) = connection.execute("from basis").df().to_dict("records")
    except duckdb.Error as error:
        raise FftagError(
            f"{db} is no catalogue of this fftag: make one with `fftag load`"
        ) from error
    counted = f"{row['items']:,} {row['counted']}"
    if row["counted"] == "products":
        counted += f" on {row['photos']:,} photos"
    left_out = [f"{row[key]:,} {what}" for key, what in LEFT_OUT.items() if row[key]]
    parts = [f"Counted: {counted}."]
    if left_out:
        parts.append(f"Left out: {', '.join(left_out)}.")
    if not pd.isna(row["tagged_at"]):
        parts.append(f"Tagged until {row['tagged_at']:%Y-%m-%d} by model {row['model_id'][:12]}.")
    return " ".join(parts)
