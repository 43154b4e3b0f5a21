"""`InputColumn`: from a table's column to the numbers that a network takes. It travels with a network, as plain values.

Filling and encoding copy numbers and never compute any, so a network's inputs are the same bits wherever it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Array, Flags, Floats

Cells = Array
"""(rows,). Numbers and booleans (0 and 1) as float64, NaN where empty; text as str, None where empty."""


@dataclass(frozen=True)
class InputColumn:
    """One column of a table as a network's inputs.

    kind: of its cells: number, boolean or text.
    fill: the number that an empty cell becomes; None where empty cells are refused.
    categories: each is an input of its own, 1 in the rows that hold it and else 0; None for an input of numbers.
    """

    name: str
    kind: str = "number"
    fill: float | None = None
    categories: tuple[str, ...] | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of its inputs: the column's own, or `column=category` for each category."""
        if self.categories is None:
            return (self.name,)
        return tuple(f"{self.name}={category}" for category in self.categories)

    def inputs(self, cells: Cells) -> Floats:
        """(rows, inputs). A category that is not among `categories` is 0 in every input."""
        if self.categories is not None:
            places = {category: place for place, category in enumerate(self.categories)}
            held = np.array([places.get(name, -1) for name in category_names(self.kind, cells)], dtype=int)
            return np.array(held[:, None] == np.arange(len(places)), dtype=float)
        numbers = cells.astype(float)
        return (numbers if self.fill is None else np.where(np.isnan(numbers), self.fill, numbers))[:, None]

    def unknown(self, cells: Cells) -> tuple[str, ...]:
        """The categories in these cells that are not among `categories`, sorted."""
        if self.categories is None:
            return ()
        return tuple(sorted({*category_names(self.kind, cells)[~is_empty(cells)]} - {*self.categories}))

    def unfilled(self, cells: Cells) -> Flags:
        """(rows,). Which cells are empty with nothing to fill them."""
        empty = is_empty(cells)
        return empty if self.fill is None else np.zeros_like(empty)

    @property
    def facts(self) -> dict[str, Any]:
        """Its fields as plain values, for JSON; `from_facts` reads them."""
        categories = None if self.categories is None else list(self.categories)
        return {"name": self.name, "kind": self.kind, "fill": self.fill, "categories": categories}

    @staticmethod
    def from_facts(facts: Mapping[str, Any]) -> InputColumn:
        """The column that has these `facts`."""
        categories = facts["categories"]
        return InputColumn(
            facts["name"], facts["kind"], facts["fill"], None if categories is None else tuple(categories)
        )


def network_inputs(columns: Sequence[InputColumn], table: Sequence[Cells]) -> Floats:
    """(rows, inputs) of a table's cells, one array for each of the columns."""
    return np.hstack([column.inputs(cells) for column, cells in zip(columns, table, strict=True)])


def is_empty(cells: Cells) -> Flags:
    """(rows,). Which cells are empty."""
    if cells.dtype == object:
        return np.array([cell is None for cell in cells], dtype=bool)
    empty: Flags = np.isnan(cells)
    return empty


def category_names(kind: str, cells: Cells) -> Cells:
    """(rows,). The category that each cell names: words as they are, booleans False and True, 3.0 as 3."""
    if kind == "text":
        return cells
    if kind == "boolean":
        return np.array([str(bool(cell)) for cell in cells], dtype=object)
    return np.array([number_name(cell) for cell in cells.tolist()], dtype=object)


def number_name(number: float) -> str:
    """A number as the shortest text: whole numbers without a decimal point."""
    return str(int(number)) if number.is_integer() else str(number)
