"""Files whose rows are all for validation or all for testing. The training file says what their columns mean."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays import Flags, Floats
from engine.inputs import category_names
from experiments.data.cell_checks import complete_rows, kept_rows, refuse_infinite, refuse_unsupported, with_rows
from experiments.data.column_rules import missing_rules, na_values_key
from experiments.data.columns import Column, RawTable
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.readers import read_file, read_options
from experiments.data.split_column import TEST, TRAINING, VALIDATION
from experiments.data.tables import Table, used_notes
from experiments.data.targets import CLASSIFICATION, target_numbers
from experiments.errors import DataError, did_you_mean, quoted

_PARTS = {"validation": VALIDATION, "test": TEST}
_KINDS = {"number": "numbers", "boolean": "booleans", "text": "words"}
_LISTED = 5


def with_part_files(table: Table, raw: RawTable, spec: DatasetSpec, folder: Path) -> Table:
    """Return the table with the rows of `dataset.validation` and `dataset.test` below its own.

    table: of the training file.
    raw: the training file as it was read.
    folder: start of relative paths.
    Raises DataError, with file, line and column, for a file that does not fit the training file.
    """
    tables, parts = [table], [TRAINING]
    for key, part in _PARTS.items():
        if getattr(spec, key) is not None:
            try:
                tables.append(_part_table(_read(key, raw, spec, folder), raw, table, spec))
            except DataError as error:
                raise DataError(str(error), key) from None
            parts.append(part)
    return _joined(tables, parts) if len(tables) > 1 else table


def _read(key: str, training: RawTable, spec: DatasetSpec, folder: Path) -> RawTable:
    """Read a file with the options of the training file. Its words stay words, even where they look like numbers."""
    path = folder / str(getattr(spec, key))
    words = frozenset(column.name for column in training.columns if column.kind == "text")
    raw = read_file(path, replace(read_options(spec), words=words), key)
    earlier = ["path", *itertools.takewhile(lambda other: other != key, _PARTS)]
    for other in earlier:
        if getattr(spec, other) is not None and path.samefile(folder / getattr(spec, other)):
            raise DataError(f"{path.name} is the file of dataset.{other} too; the parts need rows of their own")
    return raw


def _part_table(raw: RawTable, training: RawTable, table: Table, spec: DatasetSpec) -> Table:
    """Return the rows of a file, with the columns and classes of the training file.

    raw: the file.
    training: the training file.
    table: its checked samples.
    """
    if not len(raw.lines):
        raise DataError(f"{raw.name} has no row of data; add rows, or remove the key")
    names = [column.name for column in table.columns]
    _refuse_other_columns(raw, training, [*names, *table.target_names], spec)
    features, targets = ([_matched(raw, training, name) for name in some] for some in (names, table.target_names))
    rules = missing_rules(raw, spec, features, targets, table.encoded)
    rows = complete_rows(raw, features, targets, rules, least=1)
    left, columns, predicted = with_rows(raw, rows), kept_rows(features, rows), kept_rows(targets, rows)
    for column in (*columns, *predicted):
        refuse_infinite(left, column)
    values, used = target_numbers(predicted), np.ones(len(left.lines), dtype=bool)
    if table.task == CLASSIFICATION:
        values, used = _classes(left, training, predicted[0], table, spec)
    return replace(
        table,
        weights=None,
        columns=kept_rows(columns, used),
        targets=values[used],
        dropped=int((~rows).sum()),
        notes=tuple(f"{raw.name}: {note}" for note in used_notes(raw, (*columns, *predicted))),
    )


def _refuse_other_columns(raw: RawTable, training: RawTable, used: Sequence[str], spec: DatasetSpec) -> None:
    """Raise DataError for a missing column, and for one that the training file does not have."""
    names, known = [column.name for column in raw.columns], [column.name for column in training.columns]
    missing = [name for name in used if name not in names]
    extra = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"{raw.name} has no {_listed(missing)}, which {training.name} has; add {_them(missing)}, or leave "
            f"{_them(missing)} out in both files{did_you_mean(missing[0], names)}"
        )
    if extra and spec.features is None:
        raise DataError(
            f"{raw.name} has the {_listed(extra)}, which {training.name} does not have; remove {_them(extra)}, or name "
            "the columns to use under dataset.features"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"column{'s' * (len(names) != 1)} {', '.join(map(quoted, names[:_LISTED]))}{more}"


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _matched(raw: RawTable, training: RawTable, name: str) -> Column:
    """Return the column of this name. Raises DataError if its cells are of another kind than in the training file."""
    column, model = (next(c for c in table.columns if c.name == name) for table in (raw, training))
    if column.is_empty:  # such a column has no kind of its own
        nothing: Any = None if model.kind == "text" else np.nan
        kind = object if model.kind == "text" else float
        return replace(column, kind=model.kind, values=np.full(len(raw.lines), nothing, dtype=kind), problem=None)
    refuse_unsupported(raw, column)
    if column.kind != model.kind:
        raise DataError(_kind_message(raw, training, column, model))
    return column


def _kind_message(raw: RawTable, training: RawTable, column: Column, model: Column) -> str:
    name, there = quoted(column.name), f"{training.name} has {_KINDS[model.kind]} there"
    bad = column.bad_numbers
    if model.kind == "number" and bad is not None:
        cells = f"{bad.count:,} such cell{'s' * (bad.count != 1)}"
        return (
            f"{raw.location(bad.row)}: column {name} holds {quoted(bad.cell)}, which is not a number ({cells}), and "
            f"{there}; write a number, or {na_values_key(bad.cell)} and missing: drop, mean or median if it means an "
            "empty cell"
        )
    row = int(np.argmin(column.empty))
    cell = str(category_names(column.kind, column.values[row : row + 1])[0])
    return (
        f"{raw.location(row)}: column {name} holds {_KINDS[column.kind]}, such as {quoted(cell)}, and {there}; write "
        "both files alike"
    )


def _classes(
    raw: RawTable, training: RawTable, target: Column, table: Table, spec: DatasetSpec
) -> tuple[Floats, Flags]:
    """Return each row's index into the classes of the training file, (rows,), and a mask of the rows with one.

    Raises DataError, with the line, for a class that the training file does not have, unless `classes` names others.
    """
    if target.kind == "number":  # 3 and 3.0 are one class
        known: dict[Any, int] = {float(name): index for index, name in enumerate(table.classes)}
        cells = target.values.tolist()
    else:
        known = {name: index for index, name in enumerate(table.classes)}
        cells = list(category_names(target.kind, target.values))
    targets = np.array([known.get(cell, -1) for cell in cells], dtype=float)
    lost = targets < 0
    if lost.any() and spec.classes is None:
        row, count = int(np.argmax(lost)), int(lost.sum())
        name = str(category_names(target.kind, target.values[row : row + 1])[0])
        number = ", or write task: regression if it is a number to predict" * (target.kind == "number")
        raise DataError(
            f"{raw.location(row)}: the target {quoted(target.name)} has the class {quoted(name)}, which "
            f"{training.name} does not have ({count:,} such row{'s' * (count != 1)}); remove these "
            f"rows, or name the classes to use under dataset.classes{number}"
        )
    chosen = [index for index, name in enumerate(table.classes) if spec.classes is None or name in spec.classes]
    used = np.isin(targets, chosen)
    if not used.any():
        raise DataError(f"{raw.name} has no row of the classes of dataset.classes; add rows, or name other classes")
    return targets, used


def _weights(tables: Sequence[Table]) -> Floats | None:
    """Return the weights of all rows; those of the first table alone are used, for it has the training part."""
    first, *others = tables
    return None if first.weights is None else np.concatenate([first.weights, *(np.ones(t.samples) for t in others)])


def _joined(tables: Sequence[Table], parts: Sequence[int]) -> Table:
    """Return the rows of all tables in one. parts: the part that the rows of each table are for."""
    first = tables[0]
    columns = tuple(
        replace(column, values=np.concatenate([table.columns[index].values for table in tables]))
        for index, column in enumerate(first.columns)
    )
    return replace(
        first,
        columns=columns,
        targets=np.concatenate([table.targets for table in tables]),
        split=np.repeat(parts, [table.samples for table in tables]),
        weights=_weights(tables),
        dropped=sum(table.dropped for table in tables),
        notes=tuple(note for table in tables for note in table.notes),
    )
