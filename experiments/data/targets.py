"""Read targets: numbers to predict, or classes. The rule is the same for every kind of file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.arrays import Floats
from engine.inputs import category_names, number_name
from experiments.data.column_rules import na_values_key
from experiments.data.columns import Column, RawTable
from experiments.errors import DataError, did_you_mean, quoted

CLASSIFICATION = "classification"
REGRESSION = "regression"

_MAX_INTEGER_CLASSES = 20
"""Largest number of distinct whole numbers that count as classes, unless `task` says otherwise."""

_KEY = "target"
_ALONE = "name it alone under dataset.target to predict its classes"
_NUMBER = re.compile(r"[+-]?\d*[.,]?\d+")


def checked_target(value: Any) -> Any:
    """Return None, the name of a column, or a list of at least two. Raises ValueError for any other value."""
    names = [value] if isinstance(value, str) else value
    if value is None:
        return None
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"should be the name of a column, or a list of names such as [height, weight], not {value!r}")
    repeated = next((name for name in names if list(names).count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"the column {quoted(repeated)} is listed twice; list it once")
    return names[0] if len(names) == 1 else list(names)


def target_columns(raw: RawTable, names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns to predict. Raises DataError for a name that no column has."""
    by_name = {column.name: column for column in raw.columns}
    for name in names:
        if name not in by_name:
            hint = did_you_mean(name, by_name)
            if raw.unit == "line" and any(_NUMBER.fullmatch(other) for other in by_name):
                hint += " " if hint.endswith("?") else ". "
                hint += "The first line names the columns: if it holds data, write a line of names above it"
            raise DataError(f"{raw.name} has no column {quoted(name)} for the target{hint}", _KEY)
    return tuple(by_name[name] for name in names)


def read_targets(raw: RawTable, columns: Sequence[Column], task: str | None) -> tuple[str, Floats, tuple[str, ...]]:
    """Return task, targets and classes of columns without empty cells.

    One target: see `_read_target`. Several are numbers, (samples, targets).
    Raises DataError for what `_read_target` refuses, and for one of several targets that holds classes.
    """
    if len(columns) == 1:
        return _read_target(raw, columns[0], task)
    for column in columns:
        beginning = f"{raw.name}: the target {quoted(column.name)}"
        if column.kind != "number":
            raise DataError(
                f"{beginning} holds booleans, and several targets are numbers to predict; leave it out, or {_ALONE}",
                _KEY,
            )
        if task is None and _task_of(column) == CLASSIFICATION:
            count = len(np.unique(column.values))
            raise DataError(
                f"{beginning} holds {count} different whole number{'s' * (count != 1)}, which may be classes, and "
                f"several targets are numbers to predict; write task: regression if they are quantities, or {_ALONE}",
                _KEY,
            )
    return REGRESSION, target_numbers(columns), ()


def target_numbers(columns: Sequence[Column]) -> Floats:
    """Return the numbers of one target, (rows,), or of several, (rows, targets)."""
    return columns[0].values if len(columns) == 1 else np.column_stack([column.values for column in columns])


def _read_target(raw: RawTable, column: Column, task: str | None) -> tuple[str, Floats, tuple[str, ...]]:
    """Return task, targets (samples,) and classes of a column without empty cells.

    Targets are numbers, or indices into the classes. Words and booleans are classes, and so are at most 20 distinct
    whole numbers, unless `task` says otherwise.
    Raises DataError for booleans under `task: regression`, and for a single class.
    """
    if (task or _task_of(column)) == REGRESSION:
        if column.kind != "number":
            raise DataError(
                f"{raw.name}: the target {quoted(column.name)} is not a number: it holds booleans; leave task out, or "
                "write 0 and 1",
                _KEY,
            )
        return REGRESSION, column.values, ()
    names, targets = _classes(column)
    if len(names) < 2:
        raise DataError(
            f"{raw.name}: the target {quoted(column.name)} has a single class, {quoted(names[0])}; training needs at "
            "least two",
            _KEY,
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


def refuse_stray_words(raw: RawTable, column: Column, task: str | None, *, several: bool) -> None:
    """Raise DataError for a word among numbers to predict, unless `task` says that they are classes.

    Without this check, one word would turn every number into a class.

    several: whether it is one of several targets, which are numbers.
    """
    task = REGRESSION if several else task
    if column.kind != "text" or task == CLASSIFICATION:
        return
    bad, filled = column.bad_numbers, column.values[~column.empty]
    different = len(set(filled)) - (bad.count if bad else 0)
    if task is None and different <= _MAX_INTEGER_CLASSES:
        return
    otherwise = "write task: classification if they are classes" if task is None else "leave task out"
    otherwise = _ALONE if several else otherwise
    if bad is None or bad.count == len(filled):
        kind = "words" if bad else "numbers as text"
        raise DataError(
            f"{raw.name}: the target {quoted(column.name)} is not a number: it holds {kind}, such as "
            f"{quoted(filled[0])}; make it a column of numbers, or {otherwise}",
            _KEY,
        )
    cells = f"{bad.count:,} such cell{'' if bad.count == 1 else 's'}; {len(filled) - bad.count:,} hold numbers"
    raise DataError(
        f"{raw.location(bad.row)}: the target {quoted(column.name)} is not a number: it holds {quoted(bad.cell)} "
        f"({cells}). Write {na_values_key(bad.cell)} and missing: drop under dataset to leave such rows out, or "
        f"{otherwise}",
        _KEY,
    )
