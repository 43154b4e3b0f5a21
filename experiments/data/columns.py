"""The columns of a table, each of one kind, before they become features and targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.arrays import Array, Flags, Integers

Kind = Literal["number", "boolean", "text", "unsupported"]


@dataclass(frozen=True)
class BadNumbers:
    """Cells of a text column that are not numbers, for messages.

    count: number of such cells, empty ones not included.
    row: index of the first.
    cell: the text of the first, as the file has it.
    """

    count: int
    row: int
    cell: str


@dataclass(frozen=True)
class Column:
    """One column of a table: values of one kind.

    name: as in the file or data frame.
    kind: of all cells that are not empty. An `unsupported` column can't be a feature or target.
    values: (rows,). Numbers and booleans (0 and 1) are float64, NaN where empty; a number may be infinite.
        Text and unsupported cells are str, None where empty.
    bad_numbers: of a text column, the cells that are not numbers.
    integer: of a number column, whether all numbers are written or typed as whole ones: 3 and not 3.0.
    problem: of an unsupported column, a message without its beginning `<table>: `.
    note: a sentence for the user on how it was read. The table's notes include it.
    """

    name: str
    kind: Kind
    values: Array
    bad_numbers: BadNumbers | None = None
    problem: str | None = None
    note: str | None = None
    integer: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether all cells are empty."""
        return bool(self.empty.all())

    @property
    def empty(self) -> Flags:
        """Mask of the empty cells, (rows,)."""
        if self.kind in ("text", "unsupported"):
            return np.array([value is None for value in self.values], dtype=bool)
        empty: Flags = np.isnan(self.values.astype(float))
        return empty


@dataclass(frozen=True)
class RawTable:
    """The columns of a file or data frame.

    name: for messages: a file's name, or `data`.
    columns: all of one length.
    lines: (rows,). Location of each row for messages: its first line in a CSV, else its number, both from 1.
    unit: `line` or `row`, the unit of `lines`.
    notes: sentences for the user to read before the sweep starts.
    """

    name: str
    columns: tuple[Column, ...]
    lines: Integers
    unit: Literal["line", "row"] = "line"
    notes: tuple[str, ...] = ()

    def location(self, row: int) -> str:
        """Return the location of a row, such as `measurements.csv, line 25`. row: its index, from 0."""
        return f"{self.name}, {self.unit} {self.lines[row]}"
