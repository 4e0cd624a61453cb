"""Tables as plain text, their columns aligned."""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDEST = 100_000  # columns of a line: nothing is cut or wrapped, wherever it is written to


def text_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]
) -> list[str]:
    """Lines of a table; a wide character takes the room that a terminal gives it.

    Args:
        heads: of the columns.
        rows: cells.
        right: whether a column is set to the right, as numbers are.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head, is_right in zip(heads, right, strict=True):
        table.add_column(Text(head), justify="right" if is_right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(file=io.StringIO(), width=WIDEST, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]
