"""The report files: what the comments at the head of each `.sql` say of it."""

import difflib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from fftag.errors import FftagError
from fftag.resources import sql_folder

Value = int | float | bool | str

HEADER = re.compile(r"^-- ([a-z]+): (.*)$")
CONTINUED = re.compile(r"^--   (.*)$")
PARAMETER = re.compile(r"^([a-z_]+) = ([^:]+): (.+)$")
SHOWN = re.compile(r"^([a-z_0-9 ]+) as (percent|points|ratio|detail)$")
PLOTS = {"bars": (2, 4), "lines": (3, 5), "trend": (0,)}
"""Kind of plot -> how many columns it may name."""
NEEDED = {"title", "question", "read", "empty"}
ONCE = NEEDED | {"plot"}


@dataclass(frozen=True)
class Parameter:
    """What a report can be asked with.

    Attributes:
        name: of the DuckDB variable.
        default: its value where none is given, as the SQL has it.
        meaning: one line.
    """

    name: str
    default: Value
    meaning: str

    def parse(self, text: str) -> Value:
        """A value of the default's type; a number is finite and not negative.

        Raises:
            FftagError: it is not.
        """
        kind = type(self.default)
        try:
            if kind is bool:
                return {"true": True, "false": False}[text.lower()]
            value = kind(text)
            if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
                raise ValueError(text)
        except (ValueError, KeyError, OverflowError):
            raise FftagError(
                f"parameter {self.name} takes {_article(kind)}, not {text!r}"
            ) from None
        return value


@dataclass(frozen=True)
class Plot:
    """The picture of a report.

    Attributes:
        kind: `bars` (names, value and, if it has one, the interval's low and high), `lines` (x, y,
            series, likewise) or `trend`.
        columns: of the answer, in that order; names may be two columns joined by `+`.
    """

    kind: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A `.sql` file with a header of comments.

    Attributes:
        name: of the file, without its ending.
        title: of tables and pages.
        question: that it answers, in one line.
        read: how to read the answer.
        empty: why there may be no answer.
        plot: its picture; None where it has none.
        shows: column -> `percent`, `points`, `ratio`, or `detail` for a column that the text table
            leaves to the other formats.
        parameters: that it takes.
        sql: the whole file.
    """

    name: str
    title: str
    question: str
    read: str
    empty: str
    plot: Plot | None
    shows: dict[str, str]
    parameters: tuple[Parameter, ...]
    sql: str


def all_reports(folder: Path | None = None) -> list[Report]:
    """Every shipped report, and those in a folder of one's own, which go before; by name.

    Raises:
        FftagError: a file has no proper header, or the folder has none.
    """
    files = {path.stem: path for path in (sql_folder() / "reports").glob("*.sql")}
    if folder is not None:
        own = {path.stem: path for path in folder.glob("*.sql")}
        if not own:
            raise FftagError(f"there is no report in {folder}: put .sql files there")
        files |= own
    return [read_report(files[name]) for name in sorted(files)]


def find_report(name: str, folder: Path | None = None) -> Report:
    """A report by its name, or of a file of one's own.

    Args:
        name: of a shipped report or one in the folder, or the path of a `.sql` file.
        folder: of one's own.

    Raises:
        FftagError: there is none; names the nearest.
    """
    if name.endswith(".sql"):
        return read_report(Path(name))
    reports = {report.name: report for report in all_reports(folder)}
    if name not in reports:
        near = difflib.get_close_matches(name, reports, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(reports)}"
        raise FftagError(f"no report {name!r}: {hint}")
    return reports[name]


def read_report(path: Path) -> Report:
    """A report from its file.

    Raises:
        FftagError: the file is missing, or its header is not as docs/reports.md describes it.
    """
    try:
        sql = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FftagError(f"cannot read the report {path}: {error}") from error
    entries = _entries(sql)
    fields = {key: text for key, text in entries if key in ONCE}
    lacking = NEEDED - fields.keys()
    if lacking:
        raise FftagError(f"{path} has no `-- {min(lacking)}:` in its header")
    strange = [key for key, _ in entries if key not in {*ONCE, "parameter", "show"}]
    if strange:
        raise FftagError(f"{path} has a header `-- {strange[0]}:`, which means nothing here")
    shows = [_shown(text, path) for key, text in entries if key == "show"]
    return Report(
        name=path.stem,
        title=fields["title"],
        question=fields["question"],
        read=fields["read"],
        empty=fields["empty"],
        plot=_plot(fields["plot"], path) if "plot" in fields else None,
        shows={column: form for columns, form in shows for column in columns},
        parameters=tuple(_parameter(text, path) for key, text in entries if key == "parameter"),
        sql=sql,
    )


def _entries(sql: str) -> list[tuple[str, str]]:
    entries: list[tuple[str, str]] = []
    for line in sql.splitlines():
        if match := HEADER.match(line):
            entries.append((match[1], match[2].strip()))
        elif (match := CONTINUED.match(line)) and entries:
            key, text = entries[-1]
            entries[-1] = (key, f"{text} {match[1].strip()}")
        else:
            break
    return entries


def _parameter(text: str, path: Path) -> Parameter:
    match = PARAMETER.match(text)
    if not match:
        raise FftagError(f"{path}: a parameter reads `-- parameter: name = default: meaning`")
    try:
        default = json.loads(match[2])
    except ValueError:
        default = match[2]
    return Parameter(match[1], default, match[3])


def _shown(text: str, path: Path) -> tuple[list[str], str]:
    match = SHOWN.match(text)
    if not match:
        raise FftagError(
            f"{path}: it reads `-- show: column ... as percent`, or points, ratio or detail"
        )
    return match[1].split(), match[2]


def _plot(text: str, path: Path) -> Plot:
    kind, *columns = text.split()
    if len(columns) not in PLOTS.get(kind, ()):
        raise FftagError(
            f"{path}: it reads `-- plot: bars names value [low high]`, "
            "`lines x y series [low high]` or `trend`"
        )
    return Plot(kind, tuple(columns))


def _article(kind: type) -> str:
    numbers = {int: "a whole number from 0", float: "a number from 0", bool: "true or false"}
    return numbers.get(kind, "a word")
