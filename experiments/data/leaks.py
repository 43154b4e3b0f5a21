"""Find features that give the target away, features that only tell rows apart, and rows that are in two parts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.arrays import Array, Floats, Integers
from engine.inputs import Cells, category_names, is_empty
from experiments.data.columns import Column
from experiments.data.split_column import TEST, TRAINING, VALIDATION
from experiments.data.tables import Table
from experiments.data.targets import CLASSIFICATION
from experiments.errors import DataError, quoted

_SAME = 1e-6  # relative tolerance: a copy in single precision is a copy
_ROWS_A_VALUE = 4  # on average; fewer rows for each value may agree by chance
_SHUFFLED_ROWS = 20  # a permutation of fewer numbers may be chance, and so may an order
_ALMOST = 0.9  # of the rows
_KEY_NAME = re.compile(r"(?:.*[_\W])?(?:id|uuid|guid|key|index|idx|nr|no|number)", re.IGNORECASE)
_CAMEL_KEY = re.compile(r".*[a-z](?:Id|ID|Key|Index|Nr|No|Number)")


@dataclass(frozen=True)
class _Feature:
    """A feature in the rows where it is not empty.

    cells, targets: (rows,).
    values: its distinct cells, sorted.
    first: (values,), index of a row with each value.
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
        """Return whether values repeat so often that one target for each is not chance."""
        return 1 < len(self.values) <= len(self.cells) / _ROWS_A_VALUE


def _feature(table: Table, column: Column) -> _Feature:
    filled = ~is_empty(column.values)
    cells, targets = column.values[filled], table.targets[filled]
    values, first, codes = np.unique(cells, return_index=True, return_inverse=True)
    return _Feature(column, cells, targets, values, first, bool((targets[first][codes] == targets).all()))


def leak_notes(table: Table, *, chosen: bool) -> Iterator[str]:
    """Yield a sentence for each feature that gives the target away or looks like a row number.

    chosen: whether the user named the features.
    Raises DataError for a copy of the target, unless the user named it: then it is a note.
    """
    for column in table.columns:
        is_copy = False
        for alone in table.each_target():
            feature = _feature(alone, column)
            copy = _copy_of_target(alone, feature)
            if copy and not chosen:
                raise DataError(_copy_message(table, column, copy))
            if copy:
                is_copy = True
                yield f"the feature {quoted(column.name)} {copy}: a network can just copy it"
            else:
                yield from _given_away(alone, feature)
        if not is_copy and len(table.columns) > 1:
            yield from _row_number(column)


def _copy_message(table: Table, column: Column, copy: str) -> str:
    others = [quoted(other.name) for other in table.columns if other is not column]
    rest = f", such as {', '.join(others[:5])}," if others else ""
    return (
        f"{table.name}: the feature {quoted(column.name)} {copy}, so a network would only copy it. Name the columns to "
        f"use{rest} under dataset.features; name {quoted(column.name)} too if you want it"
    )


def _copy_of_target(table: Table, feature: _Feature) -> str:
    """Return words for how the feature copies the target; empty if it does not."""
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
    """Yield a note if the feature determines the target, or the reverse. It may still be a valid feature."""
    relation = _determined(table, feature) or _almost_copy(table, feature) or _in_order(table, feature)
    if relation:
        yield f"{relation}; leave it out with dataset.features if it is computed from the target"


def _determined(table: Table, feature: _Feature) -> str:
    """Return words for how feature or target determines the other; empty if neither does."""
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
    """Return whether rows of one class have equal cells: an abbreviation of the class, or a flag for it."""
    classes, first, codes = np.unique(feature.targets, return_index=True, return_inverse=True)
    few = 1 < len(classes) <= len(feature.cells) / _ROWS_A_VALUE
    return few and len(feature.values) > 1 and bool((feature.cells[first][codes] == feature.cells).all())


def _almost_copy(table: Table, feature: _Feature) -> str:
    """Return words if the feature equals the target in most rows; empty if not, or if that may be chance."""
    if table.task == CLASSIFICATION or feature.column.kind != "number" or not _has_many(feature.targets):
        return ""
    same = int(np.isclose(feature.cells, feature.targets, rtol=_SAME, atol=0.0).sum())
    if same < _ALMOST * len(feature.cells):
        return ""
    equal = f"{same:,} of {len(feature.cells):,} rows"
    return f"the feature {quoted(feature.column.name)} equals the target {quoted(table.target)} in {equal}"


def _in_order(table: Table, feature: _Feature) -> str:
    """Return words if the feature puts the target's values or classes in order; empty if it does not.

    A logarithm, a rank or a band of the target does, and so does a score that the classes were computed from.
    """
    name, target = quoted(feature.column.name), quoted(table.target)
    if len(table.columns) == 1:  # a curve over one feature is in order by design
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
    apart = _are_apart(codes, feature.targets)
    return f"each value of the feature {name} goes with a range of {target}" if apart else ""


def _has_many(numbers: Cells) -> bool:
    """Return whether numbers have so many values that their order is not chance."""
    return len(np.unique(numbers)) >= max(_SHUFFLED_ROWS, len(numbers) / _ROWS_A_VALUE)


def _is_monotone(feature: _Feature) -> bool:
    """Return whether targets never fall, or never rise, as the cells rise."""
    rising = feature.targets[np.lexsort((feature.targets, feature.cells))]
    falling = feature.targets[np.lexsort((-feature.targets, feature.cells))]
    return bool((np.diff(rising) >= 0).all() or (np.diff(falling) <= 0).all())


def _are_apart(groups: Array, numbers: Floats) -> bool:
    """Return whether the groups' ranges of numbers do not overlap. Groups have at least four rows on average."""
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
    """Return whether targets are a + b x in every row, for at least three different x."""
    cells, targets = feature.cells, feature.targets
    if len(feature.values) < 3 or targets.min() == targets.max():
        return False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        low, high = feature.first[0], feature.first[-1]
        slope = (targets[high] - targets[low]) / (cells[high] - cells[low])
        away = np.abs(targets[low] + slope * (cells - cells[low]) - targets).max()
        return bool(away <= _SAME * (targets.max() - targets.min()))


def _row_number(column: Column) -> Iterator[str]:
    """Yield a note for a feature that only tells rows apart."""
    name, way_out = quoted(column.name), "which says nothing about other rows; leave it out with dataset.features"
    if column.kind == "text":
        if len(set(column.values)) == len(column.values):
            yield f"the feature {name} has a different word in every row, {way_out}"
    elif _counts(column.values):
        yield f"the feature {name} counts the rows: it looks like a row number, {way_out}"
    elif _is_key(column):
        yield f"the feature {name} has a different whole number in every row: it looks like a key, {way_out}"


def _counts(values: Floats) -> bool:
    """Return whether values are 0, 1, 2, ... or 1, 2, 3, ...; 20 and more may begin anywhere and be in any order."""
    rows = len(values)
    if rows < _SHUFFLED_ROWS:
        return any(bool((values == np.arange(first, first + rows)).all()) for first in (0, 1))
    ordered = np.sort(values)
    return bool(ordered[0].is_integer() and (np.diff(ordered) == 1).all())


def _is_key(column: Column) -> bool:
    """Return whether the name of a column of distinct whole numbers says that it is a key."""
    named = _KEY_NAME.fullmatch(column.name) or _CAMEL_KEY.fullmatch(column.name)
    return bool(named) and column.integer and len(np.unique(column.values)) == len(column.values) > 1


# ------------------------------------------------------------------------------------------- rows that are in two parts


def shared_row_notes(table: Table) -> Iterator[str]:
    """Yield a sentence for each part that has rows of the training part too, where the data say which row is which."""
    if table.split is None:
        return
    ids = _row_ids(table)
    for part, purpose in ((VALIDATION, "validation"), (TEST, "testing")):
        rows = ids[table.split == part]
        shared = int(np.isin(rows, ids[table.split == TRAINING]).sum())
        if shared:
            are = "is" if shared == 1 else "are"
            yield (
                f"{shared:,} of the {len(rows):,} rows for {purpose} {are} for training too, with the same features "
                "and target, so figures of that part are too good; remove them from one part"
            )


def _row_ids(table: Table) -> Integers:
    """Return a number for each row, (rows,): equal for rows with the same cells and targets."""
    ids = np.zeros(table.samples, dtype=np.int64)
    texts = (np.where(c.empty, "", c.values).astype(str) if c.kind == "text" else c.values for c in table.columns)
    for cells in itertools.chain(np.atleast_2d(table.targets.T), texts):
        if ids.max() + 1 == len(ids):  # all rows are different
            break
        codes = np.unique(cells, return_inverse=True)[1]
        ids = np.unique(ids * (codes.max() + 1) + codes, return_inverse=True)[1]
    return ids
