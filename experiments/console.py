"""Where the commands print, and how their tables look."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

# What is printed holds words of the user's text: nothing in them is markup.
console = Console(
    highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 100
)


def make_table(*names: str, texts: int = 1, gap: int = 1) -> Table:
    """A table without lines.

    Args:
        names: the titles of its columns.
        texts: how many of them hold words, which may be folded; the others hold numbers.
        gap: spaces between two columns.
    """
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for number, name in enumerate(names):
        is_text = number < texts
        justify = "left" if is_text else "right"
        table.add_column(name, justify=justify, no_wrap=not is_text, overflow="fold")
    return table


def markdown_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown: words in the first column, numbers in the others.

    Example:

    >>> markdown_table(["model", "loss"], [["a|b", "1.5"]])
    ['| model | loss |', '|---|---:|', '| a\\\\|b | 1.5 |']
    """
    lines = ["| " + " | ".join(names) + " |", "|---" + "|---:" * (len(names) - 1) + "|"]
    for cells in rows:
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines
