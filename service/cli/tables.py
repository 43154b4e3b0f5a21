"""Tables and coloured text on stdout."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.results.cells import format_cell, markdown_table

_PICTURE_WIDTH = 80
_PIPE_WIDTH = 200  # columns, where stdout is not a terminal


def print_rows(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print a table. Where stdout is not a terminal, lines are as long as they need to be."""
    console = _console()
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for name in columns:
        numeric = all(isinstance(row.get(name), (int, float, type(None))) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(format_cell(row.get(name))) for name in columns))  # Text, because a str may be markup: [b]
    console.print(table)


def rows_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table as Markdown. All rows have the keys of the first."""
    names = list(rows[0]) if rows else []
    return markdown_table(names, ([format_cell(row[name]) for name in names] for row in rows))


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table as CSV, with all digits. A column without a name is called rank."""
    text = io.StringIO()
    names = list(rows[0]) if rows else []
    writer = csv.DictWriter(text, [name or "rank" for name in names], lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name or "rank": value for name, value in row.items()} for row in rows])
    return text.getvalue().rstrip()


def print_text(text: Text | None) -> None:
    """Print text, if any, with its colours if stdout is a terminal that has them."""
    if text is not None:
        _console().print(text)


def picture_width() -> int:
    """Return the width for a picture in characters: the terminal's, or 80 if stdout is not a terminal."""
    console = Console()
    return console.width if console.is_terminal else _PICTURE_WIDTH


def picture_height() -> int | None:
    """Return the lines of the terminal if stdout is one that has the colours of pictures; else None."""
    console = Console()
    has_colours = console.is_terminal and console.color_system in ("256", "truecolor") and not console.no_color
    return console.height if has_colours else None


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)
