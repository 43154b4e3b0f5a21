"""What a target is: numbers to be predicted, or classes. One rule for every kind of file."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.inputs import category_names, number_name
from engine.neuron import Floats
from experiments.columns import Column, RawTable
from experiments.errors import DataError
from experiments.readers import not_numbers

CLASSIFICATION = "classification"
REGRESSION = "regression"

_MAX_INTEGER_CLASSES = 20
"""Whole numbers with at most so many different values are taken for classes, unless `task` says otherwise."""


def read_target(raw: RawTable, column: Column, task: str | None) -> tuple[str, Floats, tuple[str, ...]]:
    """Task, targets (numbers, or indices into the classes), and classes of a column without empty cells.

    Words and booleans are classes, and so are at most 20 different whole numbers, unless `task` says otherwise.
    Raises DataError for words under `task: regression`, a column of numbers with words among them, and a single class.
    """
    if task is None and column.kind == "text":
        _refuse_stray_words(raw, column)
    if (task or _task_of(column)) == REGRESSION:
        if column.kind != "number":
            raise DataError(_no_regression_message(raw, column))
        return REGRESSION, column.values, ()
    names, targets = _classes(column)
    if len(names) < 2:
        raise DataError(f"{raw.name}: the target {column.name!r} has a single class, {names[0]!r}: nothing to learn")
    return CLASSIFICATION, targets, names


def _task_of(column: Column) -> str:
    if column.kind != "number":
        return CLASSIFICATION
    whole = bool((column.values == np.round(column.values)).all())
    return CLASSIFICATION if whole and len(np.unique(column.values)) <= _MAX_INTEGER_CLASSES else REGRESSION


def _classes(column: Column) -> tuple[tuple[str, ...], Floats]:
    """Names, sorted by value, and each row's index among them."""
    values, indices = np.unique(column.values, return_inverse=True)
    if column.kind == "number":
        names = [number_name(value) if column.integer else str(value) for value in values.tolist()]
    else:
        names = [str(name) for name in category_names(column.kind, values)]
    return tuple(names), indices.astype(float)


def _refuse_stray_words(raw: RawTable, column: Column) -> None:
    """Numbers to be predicted with a word among them would become as many classes as there are numbers."""
    rows = not_numbers(column)
    numbers = np.setdiff1d(np.arange(len(column.values)), rows)
    if len(set(column.values[numbers])) <= _MAX_INTEGER_CLASSES:
        return
    if not len(rows):
        raise DataError(
            f"{raw.name}: the target {column.name!r} holds numbers as text, such as {column.values[0]!r}; make it a "
            "column of numbers, or write task: classification where they are classes"
        )
    raise DataError(
        f"{_stray(raw, column, int(rows[0]), len(rows))}, but {len(numbers):,} others are. Write na_values: "
        f'["{column.values[rows[0]]}"] and missing: drop under dataset to leave such rows out, or task: '
        "classification where all of them are classes"
    )


def _no_regression_message(raw: RawTable, column: Column) -> str:
    if column.kind != "text":
        return (
            f"{raw.name}: the target {column.name!r} holds booleans, not numbers, so it can't be a regression target; "
            "leave task out"
        )
    rows = not_numbers(column)
    if not len(rows):
        return (
            f"{raw.name}: the target {column.name!r} is no number: it holds text, such as {column.values[0]!r}; make "
            "it a column of numbers, or leave task out"
        )
    return (
        f"{_stray(raw, column, int(rows[0]), len(rows))}, so it can't be a regression target; write na_values: "
        f'["{column.values[rows[0]]}"] and missing: drop under dataset to leave such rows out, or leave task out'
    )


def _stray(raw: RawTable, column: Column, row: int, count: int) -> str:
    cells = f"{count:,} such cell{'' if count == 1 else 's'}"
    shown: Any = column.values[row]
    return f"{raw.location(row)}: the target {column.name!r} is no number: it holds {shown!r} ({cells})"
