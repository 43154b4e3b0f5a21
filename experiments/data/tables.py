"""`Table`: checked columns and a target before they are split; and making one from a table as it was read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from engine.arrays import Flags, Floats
from experiments.data.column_rules import DROP, REFUSE, encoded_columns, missing_rules, na_values_key
from experiments.data.columns import Column, RawTable
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.targets import CLASSIFICATION, read_target, refuse_stray_words
from experiments.errors import DataError, nearest, quoted

Rows = Flags


@dataclass(frozen=True)
class Table:
    """The samples of a data set, every cell checked.

    columns: the features, each of `samples` cells. Only those that `fills` names may have empty cells.
    targets: (samples,), numbers, or indices into `classes`. target: its column's name.
    encoded: the columns that are one-hot encoded. fills: column -> `mean` or `median`, for its empty cells.
    dropped: how many rows were left out for an empty cell.
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
        return len(self.targets)

    def with_features(self, features: Sequence[str] | None) -> Table:
        """Only these features, in the order given. Raises DataError for an unknown or repeated one."""
        if features is None:
            return self
        return replace(self, columns=_chosen(self.columns, features, "feature", self.name))

    def with_classes(self, classes: Sequence[str] | None) -> Table:
        """Only the samples of these classes, in the order given. Raises DataError for an unknown or repeated one."""
        if classes is None:
            return self
        _refuse_repeated(classes, "class", self.name)
        if self.task != CLASSIFICATION:
            raise DataError(f"{self.name} has a regression target: there are no classes to choose")
        for name in classes:
            if name not in self.classes:
                raise DataError(f"{self.name} has no class {quoted(name)}{nearest(name, self.classes)}")
        kept = [self.classes.index(name) for name in classes]
        rows = np.isin(self.targets, kept)
        targets = np.array([kept.index(int(k)) for k in self.targets[rows]], dtype=float)
        return replace(self, columns=_rows(self.columns, rows), targets=targets, classes=tuple(classes))


def number_table(
    name: str, task: str, features: Floats, targets: Floats, names: Sequence[str], classes: tuple[str, ...]
) -> Table:
    """A table of numbers alone. features: (samples, features). targets: as in Table."""
    columns = (Column(column, "number", features[:, k]) for k, column in enumerate(names))
    return Table(name, task, tuple(columns), targets, classes)


def make_table(raw: RawTable, spec: DatasetSpec) -> Table:
    """Features and target out of a table as it was read, as the spec says.

    Raises DataError for a column that is not there or can't be used, and for cells that are empty, infinite or not
    numbers, unless the spec says what becomes of them: with file, line and column.
    """
    if len(raw.lines) < 2:
        raise DataError(f"{raw.name} has {len(raw.lines)} row(s) of data; training needs two at least")
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
    kept = _complete_rows(raw, (*features, target), missing)
    raw, features, (target,) = _kept(raw, kept), _rows(features, kept), _rows((target,), kept)
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
        dropped=int((~kept).sum()),
        notes=_notes(raw, (*features, target)),
    )
    return table.with_classes(spec.classes)


def _notes(raw: RawTable, used: Collection[Column]) -> tuple[str, ...]:
    """The table's notes, without those on columns that are not used."""
    names = {column.name for column in used}
    others = {column.note for column in raw.columns if column.name not in names}
    return tuple(note.removesuffix(".") for note in raw.notes if note not in others)


# ----------------------------------------------------------------------------------------------- choosing columns


def _target_column(raw: RawTable, name: str) -> Column:
    for column in raw.columns:
        if column.name == name:
            return column
    known = [column.name for column in raw.columns]
    raise DataError(f"{raw.name} has no column {quoted(name)} for the target{nearest(name, known)}")


def _feature_columns(raw: RawTable, spec: DatasetSpec, target: Column) -> tuple[Column, ...]:
    if spec.features is not None:
        if target.name in spec.features:
            raise DataError(
                f"{raw.name}: dataset.features names the target {quoted(target.name)}, so the answer would be learned "
                "from itself; leave it out there"
            )
        return _chosen(raw.columns, spec.features, "feature", raw.name)
    features = tuple(column for column in raw.columns if column is not target)
    if not features:
        raise DataError(
            f"{raw.name} has no column besides the target {quoted(target.name)}: there is nothing to learn from"
        )
    return features


def _chosen(columns: Sequence[Column], names: Sequence[str], kind: str, table: str) -> tuple[Column, ...]:
    _refuse_repeated(names, kind, table)
    known = {column.name: column for column in columns}
    for name in names:
        if name not in known:
            raise DataError(f"{table} has no {kind} {quoted(name)}{nearest(name, known)}")
    return tuple(known[name] for name in names)


def _refuse_repeated(names: Sequence[str], kind: str, table: str) -> None:
    if len(set(names)) < len(names):
        raise DataError(f"{table}: a {kind} is named twice: {', '.join(names)}")


# --------------------------------------------------------------------------------------------------- checking cells


def _refuse_unusable(raw: RawTable, column: Column) -> None:
    if column.kind == "unsupported":
        raise DataError(f"{raw.name}: {column.problem}")
    if column.empty.all():
        raise DataError(
            f"{raw.name}: column {quoted(column.name)} is empty in every row; leave it out: name the columns to be "
            "used under dataset.features"
        )


def _words_message(raw: RawTable, column: Column) -> str:
    """That a feature holds words: one cell among numbers is a mistake, or stands for an empty cell."""
    bad, filled = column.bad_numbers, column.values[~column.empty]
    if bad is None:
        return (
            f"{raw.name}: column {quoted(column.name)} holds numbers as text, such as {quoted(filled[0])}; "
            f"make it a column of numbers, or write encode: {{{column.name}: one_hot}} under dataset"
        )
    cell = f"{raw.location(bad.row)}: column {quoted(column.name)} holds {quoted(bad.cell)}, which is not a number"
    if bad.count < len(filled):
        return (
            f"{cell} ({_cells(bad.count)}; {len(filled) - bad.count:,} hold numbers). If it stands for an empty cell, "
            f"write {na_values_key(bad.cell)} and missing: drop, mean or median under "
            f"dataset; if the column holds words, write encode: {{{column.name}: one_hot}}"
        )
    return (
        f"{cell} ({_cells(bad.count)}); write encode: one_hot under dataset to make each word an input of its own, or "
        "name the columns of numbers under dataset.features"
    )


def _cells(count: int) -> str:
    return f"{count:,} such cell{'' if count == 1 else 's'}"


def _complete_rows(raw: RawTable, columns: Sequence[Column], missing: Mapping[str, str]) -> Rows:
    """(rows,). Those that stay. Raises DataError for an empty cell that is neither dropped nor filled."""
    refused = [column for column in columns if missing[column.name] == REFUSE]
    empties = {column.name: column.empty for column in refused if column.empty.any()}
    if empties:
        raise DataError(_empty_message(raw, refused, empties, columns[-1]))
    kept = np.ones(len(raw.lines), dtype=bool)
    for column in columns:
        if missing[column.name] == DROP:
            kept &= ~column.empty
    if kept.sum() < 2:
        raise DataError(
            f"{raw.name}: {int(kept.sum())} row(s) are left when those with empty cells are dropped; training needs "
            "two at least"
        )
    return kept


def _empty_message(raw: RawTable, columns: Sequence[Column], empties: Mapping[str, Rows], target: Column) -> str:
    row = min(int(np.argmax(empty)) for empty in empties.values())
    name = next(name for name, empty in empties.items() if empty[row])
    column = next(column for column in columns if column.name == name)
    others = [quoted(other) for other in empties if other != name]
    also = f"; {', '.join(others[:5])} {'has' if len(others) == 1 else 'have'} empty cells too" if others else ""
    if column is target:
        way_out = "write missing: drop under dataset to leave such rows out; a target is never filled"
    elif column.kind == "text":
        way_out = "write missing: drop under dataset to leave such rows out, or write a word of its own into them"
    else:
        way_out = "write missing: drop, mean or median under dataset, or fill them in"
    return f"{raw.location(row)}: column {quoted(name)} is empty ({_cells(int(empties[name].sum()))}{also}); {way_out}"


def _refuse_infinite(raw: RawTable, column: Column) -> None:
    if column.kind == "number" and np.isinf(column.values).any():
        infinite = np.isinf(column.values)
        raise DataError(
            f"{raw.location(int(np.argmax(infinite)))}: column {quoted(column.name)} is infinite "
            f"({_cells(int(infinite.sum()))}); correct these cells or leave the rows out"
        )


# ------------------------------------------------------------------------------------------------------------- rows


def _rows(columns: Sequence[Column], kept: Rows) -> tuple[Column, ...]:
    return tuple(replace(column, values=column.values[kept]) for column in columns)


def _kept(raw: RawTable, kept: Rows) -> RawTable:
    return replace(raw, columns=_rows(raw.columns, kept), lines=raw.lines[kept])
