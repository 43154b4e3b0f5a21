"""`Table`: checked columns and a target, not split yet. `make_table` makes it from a `RawTable`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from engine.arrays import Flags, Floats
from experiments.data.column_rules import DROP, REFUSE, encoded_columns, missing_rules, na_values_key
from experiments.data.columns import Column, RawTable
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.targets import CLASSIFICATION, read_target, refuse_stray_words
from experiments.errors import DataError, did_you_mean, quoted

Rows = Flags

_TIME = re.compile(r"(\d{1,4}([-/.])\d{1,2}\2\d{1,4}([ T]+\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2}.*)?)")
"""A date, a time of day, or both: `2024-01-31 08:30:00`, `31.1.2024`, `8:30`."""
_NUMBER = re.compile(r"[+-]?\d*[.,]?\d+")
_WITH_SIGN = re.compile(r"[$€£¥]\s*[+-]?\d[\d.,]*|[+-]?\d[\d.,]*\s*[$€£¥%‰°]")
"""A number with a currency, a percent sign or a degree sign: `€ 12.50`, `12%`."""


@dataclass(frozen=True)
class Table:
    """The checked samples of a data set.

    name: of the built-in data set, or of the file without its suffix.
    task: `classification` or `regression`.
    columns: the features, each (samples,). Only those in `fills` may have empty cells.
    targets: (samples,), numbers or indices into `classes`.
    classes: their names; empty for regression.
    target: name of the target's column.
    encoded: names of the columns to one-hot encode.
    fills: column -> `mean` or `median`, for its empty cells.
    dropped: number of rows left out for an empty cell.
    notes: sentences for the user to read before training.
    """

    name: str
    task: str
    columns: tuple[Column, ...]
    targets: Floats
    classes: tuple[str, ...]
    target: str = "target"
    encoded: frozenset[str] = frozenset()
    fills: Mapping[str, str] = field(default_factory=dict)
    dropped: int = 0
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.targets)

    def with_features(self, features: Sequence[str] | None) -> Table:
        """Return the table with only these features, in this order. Raises DataError for an unknown or repeated one."""
        if features is None:
            return self
        return replace(self, columns=_selected(self.columns, features, "feature", self.name))

    def with_classes(self, classes: Sequence[str] | None) -> Table:
        """Return the samples of these classes, in this order. Raises DataError for an unknown or repeated one."""
        if classes is None:
            return self
        _refuse_repeated(classes, "class", self.name)
        if self.task != CLASSIFICATION:
            raise DataError(f"{self.name} has a regression target: it has no classes; leave dataset.classes out")
        for name in classes:
            if name not in self.classes:
                raise DataError(f"{self.name} has no class {quoted(name)}{did_you_mean(name, self.classes)}")
        indices = [self.classes.index(name) for name in classes]
        rows = np.isin(self.targets, indices)
        targets = np.array([indices.index(int(k)) for k in self.targets[rows]], dtype=float)
        return replace(self, columns=_rows(self.columns, rows), targets=targets, classes=tuple(classes))


def number_table(
    name: str, task: str, features: Floats, targets: Floats, names: Sequence[str], classes: tuple[str, ...]
) -> Table:
    """Return a table of numbers.

    name, task, targets, classes: as in Table.
    features: (samples, features).
    names: of the features.
    """
    columns = (Column(column, "number", features[:, k]) for k, column in enumerate(names))
    return Table(name, task, tuple(columns), targets, classes)


def make_table(raw: RawTable, spec: DatasetSpec) -> Table:
    """Return the features and the target that the spec names, checked.

    Raises DataError, with file, line and column, for a column that is missing or unsupported, and for cells that are
    empty, infinite or not numbers, unless `encode` or `missing` has a rule for them.
    """
    if len(raw.lines) < 2:
        raise DataError(
            f"{raw.name} has {len(raw.lines)} row{'s' * (len(raw.lines) != 1)} of data; training needs at least two"
        )
    target = _target_column(raw, str(spec.target))
    features = _feature_columns(raw, spec, target)
    encoded = encoded_columns(raw, spec, features)
    missing = missing_rules(raw, spec, features, target, encoded)
    for column in (*features, target):
        _refuse_unusable(raw, column)
    for column in features:
        if column.kind == "text" and column.name not in encoded:
            raise DataError(_words_message(raw, column))
    refuse_stray_words(raw, target, spec.task)
    rows = _complete_rows(raw, (*features, target), missing)
    raw, features, (target,) = _with_rows(raw, rows), _rows(features, rows), _rows((target,), rows)
    for column in (*features, target):
        _refuse_infinite(raw, column)
    task, targets, classes = read_target(raw, target, spec.task)
    table = Table(
        name=raw.name.rpartition(".")[0] or raw.name,
        task=task,
        columns=features,
        targets=targets,
        classes=classes,
        target=target.name,
        encoded=encoded,
        fills={name: rule for name, rule in missing.items() if rule not in (DROP, REFUSE) and name != target.name},
        dropped=int((~rows).sum()),
        notes=_notes(raw, (*features, target)),
    )
    return table.with_classes(spec.classes)


def _notes(raw: RawTable, used: Collection[Column]) -> tuple[str, ...]:
    """Return the table's notes, without those on unused columns."""
    names = {column.name for column in used}
    others = {column.note for column in raw.columns if column.name not in names}
    return tuple(note.removesuffix(".") for note in raw.notes if note not in others)


# ---------------------------------------------------------------------------------------------- selecting columns


def _target_column(raw: RawTable, name: str) -> Column:
    for column in raw.columns:
        if column.name == name:
            return column
    names = [column.name for column in raw.columns]
    hint = did_you_mean(name, names)
    if raw.unit == "line" and any(_NUMBER.fullmatch(other) for other in names):
        hint += " " if hint.endswith("?") else ". "
        hint += "The first line names the columns: if it holds data, write a line of names above it"
    raise DataError(f"{raw.name} has no column {quoted(name)} for the target{hint}")


def _feature_columns(raw: RawTable, spec: DatasetSpec, target: Column) -> tuple[Column, ...]:
    if spec.features is not None:
        if target.name in spec.features:
            raise DataError(
                f"{raw.name}: dataset.features names the target {quoted(target.name)}, so a network would only "
                "copy it; leave it out there"
            )
        return _selected(raw.columns, spec.features, "feature", raw.name)
    features = tuple(column for column in raw.columns if column is not target)
    if not features:
        raise DataError(
            f"{raw.name} has no column besides the target {quoted(target.name)}: add columns for the features"
        )
    return features


def _selected(columns: Sequence[Column], names: Sequence[str], kind: str, table: str) -> tuple[Column, ...]:
    _refuse_repeated(names, kind, table)
    by_name = {column.name: column for column in columns}
    for name in names:
        if name not in by_name:
            raise DataError(f"{table} has no {kind} {quoted(name)}{did_you_mean(name, by_name)}")
    return tuple(by_name[name] for name in names)


def _refuse_repeated(names: Sequence[str], kind: str, table: str) -> None:
    repeated = next((name for name in names if list(names).count(name) > 1), None)
    if repeated is not None:
        raise DataError(f"{table}: the {kind} {repeated!r} is listed twice; list it once")


# --------------------------------------------------------------------------------------------------- checking cells


def _refuse_unusable(raw: RawTable, column: Column) -> None:
    if column.kind == "unsupported":
        raise DataError(f"{raw.name}: {column.problem}")
    if column.empty.all():
        raise DataError(
            f"{raw.name}: column {quoted(column.name)} is empty in every row; leave it out: name the columns to "
            "use under dataset.features"
        )


def _words_message(raw: RawTable, column: Column) -> str:
    """Return the message on a feature of words. A word among numbers may be a mistake or mean an empty cell."""
    bad, filled = column.bad_numbers, column.values[~column.empty]
    if bad is None:
        return (
            f"{raw.name}: column {quoted(column.name)} holds numbers as text, such as {quoted(filled[0])}; "
            f"make it a column of numbers, or write encode: {{{column.name}: one_hot}} under dataset"
        )
    cell = f"{raw.location(bad.row)}: column {quoted(column.name)} holds {quoted(bad.cell)}, which is not a number"
    if bad.count < len(filled):
        return (
            f"{cell} ({_cells(bad.count)}; {len(filled) - bad.count:,} hold numbers). If it means an empty cell, "
            f"write {na_values_key(bad.cell)} and missing: drop, mean or median under "
            f"dataset; if the column holds words, write encode: {{{column.name}: one_hot}}"
        )
    if all(_TIME.fullmatch(word) for word in filled):
        return (
            f"{raw.location(bad.row)}: column {quoted(column.name)} holds dates or times, such as {quoted(bad.cell)} "
            f"({_cells(bad.count)}); turn them into numbers, or leave the column out: name the columns to use "
            "under dataset.features"
        )
    if all(_WITH_SIGN.fullmatch(word) for word in filled):
        return f"{cell} ({_cells(bad.count)}) because of its sign or unit; write only the number into the file"
    return (
        f"{cell} ({_cells(bad.count)}); write encode: one_hot under dataset to make an input of each word, or "
        "name the columns of numbers under dataset.features"
    )


def _cells(count: int) -> str:
    return f"{count:,} such cell{'' if count == 1 else 's'}"


def _complete_rows(raw: RawTable, columns: Sequence[Column], missing: Mapping[str, str]) -> Rows:
    """Return a mask of the complete rows, (rows,). Raises DataError for an empty cell under the rule `refuse`."""
    refused = [column for column in columns if missing[column.name] == REFUSE]
    empties = {column.name: column.empty for column in refused if column.empty.any()}
    if empties:
        raise DataError(_empty_message(raw, refused, empties, columns[-1]))
    rows = np.ones(len(raw.lines), dtype=bool)
    for column in columns:
        if missing[column.name] == DROP:
            rows &= ~column.empty
    if rows.sum() < 2:
        raise DataError(
            f"{raw.name}: {'1 row is' if rows.any() else 'no row is'} left when those with empty cells are dropped; "
            "training needs at least two"
        )
    return rows


def _empty_message(raw: RawTable, columns: Sequence[Column], empties: Mapping[str, Rows], target: Column) -> str:
    row = min(int(np.argmax(empty)) for empty in empties.values())
    name = next(name for name, empty in empties.items() if empty[row])
    column = next(column for column in columns if column.name == name)
    others = [quoted(other) for other in empties if other != name]
    also = f"; {', '.join(others[:5])} {'has' if len(others) == 1 else 'have'} empty cells too" if others else ""
    if column is target:
        way_out = "write missing: drop under dataset to leave such rows out; a target is never filled"
    elif column.kind == "text":
        way_out = "write missing: drop under dataset to leave such rows out, or write a word such as unknown into them"
    else:
        way_out = "write missing: drop, mean or median under dataset, or fill them in"
    return f"{raw.location(row)}: column {quoted(name)} is empty ({_cells(int(empties[name].sum()))}{also}); {way_out}"


def _refuse_infinite(raw: RawTable, column: Column) -> None:
    if column.kind == "number" and np.isinf(column.values).any():
        infinite = np.isinf(column.values)
        raise DataError(
            f"{raw.location(int(np.argmax(infinite)))}: column {quoted(column.name)} is infinite "
            f"({_cells(int(infinite.sum()))}); correct these cells or remove the rows"
        )


# ------------------------------------------------------------------------------------------------------------- rows


def _rows(columns: Sequence[Column], rows: Rows) -> tuple[Column, ...]:
    return tuple(replace(column, values=column.values[rows]) for column in columns)


def _with_rows(raw: RawTable, rows: Rows) -> RawTable:
    return replace(raw, columns=_rows(raw.columns, rows), lines=raw.lines[rows])
