"""Columns that give the answer away, and columns that say nothing of other rows: found by their values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.arrays import Array, Floats
from engine.inputs import Cells, category_names, is_empty
from experiments.data.columns import Column
from experiments.data.tables import Table
from experiments.data.targets import CLASSIFICATION
from experiments.errors import DataError, quoted

_SAME = 1e-6  # relative: a copy in single precision is a copy
_ROWS_A_VALUE = 4  # on average
_SHUFFLED_ROWS = 20  # a permutation of fewer numbers may be chance, and so may an order
_ALMOST = 0.9  # of the rows
_KEY_NAME = re.compile(r"(?:.*[_\W])?(?:id|uuid|guid|key|index|idx|nr|no|number)", re.IGNORECASE)
_CAMEL_KEY = re.compile(r".*[a-z](?:Id|ID|Key|Index|Nr|No|Number)")


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
        if len(table.columns) > 1:
            yield from _row_number(column)


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
    """Features that determine the target, or that the target determines. They may be what is to be learned from."""
    told = _determined(table, feature) or _almost_copy(table, feature) or _in_order(table, feature)
    if told:
        yield f"{told}; leave it out with dataset.features if it is made from the target"


def _determined(table: Table, feature: _Feature) -> str:
    """How the feature's values say what the target is; empty where they do not."""
    name, target = quoted(feature.column.name), quoted(table.target)
    kind = "class" if table.task == CLASSIFICATION else "value"
    if feature.determines and feature.is_repeated:
        return f"each value of the feature {name} goes with one {kind} of {target}"
    if table.task != CLASSIFICATION and feature.column.kind == "number" and _is_straight_line(feature):
        return f"the target {target} is a straight line of the feature {name}"
    if table.task == CLASSIFICATION and _is_determined(feature):
        return f"each class of {target} goes with one value of the feature {name}"
    return ""


def _is_determined(feature: _Feature) -> bool:
    """Whether rows of one class have equal cells, of two at least: the class's name cut short, or a flag for it."""
    classes, first, codes = np.unique(feature.targets, return_index=True, return_inverse=True)
    few = 1 < len(classes) <= len(feature.cells) / _ROWS_A_VALUE
    return few and len(feature.values) > 1 and bool((feature.cells[first][codes] == feature.cells).all())


def _almost_copy(table: Table, feature: _Feature) -> str:
    """That the feature is the target in most rows; empty where it is not, or where chance may do that."""
    if table.task == CLASSIFICATION or feature.column.kind != "number" or not _has_many(feature.targets):
        return ""
    same = int(np.isclose(feature.cells, feature.targets, rtol=_SAME, atol=0.0).sum())
    if same < _ALMOST * len(feature.cells):
        return ""
    equal = f"{same:,} of {len(feature.cells):,} rows"
    return f"the feature {quoted(feature.column.name)} equals the target {quoted(table.target)} in {equal}"


def _in_order(table: Table, feature: _Feature) -> str:
    """That the feature's values take the target's, or its classes, apart in order; empty where they do not.

    So do a logarithm, a rank or a band of the target, and a score that the classes were made from.
    """
    name, target = quoted(feature.column.name), quoted(table.target)
    if len(table.columns) == 1:  # a curve of a single feature is what such a table is for
        return ""
    if len(feature.cells) < _SHUFFLED_ROWS or len(feature.values) < 2:
        return ""
    if table.task == CLASSIFICATION:
        parts = feature.column.kind == "number" and _are_apart(feature.targets, feature.cells)
        return f"the classes of {target} are ranges of the feature {name}" if parts else ""
    if not _has_many(feature.targets):
        return ""
    if feature.column.kind == "number" and _has_many(feature.cells):
        return f"the target {target} is in the order of the feature {name}" if _is_monotone(feature) else ""
    codes = np.unique(feature.cells, return_inverse=True)[1]
    return f"each value of the feature {name} goes with a range of {target}" * _are_apart(codes, feature.targets)


def _has_many(numbers: Cells) -> bool:
    """Whether numbers are so different that an order of them is no accident."""
    return len(np.unique(numbers)) >= max(_SHUFFLED_ROWS, len(numbers) / _ROWS_A_VALUE)


def _is_monotone(feature: _Feature) -> bool:
    """Whether targets rise with the cells, or fall, in every row."""
    rising = feature.targets[np.lexsort((feature.targets, feature.cells))]
    falling = feature.targets[np.lexsort((-feature.targets, feature.cells))]
    return bool((np.diff(rising) >= 0).all() or (np.diff(falling) <= 0).all())


def _are_apart(groups: Array, numbers: Floats) -> bool:
    """Whether each group, of four rows on average, has a range of numbers that no other group's number lies in."""
    order = np.lexsort((groups, numbers))
    groups, numbers = groups[order], numbers[order]
    ends = np.flatnonzero(groups[1:] != groups[:-1])
    count = len(np.unique(groups))
    return (
        count <= len(groups) / _ROWS_A_VALUE
        and len(ends) == count - 1
        and bool((numbers[ends] < numbers[ends + 1]).all())
    )


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


def _row_number(column: Column) -> Iterator[str]:
    """Features that tell rows apart and say nothing else."""
    name, way_out = quoted(column.name), "which says nothing of other rows; leave it out with dataset.features"
    if column.kind == "text":
        if len(set(column.values)) == len(column.values):
            yield f"the feature {name} has another word in every row, {way_out}"
    elif _counts(column.values):
        yield f"the feature {name} counts the rows: it looks like a row number, {way_out}"
    elif _is_key(column):
        yield f"the feature {name} has another whole number in every row: it looks like a key, {way_out}"


def _counts(values: Floats) -> bool:
    """Whether values are 0, 1, 2, ... or 1, 2, 3, ...; where there are many, from any number on and in any order."""
    rows = len(values)
    if rows < _SHUFFLED_ROWS:
        return any(bool((values == np.arange(first, first + rows)).all()) for first in (0, 1))
    ordered = np.sort(values)
    return bool(ordered[0].is_integer() and (np.diff(ordered) == 1).all())


def _is_key(column: Column) -> bool:
    """Whether a name says that a column of different whole numbers tells rows apart."""
    named = _KEY_NAME.fullmatch(column.name) or _CAMEL_KEY.fullmatch(column.name)
    return bool(named) and column.integer and len(np.unique(column.values)) == len(column.values) > 1
