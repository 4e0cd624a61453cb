"""`--help`: in groups by what a user wants, and whole on a terminal of 80 columns."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fftag.cli import app
from fftag.cli.base import COMMANDS

LINE = 66
"""Characters of the line that says what a command is for: as many as 80 columns leave it."""


def commands(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*names, name), command
        if hasattr(command, "commands"):
            yield from commands(command, *names, name)


ALL = dict(commands(typer.main.get_command(app)))


def shown(*names: str) -> str:
    done = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("names", ALL, ids=" ".join)
def test_no_name_of_an_option_is_cut_at_80_columns(names: tuple[str, ...]) -> None:
    text = shown(*names)
    assert max(map(len, text.splitlines())) <= 80
    words = text.split()
    for parameter in ALL[names].params:
        for flag in [*parameter.opts, *parameter.secondary_opts]:
            assert flag in words or parameter.param_type_name == "argument", flag


@pytest.mark.parametrize("names", ALL, ids=" ".join)
def test_one_line_says_what_a_command_is_for(names: tuple[str, ...]) -> None:
    first, *rest = ALL[names].help.split("\n\n")
    assert len(first) <= LINE and first.endswith(".") and "\n" not in first
    if not hasattr(ALL[names], "commands"):
        assert f"Example: fftag {' '.join(names)}" in rest[-1]
    assert all(getattr(one, "help", "-") for one in ALL[names].params)


def test_commands_stand_under_what_a_user_wants() -> None:
    lines = shown().splitlines()
    heads = [line.strip("╭─╮ ") for line in lines if line.startswith("╭")]
    assert heads == ["Options", *COMMANDS]
    named = [line.split()[1] for line in lines if line.startswith("│ ") and line[2] != " "]
    listed = [name for names in COMMANDS.values() for name in names]
    assert [name for name in named if not name.startswith("-")] == listed
    assert listed == [name for (name, *below) in ALL if not below]


def test_a_command_with_many_options_has_them_under_heads() -> None:
    for names, command in ALL.items():
        heads = [getattr(one, "rich_help_panel", None) for one in command.params]
        assert heads.count(None) <= 14, names
