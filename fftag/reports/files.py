"""The report files: what the TOML in the comments at the head of each `.sql` says of it."""

import difflib
import math
import tomllib
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from fftag.base.errors import FftagError
from fftag.base.resources import sql_folder

Value = bool | int | float | str
Form = Literal["percent", "points", "ratio", "detail"]
Column = Annotated[str, StringConstraints(min_length=1)]
Words = Annotated[
    str,
    StringConstraints(min_length=1, strip_whitespace=True),
    AfterValidator(lambda text: " ".join(text.split())),
]


def _of_no_filter(name: str) -> str:
    if name in FILTERS:
        raise ValueError(f"{name} is a filter, which every report has")
    return name


FILTERS = ("filters", "since", "until", "only_labels", "only_groups")
Variable = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$"), AfterValidator(_of_no_filter)
]

CHANGES = ("label", "verdict", "change", "low", "high", "of_first", "of_last")
TAKES = {bool: "true or false", int: "a whole number from 0", float: "a number from 0"}


class Strict(BaseModel):
    """What refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Parameter(Strict):
    """What a report can be asked with.

    Attributes:
        default: its value where none is given, as the SQL has it; its type is that of all values.
        meaning: one line.
    """

    default: Value
    meaning: Words

    def parse(self, name: str, text: str) -> Value:
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
            raise FftagError(f"parameter {name} takes {TAKES[kind]}, not {text!r}") from None
        return value


class Bars(Strict):
    """A bar per row: columns of its name, of its value, and of the interval's low and high."""

    kind: Literal["bars"]
    names: Annotated[list[Column], Field(min_length=1, max_length=2)]
    value: Column
    interval: tuple[Column, Column] | None = None

    @property
    def columns(self) -> list[str]:
        return [*self.names, self.value, *(self.interval or ())]


class Lines(Strict):
    """A line per series: columns of the month, of the value, of the series, of the interval."""

    kind: Literal["lines"]
    x: Column
    y: Column
    series: Column
    interval: tuple[Column, Column] | None = None

    @property
    def columns(self) -> list[str]:
        return [self.x, self.y, self.series, *(self.interval or ())]


class Changes(Strict):
    """Bars of the changes in the report `trend`, and the months of the clearest."""

    kind: Literal["trend"]

    @property
    def columns(self) -> list[str]:
        return [*CHANGES]


Plot = Annotated[Bars | Lines | Changes, Field(discriminator="kind")]


class Header(Strict):
    """What the head of a `.sql` file says of it.

    Attributes:
        title: of tables and pages.
        question: that it answers, in one line.
        read: how to read the answer.
        empty: why there may be no answer.
        by_label: whether it tells labels apart; only then can it be narrowed down to some.
        plot: its picture; None where it has none.
        show: how columns are shown: as `percent`, `points` or `ratio`, or as a `detail`, which the
            text table leaves to the other formats.
        parameters: that it takes, by name.
    """

    title: Words
    question: Words
    read: Words
    empty: Words
    by_label: bool = True
    plot: Plot | None = None
    show: dict[Form, list[Column]] = Field(default_factory=dict)
    parameters: dict[Variable, Parameter] = Field(default_factory=dict)

    @property
    def shows(self) -> dict[str, Form]:
        """Column -> how it is shown."""
        return {column: form for form, columns in self.show.items() for column in columns}


class Report(Header):
    """A `.sql` file with its header.

    Attributes:
        name: of the file, without its ending.
        sql: the whole file.
    """

    name: str
    sql: str

    def check_columns(self, there: Mapping[str, object]) -> None:
        """Sees that the answer has the columns that the header names.

        Raises:
            FftagError: one is not there.
        """
        for column in [*self.shows, *(self.plot.columns if self.plot else ())]:
            if column not in there:
                raise FftagError(
                    f"report {self.name}: its header names the column {column!r}, which its "
                    f"answer has not: it has {', '.join(there)}"
                )


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
    head = takewhile(lambda line: line.startswith("--"), sql.splitlines())
    toml = "\n".join(line.removeprefix("--").removeprefix(" ") for line in head)
    try:
        header = Header.model_validate(tomllib.loads(toml))
    except tomllib.TOMLDecodeError as error:
        raise FftagError(
            f"{path}: the comments at its head are no TOML, as a report begins: {error}"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FftagError(f"{path}: its header, {where}: {first['msg']}") from error
    return Report(**dict(header), name=path.stem, sql=sql)
