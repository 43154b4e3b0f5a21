"""Columns that give the answer away, and columns that say nothing of other rows: found by their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.arrays import Array, Floats
from engine.inputs import Cells, category_names, is_empty
from experiments.columns import Column
from experiments.errors import DataError, quoted
from experiments.tables import Table
from experiments.targets import CLASSIFICATION

_SAME = 1e-6  # relative: a copy in single precision is a copy
_ROWS_A_VALUE = 4  # on average
_SHUFFLED_ROWS = 20  # a permutation of fewer numbers may be chance


@dataclass(frozen=True)
class _Feature:
    """A feature in the rows that hold it.

    cells, targets: (rows,). values: its different cells, sorted. first: (values,) a row of each.
    determines: whether rows with equal cells have equal targets.
    """

    column: Column
    cells: Cells
    targets: Floats
    values: Cells
    first: Array
    determines: bool

    @property
    def is_repeated(self) -> bool:
        """Whether its values come up so often that a target for each is no accident."""
        return 1 < len(self.values) <= len(self.cells) / _ROWS_A_VALUE


def _feature(table: Table, column: Column) -> _Feature:
    filled = ~is_empty(column.values)
    cells, targets = column.values[filled], table.targets[filled]
    values, first, codes = np.unique(cells, return_index=True, return_inverse=True)
    return _Feature(column, cells, targets, values, first, bool((targets[first][codes] == targets).all()))


def leak_notes(table: Table, *, chosen: bool) -> Iterator[str]:
    """A sentence for each feature that gives the answer away or looks like a row number.

    chosen: whether the user named the features; then a copy of the target is a note. Else it raises DataError.
    """
    for column in table.columns:
        feature = _feature(table, column)
        copy = _copy_of_target(table, feature)
        if copy and not chosen:
            others = [quoted(other.name) for other in table.columns if other is not column]
            rest = f", such as {', '.join(others[:5])}," if others else ""
            raise DataError(
                f"{table.name}: the feature {quoted(column.name)} {copy}, so the answer would be learned from itself. "
                f"Name the columns to be used{rest} under dataset.features; name {quoted(column.name)} too if you "
                "do want it"
            )
        if copy:
            yield f"the feature {quoted(column.name)} {copy}: the answer is learned from itself"
            continue
        yield from _given_away(table, feature)
        yield from _row_number(table, column)


def _copy_of_target(table: Table, feature: _Feature) -> str:
    """How the feature is the target once more; empty where it is not."""
    cells, targets = feature.cells, feature.targets
    equal = f"equals the target {quoted(table.target)} in every row"
    if len(cells) < 2:
        return ""
    if table.task != CLASSIFICATION:
        same = feature.column.kind != "text" and bool(np.allclose(cells, targets, rtol=_SAME, atol=0.0))
        return equal if same else ""
    classes = len(np.unique(targets))
    if not feature.determines or len(feature.values) != classes:
        return ""
    names = category_names(feature.column.kind, feature.values)
    if list(names) == [table.classes[int(k)] for k in targets[feature.first]]:
        return equal
    return f"goes one to one with the classes of the target {quoted(table.target)}" if classes < len(cells) else ""


def _given_away(table: Table, feature: _Feature) -> Iterator[str]:
    """Features that determine the target, which may be what is to be learned, or may come of it."""
    name, kind = feature.column.name, "class" if table.task == CLASSIFICATION else "value"
    way_out = "leave it out with dataset.features if it is made from the target"
    if feature.determines and feature.is_repeated:
        yield f"each value of the feature {quoted(name)} goes with one {kind} of {quoted(table.target)}; {way_out}"
    elif table.task != CLASSIFICATION and feature.column.kind == "number" and _is_straight_line(feature):
        yield f"the target {quoted(table.target)} is a straight line of the feature {quoted(name)}; {way_out}"


def _is_straight_line(feature: _Feature) -> bool:
    """Whether targets are a + b x in every row, of three different x at least."""
    cells, targets = feature.cells, feature.targets
    if len(feature.values) < 3 or targets.min() == targets.max():
        return False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        low, high = feature.first[0], feature.first[-1]
        slope = (targets[high] - targets[low]) / (cells[high] - cells[low])
        away = np.abs(targets[low] + slope * (cells - cells[low]) - targets).max()
        return bool(away <= _SAME * (targets.max() - targets.min()))


def _row_number(table: Table, column: Column) -> Iterator[str]:
    """Features that tell rows apart and say nothing else."""
    way_out = "which says nothing of other rows; leave it out with dataset.features"
    if column.kind == "text":
        if len(set(column.values)) == table.samples:
            yield f"the feature {quoted(column.name)} has another word in every row, {way_out}"
    elif _counts(column.values, table.samples):
        yield f"the feature {quoted(column.name)} counts the rows: it looks like a row number, {way_out}"


def _counts(values: Floats, rows: int) -> bool:
    """Whether values are 0, 1, 2, ... or 1, 2, 3, ...; where there are many, in any order."""
    ordered = np.sort(values) if rows >= _SHUFFLED_ROWS else values
    return any(bool((ordered == np.arange(first, first + rows)).all()) for first in (0, 1))
