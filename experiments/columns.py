"""Columns of a table as it was read, each of one kind, before they become features and targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["number", "boolean", "text", "unsupported"]


@dataclass(frozen=True)
class Column:
    """One column: a single kind of value, whatever its length.

    name: as the file or the data frame has it.
    kind: of every cell that is not empty.
    integer: whether all of its numbers are whole, and written or typed so: 3 and not 3.0.
    values: (rows,). Numbers and booleans (0 and 1) are float64, NaN where empty. Text is str, None where empty.
    """

    name: str
    kind: Kind
    values: np.ndarray[Any, Any]
    integer: bool = False
    problem: str = ""

    @property
    def empty(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(rows,). Which cells are empty."""
        if self.kind == "text":
            return np.array([value is None for value in self.values], dtype=bool)
        empty: np.ndarray[Any, np.dtype[np.bool_]] = np.isnan(self.values.astype(float))
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
    lines: np.ndarray[Any, np.dtype[np.int64]]
    unit: Literal["line", "row"] = "line"
    notes: tuple[str, ...] = ()

    def location(self, row: int) -> str:
        """`measurements.csv, line 25` for a row's index."""
        return f"{self.name}, {self.unit} {self.lines[row]}"
