"""Columns of a table as it was read, each of one kind, before they become features and targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.arrays import Array, Flags, Integers

Kind = Literal["number", "boolean", "text", "unsupported"]


@dataclass(frozen=True)
class BadNumbers:
    """Cells of a text column that are not numbers, for messages.

    count: how many there are; empty cells do not count.
    row: index of the first.
    cell: the text of the first, as the file has it.
    """

    count: int
    row: int
    cell: str


@dataclass(frozen=True)
class Column:
    """One column: a single kind of value, whatever its length.

    name: as the file or the data frame has it.
    kind: of every cell that is not empty. `unsupported` cannot be used as a feature or target.
    values: (rows,). Numbers and booleans (0 and 1) are float64, NaN where empty; a number may be infinite.
        Text is str, None where empty; so is what is unsupported.
    bad_numbers: of a text column, the cells that keep it from being a number column.
    integer: of a column of numbers, whether all are whole and written or typed so: 3 and not 3.0.
    problem: of an unsupported column, what is wrong and what to do, to be put after `<table>: `.
    note: what the user should know of how it was read. The notes of a table have it too.
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
        """(rows,). Which cells are empty."""
        if self.kind in ("text", "unsupported"):
            return np.array([value is None for value in self.values], dtype=bool)
        empty: Flags = np.isnan(self.values.astype(float))
        return empty


@dataclass(frozen=True)
class RawTable:
    """A table as it was read.

    name: how messages call it: a file's name, or `data`.
    columns: all of one length.
    lines: (rows,). Where each row begins, for messages: the line of a CSV, else the row's number, both from 1.
    unit: what `lines` counts: `line` or `row`.
    notes: sentences that the user should read before the sweep starts.
    """

    name: str
    columns: tuple[Column, ...]
    lines: Integers
    unit: Literal["line", "row"] = "line"
    notes: tuple[str, ...] = ()

    def location(self, row: int) -> str:
        """`measurements.csv, line 25` for a row's index."""
        return f"{self.name}, {self.unit} {self.lines[row]}"
