"""The weights of the training samples: `dataset.class_weight`, `dataset.sample_weight`, or both.

A sample's loss is multiplied by its weight. Weights are divided by their mean over the training part, so that only
their ratios count: the training loss is the weighted mean of the samples' losses, as in PyTorch's
CrossEntropyLoss(weight). The validation and the test part are measured without weights, and inputs are standardised and
filled without them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arrays import Floats, Integers
from experiments.data.columns import Column, RawTable
from experiments.data.exact_mean import exact_mean
from experiments.data.taken_columns import taken_out
from experiments.data.targets import CLASSIFICATION
from experiments.errors import DataError, did_you_mean, quoted

if TYPE_CHECKING:
    from experiments.data.dataset_spec import DatasetSpec
    from experiments.data.tables import Table

BALANCED = "balanced"
_OF_CLASS, _OF_SAMPLE = "class_weight", "sample_weight"


def checked_class_weight(value: Any) -> Any:
    """Return None, `balanced`, or a mapping of classes to weights. Raises ValueError for any other value."""
    if value is None or value == BALANCED:
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"should be balanced, or a mapping of classes to weights, such as {{yes: 5}}; not {value!r}")
    for name, weight in value.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            raise ValueError(f"the weight of {name} should be a number from 0, not {weight!r}")
    return {str(name): float(weight) for name, weight in value.items()}


def weight_column(raw: RawTable, spec: DatasetSpec) -> tuple[RawTable, Floats | None]:
    """Return the table without the column `dataset.sample_weight`, and its weights, (rows,); None if there is none.

    Raises DataError, with the line, for a column that does not exist or is used otherwise, and for a cell that is no
    number from 0.
    """
    name = spec.sample_weight
    if name is None:
        return raw, None
    role = "the target" if isinstance(spec.target, str) else "a target"
    uses = {role: spec.targets, "dataset.split": (spec.split,), "a feature": spec.features or ()}
    use = next((use for use, names in uses.items() if name in names), "")
    if use:
        raise DataError(f"{raw.name}: the column {quoted(name)} has weights and is {use}; name another", _OF_SAMPLE)
    column, rest = taken_out(raw, name, _OF_SAMPLE)
    return rest, _weights(raw, column)


def _weights(raw: RawTable, column: Column) -> Floats:
    if column.kind not in ("number", "boolean"):
        bad = column.bad_numbers
        place = f"{raw.location(bad.row)}: " if bad else f"{raw.name}: "
        held = f"holds {quoted(bad.cell)}, which is no number" if bad else "has no numbers"
        raise DataError(f"{place}column {quoted(column.name)} {held}; a weight is a number from 0", _OF_SAMPLE)
    weights: Floats = column.values.astype(float)
    wrong = ~((weights >= 0) & np.isfinite(weights))
    if wrong.any():
        row, count = int(np.argmax(wrong)), int(wrong.sum())
        held = "is empty" if math.isnan(weights[row]) else f"holds {weights[row]:g}"
        raise DataError(
            f"{raw.location(row)}: column {quoted(column.name)} {held} ({count:,} such cell{'s' * (count != 1)}); "
            "a weight is a number from 0",
            _OF_SAMPLE,
        )
    return weights


def training_weights(table: Table, training: Integers, spec: DatasetSpec) -> tuple[Integers, Floats]:
    """Return the indices of the rows to train on, and their weights, (rows,), with mean 1.

    Rows of weight 0 are left out. There are no weights if none is asked for.

    table: the samples of all parts.
    training: indices of the training rows.
    Raises DataError for class weights without classes or with an unknown class, and if all weights are 0.
    """
    if spec.class_weight is None and table.weights is None:
        return training, np.empty(0)
    weights = np.ones(len(training)) if table.weights is None else table.weights[training]
    if spec.class_weight is not None:
        of_class = _class_weights(table, training, spec)[table.targets[training].astype(int)]
        with np.errstate(over="ignore"):
            weights = weights * of_class
    training, weights = training[weights > 0], weights[weights > 0]
    mean = exact_mean(weights) if len(weights) else 0.0
    if not 0 < mean < math.inf:
        key = _OF_SAMPLE if spec.class_weight is None else _OF_CLASS
        what = "is 0" if mean == 0 else "is too large"
        raise DataError(f"{table.name}: the sum of the training samples' weights {what}; write other weights", key)
    return training, np.asarray(weights / mean)


def _class_weights(table: Table, training: Integers, spec: DatasetSpec) -> Floats:
    """Return the weight of each class, (classes,). A class that is not named has 1.

    `balanced` is samples / (classes * samples of the class), as in scikit-learn (King and Zeng, Logistic Regression in
    Rare Events Data, 2001).
    """
    if table.task != CLASSIFICATION:
        raise DataError(f"{table.name} has a regression target: it has no classes; remove class_weight", _OF_CLASS)
    if spec.class_weight == BALANCED:
        counts = np.bincount(table.targets[training].astype(int), minlength=len(table.classes))
        return np.asarray(len(training) / (len(table.classes) * np.maximum(counts, 1)))
    assert isinstance(spec.class_weight, Mapping)
    for name in spec.class_weight:
        if name not in table.classes:
            raise DataError(f"{table.name} has no class {quoted(name)}{did_you_mean(name, table.classes)}", _OF_CLASS)
    return np.array([spec.class_weight.get(name, 1.0) for name in table.classes])
