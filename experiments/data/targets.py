"""Read a target: numbers to predict, or classes. The rule is the same for every kind of file."""

from __future__ import annotations

import numpy as np

from engine.arrays import Floats
from engine.inputs import category_names, number_name
from experiments.data.column_rules import na_values_key
from experiments.data.columns import Column, RawTable
from experiments.errors import DataError, quoted

CLASSIFICATION = "classification"
REGRESSION = "regression"

_MAX_INTEGER_CLASSES = 20
"""Largest number of distinct whole numbers that count as classes, unless `task` says otherwise."""


def read_target(raw: RawTable, column: Column, task: str | None) -> tuple[str, Floats, tuple[str, ...]]:
    """Return task, targets (samples,) and classes of a column without empty cells.

    Targets are numbers, or indices into the classes. Words and booleans are classes, and so are at most 20 distinct
    whole numbers, unless `task` says otherwise.
    Raises DataError for booleans under `task: regression`, and for a single class.
    """
    if (task or _task_of(column)) == REGRESSION:
        if column.kind != "number":
            raise DataError(
                f"{raw.name}: the target {quoted(column.name)} is not a number: it holds booleans; leave task out, or "
                "write 0 and 1"
            )
        return REGRESSION, column.values, ()
    names, targets = _classes(column)
    if len(names) < 2:
        raise DataError(
            f"{raw.name}: the target {quoted(column.name)} has a single class, {quoted(names[0])}; training needs at "
            "least two"
        )
    return CLASSIFICATION, targets, names


def _task_of(column: Column) -> str:
    if column.kind != "number":
        return CLASSIFICATION
    whole = bool((column.values == np.round(column.values)).all())
    return CLASSIFICATION if whole and len(np.unique(column.values)) <= _MAX_INTEGER_CLASSES else REGRESSION


def _classes(column: Column) -> tuple[tuple[str, ...], Floats]:
    """Return the names of the classes, sorted by value, and each row's index among them."""
    values, indices = np.unique(column.values, return_inverse=True)
    if column.kind == "number":
        names = [number_name(value) if column.integer else str(value) for value in values.tolist()]
    else:
        names = [str(name) for name in category_names(column.kind, values)]
    return tuple(names), indices.astype(float)


def refuse_stray_words(raw: RawTable, column: Column, task: str | None) -> None:
    """Raise DataError for a word among numbers to predict, unless `task` says that they are classes.

    Without this check, one word would turn every number into a class.
    """
    if column.kind != "text" or task == CLASSIFICATION:
        return
    bad, filled = column.bad_numbers, column.values[~column.empty]
    different = len(set(filled)) - (bad.count if bad else 0)
    if task is None and different <= _MAX_INTEGER_CLASSES:
        return
    otherwise = "write task: classification if they are classes" if task is None else "leave task out"
    if bad is None or bad.count == len(filled):
        kind = "words" if bad else "numbers as text"
        raise DataError(
            f"{raw.name}: the target {quoted(column.name)} is not a number: it holds {kind}, such as "
            f"{quoted(filled[0])}; make it a column of numbers, or {otherwise}"
        )
    cells = f"{bad.count:,} such cell{'' if bad.count == 1 else 's'}; {len(filled) - bad.count:,} hold numbers"
    raise DataError(
        f"{raw.location(bad.row)}: the target {quoted(column.name)} is not a number: it holds {quoted(bad.cell)} "
        f"({cells}). Write {na_values_key(bad.cell)} and missing: drop under dataset to leave such rows out, or "
        f"{otherwise}"
    )
