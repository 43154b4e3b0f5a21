"""Columns that give the answer away, and columns that say nothing of other rows: found by their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.inputs import category_names, is_empty
from engine.neuron import Floats
from experiments.columns import Column
from experiments.errors import DataError
from experiments.tables import Table
from experiments.targets import CLASSIFICATION

_SAME = 1e-6  # relative: a copy in single precision is a copy
_ROWS_A_VALUE = 4  # on average, before a value that goes with a single class is worth a word
_SHUFFLED_ROWS = 20  # a permutation of fewer numbers may be chance


def leak_notes(table: Table, *, chosen: bool) -> Iterator[str]:
    """A sentence for each feature that gives the answer away or looks like a row number.

    chosen: whether the user named the features; then a copy of the target is a note. Else it raises DataError.
    """
    for column in table.columns:
        copy = _copy_of_target(table, column)
        if copy and not chosen:
            others = [repr(other.name) for other in table.columns if other is not column]
            rest = f", such as {', '.join(others[:5])}," if others else ""
            raise DataError(
                f"{table.name}: the feature {column.name!r} {copy}, so the answer would be learned from itself. Name "
                f"the columns to be used{rest} under dataset.features; name {column.name!r} too if you do want it"
            )
        if copy:
            yield f"the feature {column.name!r} {copy}: the answer is learned from itself"
            continue
        yield from _given_away(table, column)
        yield from _row_number(table, column)


def _copy_of_target(table: Table, column: Column) -> str:
    """How the feature is the target once more; empty where it is not."""
    filled = ~is_empty(column.values)
    cells, targets = column.values[filled], table.targets[filled]
    if len(cells) < 2:
        return ""
    if table.task != CLASSIFICATION:
        same = column.kind != "text" and bool(np.allclose(cells, targets, rtol=_SAME, atol=0.0))
        return f"equals the target {table.target!r} in every row" if same else ""
    names = category_names(column.kind, cells)
    if all(name == table.classes[int(k)] for name, k in zip(names, targets, strict=True)):
        return f"equals the target {table.target!r} in every row"
    if _goes_with_one(cells, targets) and _goes_with_one(targets, cells) and len(np.unique(targets)) < len(cells):
        return f"goes one to one with the classes of the target {table.target!r}"
    return ""


def _goes_with_one(values: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> bool:
    """Whether rows with equal values have equal others."""
    _, first, codes = np.unique(values, return_index=True, return_inverse=True)
    return bool((others[first][codes] == others).all())


def _given_away(table: Table, column: Column) -> Iterator[str]:
    """Features that determine the target, which may be what is to be learned, or may come of it."""
    filled = ~is_empty(column.values)
    cells, targets = column.values[filled], table.targets[filled]
    few = len(cells) >= _ROWS_A_VALUE * len(np.unique(cells))
    way_out = "leave it out with dataset.features if it is made from the target"
    if table.task == CLASSIFICATION:
        if few and len(np.unique(cells)) > 1 and _goes_with_one(cells, targets):
            yield f"each value of the feature {column.name!r} goes with one class of {table.target!r}; {way_out}"
    elif few and len(np.unique(targets)) > 1 and _goes_with_one(cells, targets):
        yield f"each value of the feature {column.name!r} goes with one value of {table.target!r}; {way_out}"
    elif column.kind == "number" and _is_straight_line(cells, targets):
        yield f"the target {table.target!r} is a straight line of the feature {column.name!r}; {way_out}"


def _is_straight_line(cells: Floats, targets: Floats) -> bool:
    """Whether targets are a + b x in every row, of three different x at least."""
    if len(np.unique(cells)) < 3 or len(np.unique(targets)) < 3:
        return False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        low, high = int(np.argmin(cells)), int(np.argmax(cells))
        slope = (targets[high] - targets[low]) / (cells[high] - cells[low])
        away = np.abs(targets[low] + slope * (cells - cells[low]) - targets).max()
        return bool(away <= _SAME * (targets.max() - targets.min()))


def _row_number(table: Table, column: Column) -> Iterator[str]:
    """Features that tell rows apart and say nothing else."""
    way_out = "which says nothing of other rows; leave it out with dataset.features"
    if column.kind == "text":
        if len(set(column.values)) == table.samples:
            yield f"the feature {column.name!r} has another word in every row, {way_out}"
    elif _counts(column.values, table.samples):
        yield f"the feature {column.name!r} counts the rows: it looks like a row number, {way_out}"


def _counts(values: Floats, rows: int) -> bool:
    """Whether values are 0, 1, 2, ... or 1, 2, 3, ...; where there are many, in any order."""
    ordered = np.sort(values) if rows >= _SHUFFLED_ROWS else values
    return any(bool((ordered == np.arange(first, first + rows)).all()) for first in (0, 1))
