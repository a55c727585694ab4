"""The look of tables in the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text


def plain_table(title: str, first: str, *others: str) -> Table:
    """A table with its title on the left: the first column left, the others right."""
    table = Table(title=title, title_justify="left", title_style="bold", caption_justify="left", box=SIMPLE_HEAD)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def turned_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], notes: str = "") -> Group:
    """The same with each of the rows as a column: for many headings and few rows, in a narrow terminal.

    Title and notes may be wider than the table.
    """
    table = plain_table("", headings[0], *(row[0] for row in rows))
    table.title = None
    for k, heading in enumerate(headings[1:], start=1):
        table.add_row(heading, *(row[k] for row in rows))
    return Group(Text(title, style="bold"), table, Text(notes))
