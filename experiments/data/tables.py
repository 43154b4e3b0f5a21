"""`Table`: checked columns and a target, not split yet. `make_table` makes it from a `RawTable`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from engine.arrays import Floats, Integers
from experiments.data.cell_checks import (
    complete_rows,
    kept_rows,
    refuse_infinite,
    refuse_unusable,
    with_rows,
    words_message,
)
from experiments.data.column_rules import DROP, REFUSE, encoded_columns, missing_rules
from experiments.data.columns import Column, RawTable
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.sample_weights import weight_column
from experiments.data.split_column import refuse_untrained_classes, rows_left, split_column
from experiments.data.targets import CLASSIFICATION, read_targets, refuse_stray_words, target_columns
from experiments.errors import DataError, did_you_mean, quoted


@dataclass(frozen=True)
class Table:
    """The checked samples of a data set.

    name: of the built-in data set, or of the file without its suffix.
    task: `classification` or `regression`.
    columns: the features, each (samples,). Only those in `fills` may have empty cells.
    targets: (samples,), numbers or indices into `classes`; several targets: (samples, targets), numbers.
    classes: their names; empty for regression.
    target_names: the names of the targets' columns.
    split: (samples,), TRAINING, VALIDATION or TEST, where the data say which row is which; else None.
    weights: (samples,), of `dataset.sample_weight`, from 0; else None.
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
    target_names: tuple[str, ...] = ("target",)
    split: Integers | None = None
    weights: Floats | None = None
    encoded: frozenset[str] = frozenset()
    fills: Mapping[str, str] = field(default_factory=dict)
    dropped: int = 0
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.targets)

    @property
    def target(self) -> str:
        """The name of the target, or of the first of several."""
        return self.target_names[0]

    def each_target(self) -> Iterator[Table]:
        """Yield the table with each of its targets alone."""
        if len(self.target_names) == 1:
            yield self
            return
        for k, name in enumerate(self.target_names):
            yield replace(self, targets=self.targets[:, k], target_names=(name,))

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
        split = None if self.split is None else self.split[rows]
        weights = None if self.weights is None else self.weights[rows]
        columns = kept_rows(self.columns, rows)
        return replace(self, columns=columns, targets=targets, classes=tuple(classes), split=split, weights=weights)


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
    """Return the features and the targets that the spec names, checked; of all classes.

    Raises DataError, with file, line and column, for a column that is missing or unsupported, and for cells that are
    empty, infinite or not numbers, unless `encode` or `missing` has a rule for them.
    """
    if len(raw.lines) < 2:
        raise DataError(
            f"{raw.name} has {len(raw.lines)} row{'s' * (len(raw.lines) != 1)} of data; training needs at least two"
        )
    targets = target_columns(raw, spec.targets)
    raw, weights = weight_column(raw, spec)
    raw, split = split_column(raw, spec)
    features = _feature_columns(raw, spec, targets)
    encoded = encoded_columns(raw, spec, features)
    missing = missing_rules(raw, spec, features, targets, encoded)
    for column in (*features, *targets):
        refuse_unusable(raw, column, is_target=column.name in spec.targets)
    for column in features:
        if column.kind == "text" and column.name not in encoded:
            raise DataError(words_message(raw, column))
    for column in targets:
        refuse_stray_words(raw, column, spec.task, several=len(targets) > 1)
    rows = complete_rows(raw, features, targets, missing)
    raw, features, targets = with_rows(raw, rows), kept_rows(features, rows), kept_rows(targets, rows)
    split = None if split is None else rows_left(raw, split, rows, spec)
    for column in (*features, *targets):
        refuse_infinite(raw, column)
    task, values, classes = read_targets(raw, targets, spec.task)
    if split is not None and task == CLASSIFICATION:
        refuse_untrained_classes(raw, values, classes, split, spec)
    names = tuple(column.name for column in targets)
    return Table(
        name=raw.name.rpartition(".")[0] or raw.name,
        task=task,
        columns=features,
        targets=values,
        classes=classes,
        target_names=names,
        split=split,
        weights=None if weights is None else weights[rows],
        encoded=encoded,
        fills={name: rule for name, rule in missing.items() if rule not in (DROP, REFUSE) and name not in names},
        dropped=int((~rows).sum()),
        notes=used_notes(raw, (*features, *targets)),
    )


def used_notes(raw: RawTable, used: Collection[Column]) -> tuple[str, ...]:
    """Return the table's notes, without those on unused columns."""
    names = {column.name for column in used}
    others = {column.note for column in raw.columns if column.name not in names}
    return tuple(note.removesuffix(".") for note in raw.notes if note not in others)


# ---------------------------------------------------------------------------------------------- selecting columns


def _feature_columns(raw: RawTable, spec: DatasetSpec, targets: Sequence[Column]) -> tuple[Column, ...]:
    if spec.features is not None:
        for name in spec.targets:
            if name in spec.features:
                raise DataError(
                    f"{raw.name}: dataset.features names the target {quoted(name)}, so a network would only copy it; "
                    "leave it out there",
                    "features",
                )
        return _selected(raw.columns, spec.features, "feature", raw.name)
    features = tuple(column for column in raw.columns if column.name not in spec.targets)
    if not features:
        besides = f"the target{'s' * (len(targets) > 1)} {', '.join(quoted(target.name) for target in targets)}"
        raise DataError(f"{raw.name} has no column for a feature besides {besides}: add one")
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
