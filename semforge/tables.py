"""The look of tables in the terminal."""

from rich.box import SIMPLE_HEAD
from rich.table import Table


def plain_table(title: str, first: str, *others: str) -> Table:
    """A table with its title on the left: the first column left, the others right."""
    table = Table(title=title, title_justify="left", title_style="bold", caption_justify="left", box=SIMPLE_HEAD)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table
