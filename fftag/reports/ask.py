"""A named question to the catalogue -> its answer, and what the answer rests on."""

import difflib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd

from fftag.base.errors import FftagError, first_line
from fftag.catalogue.database import asking
from fftag.reports.files import Report, Value, all_reports, find_report

__all__ = ["Answer", "Report", "all_reports", "find_report", "run_report"]

LEFT_OUT = {
    "failed": "files that could not be read",
    "without_apparel": "photos without apparel",
    "without_product": "photos of no product in the feed",
    "products_without_photo": "products without a photo",
    "of_other_runs": "photos of other runs or models",
}
LABEL_COLUMNS = {"label": "group", "label_a": "group_a", "label_b": "group_b"}


@dataclass(frozen=True)
class Filters:
    """What a report is narrowed down to; nothing narrows nothing.

    Attributes:
        where: column of the products -> values, one of which they have.
        labels: only these.
        groups: only labels of these.
        since: first day on which items were listed.
        until: last day.
    """

    where: dict[str, list[str]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    since: date | None = None
    until: date | None = None

    def variables(self) -> dict[str, object]:
        """Variable -> value, as sql/views.sql reads them."""
        filters = {"key": list(self.where), "value": list(self.where.values())}
        values = {
            "filters": filters if self.where else None,
            "only_labels": self.labels,
            "only_groups": self.groups,
            "since": self.since,
            "until": self.until,
        }
        return {name: value for name, value in values.items() if value}

    @property
    def of_labels(self) -> bool:
        """Whether they leave some labels out."""
        return bool(self.labels or self.groups)

    def line(self) -> str:
        """Them for a person; empty where there are none."""
        parts = [f"{column} {' or '.join(values)}" for column, values in self.where.items()]
        parts += [f"label {' or '.join(self.labels)}"] if self.labels else []
        parts += [f"group {' or '.join(self.groups)}"] if self.groups else []
        parts += [f"listed since {self.since}"] if self.since else []
        parts += [f"listed until {self.until}"] if self.until else []
        return f"Only: {'; '.join(parts)}. " if parts else ""


@dataclass(frozen=True)
class Answer:
    """What a report found.

    Attributes:
        report: the question.
        table: the rows.
        values: of the parameters, as used.
        basis: one line: what was counted, what was left out, when it was tagged by which model.
        db: the catalogue that was asked.
        filters: what it was narrowed down to.
        language: that its labels are in; None for the catalogue's own.
        several: names of labels that several groups have.
    """

    report: Report
    table: pd.DataFrame
    values: dict[str, Value]
    basis: str
    db: Path
    filters: Filters
    language: str | None
    several: frozenset[str] = frozenset()

    @property
    def named(self) -> pd.DataFrame:
        """The rows for a person: a name that several groups have stands with its group."""
        table = self.table.copy()
        for label, group in LABEL_COLUMNS.items():
            if label in table and group in table:
                alike = table[label].isin(self.several)
                table.loc[alike, label] += " (" + table.loc[alike, group] + ")"
        return table

    def beside(self, name: str) -> pd.DataFrame:
        """What a shipped report finds in the same catalogue, under the same filters, `named`."""
        return run_report(self.db, name, None, self.filters, None, self.language).named


def run_report(
    db: Path,
    name: str,
    given: dict[str, str] | None = None,
    filters: Filters = Filters(),
    folder: Path | None = None,
    language: str | None = None,
) -> Answer:
    """Asks the database.

    Args:
        db: a file that `fftag tag --db` or `fftag load` wrote; opened for reading only, and with
            no way to any other file.
        name: of the report, or the path of a `.sql` file.
        given: parameter -> value as text.
        filters: what to narrow it down to.
        folder: of further reports, of one's own.
        language: to give labels in, where the taxonomy has them in it.

    Raises:
        FftagError: no such database, report, parameter, column, label or language, a value of the
            wrong kind, or an error in the SQL.
    """
    report = find_report(name, folder)
    known = report.parameters
    strange = [parameter for parameter in given or {} if parameter not in known]
    if strange:
        raise FftagError(
            f"report {report.name} has no parameter {strange[0]!r}: "
            f"it takes {', '.join(known) or 'none'}"
        )
    if filters.of_labels and not report.by_label:
        raise FftagError(
            f"report {report.name} tells no labels apart: leave out --label and --group"
        )
    chosen = {key: known[key].parse(key, text) for key, text in (given or {}).items()}
    with asking(db) as connection:
        _check(connection, filters)
        try:
            for key, value in (chosen | filters.variables()).items():
                # The name is one of the report's own or of the views; the value is bound.
                connection.execute(f"set variable {key} = $value", {"value": value})
            basis = filters.line() + _basis(connection)
            table = connection.execute(report.sql).df()
        except duckdb.Error as error:
            reason = first_line(error)
            raise FftagError(f"report {report.name} failed on {db}: {reason}") from error
        report.check_columns(dict(table))
        twice = "select label from labels group by label having count(*) > 1"
        several = {label for (label,) in connection.execute(twice).fetchall()}
        if language is not None:
            names = _translate(connection, table, language)
            several = {names.get(label, label) for label in several}
    defaults = {key: parameter.default for key, parameter in known.items()}
    values = defaults | chosen
    return Answer(report, table, values, basis, db, filters, language, frozenset(several))


def _check(connection: duckdb.DuckDBPyConnection, filters: Filters) -> None:
    """Makes sure that what is named is there."""
    columns = [column for column, *_ in connection.execute("describe chosen_items").fetchall()]
    rows = connection.execute('select label, "group" from labels').fetchall()
    labels, groups = [label for label, _ in rows], [group for _, group in rows if group]
    for flag, named, there in (
        ("--where", list(filters.where), columns),
        ("--label", filters.labels, labels),
        ("--group", filters.groups, groups),
    ):
        for name in named:
            if name not in there:
                near = difflib.get_close_matches(name, there, n=1)
                known = ", ".join(sorted(dict.fromkeys(there))[:12])
                hint = f"did you mean {near[0]!r}?" if near else f"there are {known}"
                raise FftagError(f"{flag}: there is no {name!r}: {hint}")


def _translate(
    connection: duckdb.DuckDBPyConnection, table: pd.DataFrame, language: str
) -> dict[str, str]:
    """Puts labels in a language; one whose name there is another's too keeps its own behind it.

    Returns:
        Label -> name in the language.
    """
    names = dict(
        connection.execute(
            """
            with named as (
                select labels.label, coalesce(translations.name, labels.label) as name
                from (select distinct label from labels) as labels
                left join translations
                    on translations.label = labels.label and language = $language
            )

            select
                label,
                case when count(*) over (partition by name) > 1 and name <> label
                    then name || ' (' || label || ')' else name end
            from named
            where (select count(*) from translations where language = $language) > 0
            """,
            {"language": language},
        ).fetchall()
    )
    if not names:
        found = connection.execute("select distinct language from translations order by 1")
        there = ", ".join(name for (name,) in found.fetchall()) or "none"
        raise FftagError(
            f"the catalogue has no labels in {language!r} (it has: {there}): load it with a "
            "--taxonomy that translates them"
        )
    for column in LABEL_COLUMNS:
        if column in table:
            table[column] = [names.get(label, label) for label in table[column]]
    return names


def _basis(connection: duckdb.DuckDBPyConnection) -> str:
    (row,) = connection.execute("from basis").df().to_dict("records")
    counted = f"{row['items']:,} {row['counted']}"
    if row["counted"] == "products":
        counted += f" on {row['photos']:,} photos"
    if row["sources"] > 1:
        counted += f" of {row['sources']} sources"
    left_out = [f"{row[key]:,} {what}" for key, what in LEFT_OUT.items() if row[key]]
    parts = [f"Counted: {counted}."]
    if left_out:
        parts.append(f"Left out: {', '.join(left_out)}.")
    if row["corrections"]:
        parts.append(f"With {row['corrections']:,} corrections of reviewers.")
    if not pd.isna(row["tagged_at"]):
        parts.append(f"Tagged until {row['tagged_at']:%Y-%m-%d} by model {row['models']}.")
    return " ".join(parts)
