"""A column that says for each row whether it is for training, for validation or for testing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import Flags, Floats, Integers
from engine.inputs import category_names
from experiments.data.columns import Column, RawTable
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.taken_columns import taken_out
from experiments.errors import DataError, quoted

TRAINING, VALIDATION, TEST = 0, 1, 2
PART_NAMES = ("training", "validation", "test")
KEY = "split"

_WORDS = {
    "train": TRAINING,
    "training": TRAINING,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
}
"""The words of such a column, in lower case."""


def split_column(raw: RawTable, spec: DatasetSpec) -> tuple[RawTable, Integers | None]:
    """Return the table without the column `dataset.split`, and the part of each row; None if there is no such column.

    Raises DataError, with the line, for a column that does not exist or is used otherwise, and for another word.
    """
    if spec.split is None:
        return raw, None
    if spec.split in spec.targets or spec.split in (spec.features or ()):
        role = "the target" if isinstance(spec.target, str) else "a target"
        use = role if spec.split in spec.targets else "under dataset.features"
        raise DataError(
            f"{raw.name}: the column {quoted(spec.split)} says which row is which, and is {use}; name another column",
            KEY,
        )
    column, rest = taken_out(raw, spec.split, KEY)
    return rest, _parts(raw, column)


def _parts(raw: RawTable, column: Column) -> Integers:
    """Return the part of each row, (rows,)."""
    if column.kind == "unsupported":
        raise DataError(f"{raw.name}: {column.problem}", KEY)
    empty = column.empty
    cells: Sequence[str] = [
        "" if is_empty else str(name) for name, is_empty in zip(_names(column, empty), empty, strict=True)
    ]
    split = np.array([_WORDS.get(cell.strip().lower(), -1) for cell in cells], dtype=np.int64)
    if (split < 0).any():
        row = int(np.argmin(split))
        count = int((split < 0).sum())
        held = "is empty" if empty[row] else f"holds {quoted(cells[row])}"
        raise DataError(
            f"{raw.location(row)}: column {quoted(column.name)} {held} ({count:,} such cell{'s' * (count != 1)}); "
            "write train, validation or test there",
            KEY,
        )
    _check_training(raw, split, column.name)
    return split


def _names(column: Column, empty: Flags) -> Sequence[str]:
    """Return the text of each cell; any text for an empty one."""
    cells = column.values if column.kind == "text" else np.where(empty, 0.0, column.values.astype(float))
    return [str(name) for name in category_names(column.kind, cells)]


def _check_training(raw: RawTable, split: Integers, name: str) -> None:
    count = int((split == TRAINING).sum())
    if count < 2:
        rows = "1 row has" if count else "no row has"
        raise DataError(
            f"{raw.name}: {rows} train in column {quoted(name)}; training needs at least two rows: write train there",
            KEY,
        )


def rows_left(raw: RawTable, split: Integers, rows: Flags, spec: DatasetSpec) -> Integers:
    """Return the part of each row that is left. Raises DataError for a part that had rows and has none, or too few.

    raw: the table of the rows that are left.
    split: the part of each row, (rows,).
    rows: mask of the rows that are left, (rows,).
    """
    left = split[rows]
    for part in sorted(set(split.tolist()) - set(left.tolist())):
        raise DataError(
            f"{raw.name}: each row of the {PART_NAMES[part]} part has an empty cell and is dropped; fill some of them",
            KEY,
        )
    _check_training(raw, left, str(spec.split))
    return left


def refuse_untrained_classes(
    raw: RawTable, targets: Floats, classes: Sequence[str], split: Integers, spec: DatasetSpec
) -> None:
    """Raise DataError, with the line, for a class that only rows outside the training part have.

    targets: (rows,), indices into `classes`.
    split: the part of each row, (rows,).
    """
    trained = np.isin(targets, targets[split == TRAINING])
    used = np.isin(targets, [k for k, name in enumerate(classes) if spec.classes is None or name in spec.classes])
    lost = used & ~trained
    if lost.any():
        row = int(np.argmax(lost))
        raise DataError(
            f"{raw.location(row)}: the class {quoted(classes[int(targets[row])])} of "
            f"{quoted(spec.targets[0])} has no row with train, so nothing can learn it; give it one, or name the "
            "classes to use under dataset.classes",
            KEY,
        )
