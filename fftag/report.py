"""A named query -> its answer: as a table, CSV, JSON, Parquet, an HTML page or a picture."""

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from fftag.errors import FftagError
from fftag.resources import sql_folder

HEADER = re.compile(r"^-- ([a-z]+): (.*)$")
CONTINUED = re.compile(r"^--   (.*)$")
PARAMETER = re.compile(r"^([a-z_]+) = ([^:]+): (.+)$")


@dataclass(frozen=True)
class Parameter:
    """What a report can be asked with.

    Attributes:
        name: of the DuckDB variable.
        default: its value where none is given, as the SQL has it.
        meaning: one line.
    """

    name: str
    default: int | float | bool | str
    meaning: str

    def parse(self, text: str) -> int | float | bool | str:
        """A value of the default's type.

        Raises:
            FftagError: it is not of that type.
        """
        kind = type(self.default)
        try:
            if kind is bool:
                return {"true": True, "false": False}[text.lower()]
            return kind(text)
        except (ValueError, KeyError):
            raise FftagError(
                f"parameter {self.name} takes {_article(kind)}, not {text!r}"
            ) from None


@dataclass(frozen=True)
class Report:
    """A `.sql` file with a header of comments.

    Attributes:
        name: of the file, without its ending.
        title: of tables and pages.
        question: that it answers, in one line.
        read: how to read the answer.
        empty: why there may be no answer.
        plot: the kind of its picture, empty where it has none.
        parameters: that it takes.
        sql: the whole file.
    """

    name: str
    title: str
    question: str
    read: str
    empty: str
    plot: str
    parameters: tuple[Parameter, ...]
    sql: str


@dataclass(frozen=True)
class Answer:
    """What a report found.

    Attributes:
        report: the question.
        table: the rows.
        values: of the parameters, as used.
    """

    report: Report
    table: pd.DataFrame
    values: dict[str, Any]


def all_reports() -> list[Report]:
    """Every shipped report, by name.

    Raises:
        FftagError: a file has no proper header.
    """
    return [_parse(path) for path in sorted((sql_folder() / "reports").glob("*.sql"))]


def find_report(name: str) -> Report:
    """A report by its name.

    Raises:
        FftagError: there is none; names the nearest.
    """
    reports = {report.name: report for report in all_reports()}
    if name not in reports:
        near = difflib.get_close_matches(name, reports, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(reports)}"
        raise FftagError(f"no report {name!r}: {hint}")
    return reports[name]


def run_report(db: Path, name: str, given: dict[str, str] | None = None) -> Answer:
    """Asks the database.

    Args:
        db: a file that `fftag tag --db` or `fftag load` wrote; opened for reading only.
        name: of the report.
        given: parameter -> value as text.

    Raises:
        FftagError: no such database, report or parameter, or a value of the wrong kind.
    """
    report = find_report(name)
    known = {parameter.name: parameter for parameter in report.parameters}
    strange = [parameter for parameter in given or {} if parameter not in known]
    if strange:
        raise FftagError(
            f"report {name} has no parameter {strange[0]!r}: it takes {', '.join(known) or 'none'}"
        )
    chosen = {key: known[key].parse(text) for key, text in (given or {}).items()}
    connection = _open(db)
    try:
        for key, value in chosen.items():
            # The name is one of the report's own; the value is bound.
            connection.execute(f"set variable {key} = $value", {"value": value})
        table = connection.execute(report.sql).df()
    except duckdb.CatalogException as error:
        raise FftagError(f"{db} is no catalogue of fftag: make one with `fftag load`") from error
    finally:
        connection.close()
    defaults = {parameter.name: parameter.default for parameter in report.parameters}
    return Answer(report, table, defaults | chosen)


def _open(db: Path) -> duckdb.DuckDBPyConnection:
    if not db.is_file():
        raise FftagError(f"no database {db}: make one with `fftag tag --db` or `fftag load`")
    try:
        config = {"enable_external_access": "false"}
        return duckdb.connect(str(db), read_only=True, config=config)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise FftagError(f"{db} cannot be opened as a DuckDB file: {reason}") from error


def _parse(path: Path) -> Report:
    sql = path.read_text(encoding="utf-8")
    entries: list[list[str]] = []
    for line in sql.splitlines():
        if match := HEADER.match(line):
            entries.append([match[1], match[2]])
        elif (match := CONTINUED.match(line)) and entries:
            entries[-1][1] += " " + match[1]
        else:
            break
    fields = {key: text for key, text in entries if key != "parameter"}
    lacking = {"title", "question", "read", "empty"} - fields.keys()
    if lacking:
        raise FftagError(f"{path} has no `-- {min(lacking)}:` in its header")
    parameters = tuple(_parameter(text, path) for key, text in entries if key == "parameter")
    return Report(
        name=path.stem,
        title=fields["title"],
        question=fields["question"],
        read=fields["read"],
        empty=fields["empty"],
        plot=fields.get("plot", ""),
        parameters=parameters,
        sql=sql,
    )


def _parameter(text: str, path: Path) -> Parameter:
    match = PARAMETER.match(text)
    if not match:
        raise FftagError(f"{path}: a parameter reads `-- parameter: name = default: meaning`")
    try:
        default = json.loads(match[2])
    except ValueError:
        default = match[2]
    return Parameter(match[1], default, match[3])


def _article(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a word")
