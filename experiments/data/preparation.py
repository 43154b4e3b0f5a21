"""Turn the columns of a table into a network's inputs. The training part alone determines how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Array, Floats
from engine.inputs import Cells, InputColumn, category_names, is_empty, network_inputs
from experiments.data.columns import Column
from experiments.data.exact_mean import exact_mean
from experiments.data.names import as_seen
from experiments.data.splits import Split
from experiments.data.standards import is_constant, standards
from experiments.data.tables import Table
from experiments.errors import DataError, quoted

MAX_CATEGORIES = 100
"""Largest number of categories of a column: each is an input, and networks here are small."""

_LISTED = 5

Indices = Array


@dataclass(frozen=True)
class Preparation:
    """The steps from a table's columns to a network's inputs: fill, encode, standardise.

    columns: fill value or categories of each column.
    center, scale: (inputs,), mean and standard deviation to standardise with; 0 and 1 if not standardised.
    constant: names of the inputs that are constant in the training part.
    """

    columns: tuple[InputColumn, ...]
    center: Floats
    scale: Floats
    constant: tuple[str, ...] = ()

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs; a one-hot encoded column has one for each category."""
        return tuple(name for column in self.columns for name in column.input_names)

    def inputs(self, table: Sequence[Cells]) -> Floats:
        """Return the inputs, (rows, inputs). table: cells, one array (rows,) for each column."""
        prepared: Floats = (network_inputs(self.columns, table) - self.center) / self.scale
        return prepared


def fit(table: Table, training: Indices, *, standardize: bool) -> Preparation:
    """Fit the preparation of a table on its training part.

    training: indices of the training rows.
    standardize: whether to scale inputs to mean 0 and deviation 1. Categories stay 0 and 1.
    Raises DataError for a column with too many categories, without a number to fill its empty cells with, or with
    numbers too large to standardise.
    """
    columns = tuple(_fitted(table, column, training) for column in table.columns)
    inputs = network_inputs(columns, [column.values[training] for column in table.columns])
    names = [name for column in columns for name in column.input_names]
    _refuse_equal(table, names)
    center, scale = np.zeros(len(names)), np.ones(len(names))
    if standardize:
        numbers = [k for k, of_number in enumerate(_are_numbers(columns)) if of_number]
        center[numbers], scale[numbers] = standards(inputs[:, numbers])
    for name, size in zip(names, center + scale, strict=True):
        if not np.isfinite(size):
            raise DataError(
                f"{table.name}: {quoted(name)} has numbers too large to standardise; give them in a larger unit"
            )
    constant = tuple(name for name, flat in zip(names, is_constant(inputs), strict=True) if flat)
    return Preparation(columns, center, scale, constant)


def _refuse_equal(table: Table, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise DataError(
                f"{table.name}: two inputs would be called {quoted(name)}: one is a column, the other a category of a "
                "column that is encoded; rename the column, or leave one out with dataset.features"
            )


def _are_numbers(columns: Sequence[InputColumn]) -> Iterator[bool]:
    """Yield for each input whether it is a number and not a category."""
    for column in columns:
        yield from [column.categories is None] * len(column.input_names)


def _fitted(table: Table, column: Column, training: Indices) -> InputColumn:
    cells = column.values[training]
    if column.name in table.encoded:
        return InputColumn(column.name, column.kind, categories=_categories(table, column, cells))
    return InputColumn(column.name, column.kind, fill=_fill(table, column, cells))


def _categories(table: Table, column: Column, cells: Cells) -> tuple[str, ...]:
    values = np.unique(cells)  # sorted, so that the order does not depend on the rows
    if len(values) > MAX_CATEGORIES:
        raise DataError(
            f"{table.name}: column {quoted(column.name)} has {len(values):,} categories in the training part; "
            f"at most {MAX_CATEGORIES} can be encoded. Leave the column out: name those to use under dataset.features"
        )
    return tuple(map(str, category_names(column.kind, values)))


def _fill(table: Table, column: Column, cells: Cells) -> float | None:
    rule = table.fills.get(column.name)
    if rule is None:
        return None
    numbers = cells[~is_empty(cells)]
    if not len(numbers):
        raise DataError(
            f"{table.name}: column {quoted(column.name)} is empty in every row of the training part, so it has no "
            f"{rule}; leave it out: name the columns to use under dataset.features"
        )
    return exact_mean(numbers) if rule == "mean" else float(np.median(numbers))


# ------------------------------------------------------------------------------------------------------------ notes


def preparation_notes(table: Table, preparation: Preparation, split: Split) -> Iterator[str]:
    """Yield notes for the user on how the columns became inputs. split: the rows of each part."""
    if table.dropped:
        rows = f"{table.dropped:,} row{' was' if table.dropped == 1 else 's were'}"
        yield f"{rows} left out for an empty cell; {table.samples:,} remain"
    for column, fitted in zip(table.columns, preparation.columns, strict=True):
        empty = int(column.empty.sum())
        if fitted.fill is not None and empty:
            rule, cells = table.fills[column.name], f"{empty:,} empty cell{'' if empty == 1 else 's'}"
            yield f"{cells} of {quoted(column.name)} became the training part's {rule}, {fitted.fill:.6g}"
        for part, indices in (("test", split.test), ("validation", split.validation)):
            unknown = fitted.unknown(column.values[indices])
            if unknown:
                yield (
                    f"{quoted(column.name)}: {_listed(unknown)} only in the {part} part, so the training part has no "
                    f"input for {'it' if len(unknown) == 1 else 'them'}: all inputs of this column are 0 there"
                )
        yield from _look_alike(fitted.categories or (), "categories", column.name)
    yield from _look_alike(table.classes, "classes", table.target)
    if preparation.constant:
        them = "it" if len(preparation.constant) == 1 else "them"
        yield f"constant in the training part, so nothing can be learned from {them}: {_listed(preparation.constant)}"


def _look_alike(words: Sequence[str], kind: str, column: str) -> Iterator[str]:
    """Yield a note for each word of a column that looks like another one."""
    known: dict[str, str] = {}
    for word in words:
        other = known.setdefault(as_seen(word), word)
        if other != word:
            yield (
                f"the {kind} {other!a} and {word!a} of {quoted(column)} differ only in case, blanks or invisible "
                "characters; write them alike if they are one"
            )


def filled_cells(table: Table, preparation: Preparation) -> int:
    """Return the number of empty cells that were filled."""
    pairs = zip(table.columns, preparation.columns, strict=True)
    return sum(int(column.empty.sum()) for column, fitted in pairs if fitted.fill is not None)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(quoted, names[:_LISTED])) + more
