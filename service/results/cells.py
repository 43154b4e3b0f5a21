"""Cells and tables as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def format_cell(value: Any, digits: int = 5) -> str:
    """Return the text of a table's cell; empty for None. digits: significant digits of a float."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={item:g}" for name, item in value.items())
    return str(value)


def markdown_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table. names: the head's cells. rows: the cells of each row, as Markdown."""
    lines = [_line(names), "|" + "---|" * len(names), *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
