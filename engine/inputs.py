"""`InputColumn`: turns a column of a table into the numbers that a network takes. It is stored with the network.

Filling and encoding copy numbers and never compute any. So a network's inputs are the same bits on every machine.

>>> color = InputColumn("color", "text", categories=("green", "red"))
>>> color.input_names
('color=green', 'color=red')
>>> color.inputs(np.array(["red", "green"], dtype=object))
array([[0., 1.],
       [1., 0.]])
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
    """A column of a table that is one input of a network, or one input for each category.

    name: the column's name.
    kind: kind of its cells: number, boolean or text.
    fill: number in place of an empty cell; None if empty cells are refused.
    categories: its categories. The input of a category is 1 in the rows of this category, else 0. None for numbers.
    """

    name: str
    kind: str = "number"
    fill: float | None = None
    categories: tuple[str, ...] | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of its inputs: the column's name, or `column=category` for each category."""
        if self.categories is None:
            return (self.name,)
        return tuple(f"{self.name}={category}" for category in self.categories)

    def inputs(self, cells: Cells) -> Floats:
        """Return the inputs, (rows, inputs). They are all 0 in a row whose category is not among `categories`."""
        if self.categories is not None:
            positions = {category: position for position, category in enumerate(self.categories)}
            codes = np.array([positions.get(name, -1) for name in category_names(self.kind, cells)], dtype=int)
            return np.array(codes[:, None] == np.arange(len(positions)), dtype=float)
        numbers = cells.astype(float)
        return (numbers if self.fill is None else np.where(np.isnan(numbers), self.fill, numbers))[:, None]

    def unknown(self, cells: Cells) -> tuple[str, ...]:
        """Return the categories in these cells that are not among `categories`, sorted."""
        if self.categories is None:
            return ()
        return tuple(sorted({*category_names(self.kind, cells)[~is_empty(cells)]} - {*self.categories}))

    def unfilled(self, cells: Cells) -> Flags:
        """Return flags, (rows,), of the empty cells that `fill` does not replace."""
        empty = is_empty(cells)
        return empty if self.fill is None else np.zeros_like(empty)

    @property
    def facts(self) -> dict[str, Any]:
        """Its fields as plain values, for JSON."""
        categories = None if self.categories is None else list(self.categories)
        return {"name": self.name, "kind": self.kind, "fill": self.fill, "categories": categories}

    @staticmethod
    def from_facts(facts: Mapping[str, Any]) -> InputColumn:
        """Return the column that has these `facts`."""
        categories = facts["categories"]
        return InputColumn(
            facts["name"], facts["kind"], facts["fill"], None if categories is None else tuple(categories)
        )


def network_inputs(columns: Sequence[InputColumn], table: Sequence[Cells]) -> Floats:
    """Return the inputs of a network, (rows, inputs). `table` has one array of cells for each column."""
    return np.hstack([column.inputs(cells) for column, cells in zip(columns, table, strict=True)])


def is_empty(cells: Cells) -> Flags:
    """Return flags, (rows,), of the empty cells."""
    if cells.dtype == object:
        return np.array([cell is None for cell in cells], dtype=bool)
    empty: Flags = np.isnan(cells)
    return empty


def category_names(kind: str, cells: Cells) -> Cells:
    """Return the category of each cell, (rows,): text as it is, booleans as False and True, 3.0 as 3."""
    if kind == "text":
        return cells
    if kind == "boolean":
        return np.array([str(bool(cell)) for cell in cells], dtype=object)
    return np.array([number_name(cell) for cell in cells.tolist()], dtype=object)


def number_name(number: float) -> str:
    """Return a number as text, whole numbers without a decimal point."""
    return str(int(number)) if number.is_integer() else str(number)
