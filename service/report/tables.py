"""Tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.results.cells import format_cell

_INTERVAL = "±"


@dataclass(frozen=True)
class Column:
    """The head of a column. number: whether its cells are numbers."""

    label: str
    number: bool


@dataclass(frozen=True)
class Cell:
    """A cell. run: the run that it links to; None for text alone. colour: of a mark before the text; may be empty."""

    text: str
    number: bool = False
    run: str | None = None
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """A table. words: an explanation below it."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    heading: str = ""
    words: str = ""


def make_table(
    rows: Sequence[Mapping[str, Any]],
    runs: Sequence[str | None] = (),
    colours: Mapping[str, str] | None = None,
    heading: str = "",
    words: str = "",
) -> Table:
    """Return a table of rows that map a column to a value. A column without a name is called rank.

    runs: the run that the cell `best run` of each row links to.
    colours: value of the column `sweep` -> the colour of its mark.
    heading, words: of the table.
    """
    columns = [Column(name or "rank", _is_number(rows, name)) for name in (rows[0] if rows else [])]
    linked = runs or [None] * len(rows)
    marks = colours or {}
    cells = [
        [_cell(name, value, run, marks) for name, value in row.items()] for row, run in zip(rows, linked, strict=True)
    ]
    return Table(columns, cells, heading, words)


def _is_number(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return name == _INTERVAL or all(isinstance(row[name], (int, float)) for row in rows)


def _cell(name: str, value: Any, run: str | None, marks: Mapping[str, str]) -> Cell:
    number = isinstance(value, (int, float)) or name == _INTERVAL
    colour = marks.get(str(value), "") if name == "sweep" else ""
    return Cell(format_cell(value), number, run if name == "best run" else None, colour)
