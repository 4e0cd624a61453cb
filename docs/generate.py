"""Writes what these pages have of the code: the commands, and the reports.

python docs/generate.py            # writes it
python docs/generate.py --check    # ends with 1 where a page has something else
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import typer

from fftag.catalogue.tables import make_items, run_script
from fftag.cli import app
from fftag.cli.base import COMMANDS
from fftag.reports.files import Report, all_reports, find_report

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(?<=<!-- generated: )(\w+) ?(\w*)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def commands() -> str:
    """Every command under what a user wants, with its options under their heads."""
    group: Any = typer.main.get_command(app)
    lines = []
    for want, names in COMMANDS.items():
        lines += [f"## {want}", ""]
        for name in names:
            for path, command in _leaves(name, group.commands[name]):
                lines += [f"### {path}", "", *_command(path, command)]
    return "\n".join(lines)


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from _leaves(f"{path} {name}", below)


def _command(path: str, command: Any) -> list[str]:
    says, example = command.help.split("\n\nExample: ")
    lines = [says, "", "```", " ".join(example.split()), "```", ""]
    context = command.make_context(path, [], resilient_parsing=True)
    heads: dict[str, list[str]] = {}
    for one in command.params:
        name, meaning = one.get_help_record(context)
        head = one.rich_help_panel or (
            "argument" if one.param_type_name == "argument" else "option"
        )
        heads.setdefault(head, []).append(_row(f"`{name}`", meaning))
    for head, rows in heads.items():
        lines += [*_table(head, ""), *rows, ""]
    return lines


def environment() -> str:
    """Which variable stands for which option, of which commands."""
    group: Any = typer.main.get_command(app)
    found: dict[tuple[str, str], list[str]] = {}
    for name in group.commands:
        for path, command in _leaves(name, group.commands[name]):
            for one in command.params:
                if one.envvar:
                    found.setdefault((one.envvar, one.opts[0]), []).append(f"`{path}`")
    rows = [_row(f"`{name}`", f"`{flag}`", ", ".join(of)) for (name, flag), of in found.items()]
    return "\n".join([*_table("variable", "option", "of"), *sorted(rows), ""])


def reports() -> str:
    """Every report with its question."""
    rows = [_row(f"[`{one.name}`](#{one.name})", one.question) for one in all_reports()]
    return "\n".join([*_table("report", "question"), *rows, ""])


def report(name: str) -> str:
    """What the head of a report's file says, its parameters, and its columns."""
    one = find_report(name)
    lines = [one.question, "", _wrapped(one.read), ""]
    if one.parameters:
        rows = [
            _row(f"`{key}`", str(its.default).lower(), its.meaning)
            for key, its in one.parameters.items()
        ]
        lines += [*_table("parameter", "default", ""), *rows, ""]
    columns, details = _columns(one), one.show.get("detail", [])
    says = f"Columns: {_names(columns)}."
    if details:
        says += f" Not on the terminal: {_names(details)}."
    return "\n".join([*lines, _wrapped(says), ""])


def _columns(one: Report) -> list[str]:
    rows = _empty_catalogue().execute(f"describe {one.sql}").fetchall()
    return [name for name, *_ in rows]


@cache
def _empty_catalogue() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for script in ("schema.sql", "macros.sql", "photos.sql"):
        run_script(connection, script)
    make_items(connection)
    return connection


def _names(columns: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in columns)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _table(*heads: str) -> list[str]:
    return [_row(*heads), "|" + "---|" * len(heads)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def generated(text: str) -> str:
    """A page with its generated parts as they are to be."""
    makers: dict[str, Any] = {
        made.__name__: made for made in (commands, environment, reports, report)
    }
    return BLOCK.sub(
        lambda found: (
            f"{found[0].partition(' -->')[0]}{found[3]}"
            + makers[found[1]](*([found[2]] if found[2] else []))
        ),
        text,
    )


def main() -> None:
    """Writes the pages, or says which are stale."""
    pages = {page: page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))}
    stale = {page: new for page, old in pages.items() if (new := generated(old)) != old}
    if sys.argv[1:] == ["--check"]:
        if stale:
            names = ", ".join(page.name for page in stale)
            sys.exit(f"not as the code has it: {names}: run `make docs`")
        return
    for page, new in stale.items():
        page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
