"""Split the rows of a table into a training, a validation and a test part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Array
from experiments.data.builtin_data import DEFAULT_TEST_FRACTION, find_builtin
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.split_column import TEST, TRAINING, VALIDATION
from experiments.data.tables import Table
from experiments.data.targets import CLASSIFICATION, REGRESSION
from experiments.errors import DataError, quoted

_OTHER_FRACTION = "set another dataset.test_fraction, or 0 for no test part"

Indices = Array


@dataclass(frozen=True)
class Split:
    """The indices of the rows of each part, in the order of the table. Validation and test part may be empty."""

    training: Indices
    validation: Indices
    test: Indices


def split_rows(table: Table, spec: DatasetSpec) -> Split:
    """Return the parts of a table. Raises DataError for parts that can't be made.

    Rows that the data give to validation or test are in no other part. All else is drawn from the others.
    """
    everything = np.arange(table.samples)
    split = np.full(table.samples, TRAINING) if table.split is None else table.split
    training, validation, test = (everything[split == part] for part in (TRAINING, VALIDATION, TEST))
    if spec.folds is not None:
        training, test = _fold(table, training, spec)
    elif not spec.names_test_part:
        training, test = _split(table, training, _test_fraction(spec), spec.seed)
    if spec.validation_fraction is not None:
        if len(validation):
            raise DataError(
                f"{table.name}: column {quoted(spec.split)} has rows for validation, and validation_fraction would "
                "draw others; remove one of them",
                "validation_fraction",
            )
        rows = int((split == TRAINING).sum())
        training, validation = _with_validation(table, training, rows, spec.validation_fraction, spec.seed)
    return Split(training, validation, test)


def _test_fraction(spec: DatasetSpec) -> float:
    if spec.test_fraction is not None:
        return spec.test_fraction
    return DEFAULT_TEST_FRACTION if spec.name is None else find_builtin(spec).test_fraction


def _with_validation(table: Table, training: Indices, rows: int, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Return the training part without the samples for validation, and those. The test part stays as it is.

    rows: the number of rows that the fraction is a share of.
    """
    from sklearn.model_selection import train_test_split

    count = max(1, round(fraction * rows))
    classes = table.targets[training] if table.task == CLASSIFICATION else None
    try:
        rest, validation = train_test_split(training, test_size=count, random_state=seed, stratify=classes)
    except ValueError:
        raise DataError(
            f"{table.name}: {len(training)} training samples can't be split with validation_fraction "
            f"{fraction}: each part needs a sample of each class; set another"
        ) from None
    return np.sort(rest), np.sort(validation)


def _fold(table: Table, rows: Indices, spec: DatasetSpec) -> tuple[Indices, Indices]:
    """Return the parts of one fold of a cross-validation: the fold is the test part; classes in proportion.

    rows: those to cut into folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    assert spec.folds is not None
    if spec.fold is None:
        raise DataError(f"folds: {spec.folds} needs the axis dataset.fold: {{range: {spec.folds}}}, or fold: N")
    if spec.fold >= spec.folds:
        raise DataError(f"fold {spec.fold} does not exist: folds: {spec.folds} has the folds 0 to {spec.folds - 1}")
    targets = table.targets[rows]
    counts = np.bincount(targets.astype(int)) if table.task == CLASSIFICATION else np.array([len(rows)])
    if counts.min() < spec.folds:
        what = "a class of it has" if table.task == CLASSIFICATION else "it has"
        raise DataError(f"{table.name} can't be cut into {spec.folds} folds: {what} {counts.min()} samples; write less")
    kind = StratifiedKFold if table.task == CLASSIFICATION else KFold
    splitter = kind(spec.folds, shuffle=True, random_state=spec.seed)
    training, test = list(splitter.split(np.zeros(len(rows)), targets))[spec.fold]
    return rows[np.sort(training)], rows[np.sort(test)]


def _split(table: Table, rows: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Return the indices of the training and the test part, in the order of the table; classes in proportion.

    rows: those to split.
    """
    if fraction == 0:
        return rows, rows[:0]
    from sklearn.model_selection import train_test_split

    classes = table.targets[rows] if table.task == CLASSIFICATION else None
    try:
        training, test = train_test_split(rows, test_size=fraction, random_state=seed, stratify=classes)
    except ValueError:
        raise DataError(
            f"{table.name}: {len(rows)} samples can't be split with test_fraction {fraction}: "
            f"{_why_not_split(table, rows)}"
        ) from None
    return np.sort(training), np.sort(test)


def _why_not_split(table: Table, rows: Indices) -> str:
    """Return the end of a message: why the split fails, and what to do."""
    if table.task == REGRESSION:
        return f"one of the parts would be empty; {_OTHER_FRACTION}"
    counts = np.bincount(table.targets[rows].astype(int), minlength=len(table.classes))
    single = [name for name, count in zip(table.classes, counts, strict=True) if count == 1]
    if not single:
        return f"each part needs a sample of each of the {len(counts)} classes; {_OTHER_FRACTION}"
    have = "has" if len(single) == 1 else "have"
    few = f"{len(single)} of the {len(table.classes)} classes of {quoted(table.target)} {have} a single sample"
    numbers = "write task: regression under dataset if the target is a number to predict; else " * _are_numbers(
        table.classes
    )
    return (
        f"{few}, such as {quoted(single[0])}, and a class needs two; {numbers}name classes with more samples "
        "(classes: [...]), or have no test part (test_fraction: 0)"
    )


def _are_numbers(names: Sequence[str]) -> bool:
    try:
        [float(name) for name in names]
    except ValueError:
        return False
    return True
