"""The axes of a sweep, read from its trials' table, for everything that draws them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import Integers
from experiments.hyperparameters import REPEATS
from service.results.metrics import PARAMS
from service.results.trials_table import shown_params

Indices = tuple[Integers, Integers]

_PREFERRED_COLUMNS, _PREFERRED_ROWS = ("learning_rate",), ("activation", "output")
_NAMES = {"grad_norm": "gradient norm"}
_FAR_APART, _VERY_FAR_APART = 5.0, 20.0  # ratios of the largest to the smallest value
_MAX_LABEL = 18  # characters of a value in a figure


@dataclass(frozen=True)
class Axis:
    """A swept hyperparameter and its values: ascending if they are numbers, else in order of appearance."""

    name: str
    values: tuple[Any, ...]

    @property
    def label(self) -> str:
        """The name for readers."""
        return display_name(self.name)

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(isinstance(value, (int, float)) for value in self.values)

    @property
    def is_logarithmic(self) -> bool:
        """Whether a logarithmic scale shows the values better: they are far apart, or spaced by a factor."""
        if not self.is_numeric or min(self.values) <= 0:
            return False
        ratio = max(self.values) / min(self.values)
        by_factors = _unevenness(np.log(self.values)) <= _unevenness(self.values)
        return ratio >= _VERY_FAR_APART or (ratio >= _FAR_APART and by_factors)

    def indices(self, table: pd.DataFrame) -> Integers:
        """Return the index of each trial's value: (trials,), -1 for a trial without one."""
        index = {value: k for k, value in enumerate(self.values)}
        codes, found = pd.factorize(table[PARAMS + self.name])  # few values, whatever the number of trials
        indices = np.array([*(index.get(value, -1) for value in found.tolist()), -1], dtype=np.int64)
        return np.asarray(indices[codes])  # a missing value has the code -1

    def spread_indices(self, count: int) -> tuple[int, ...]:
        """Return the indices of at most `count` values, spread evenly, including the first and the last."""
        if len(self.values) <= count:
            return tuple(range(len(self.values)))
        return tuple(sorted({round(k * (len(self.values) - 1) / (count - 1)) for k in range(count)}))


NO_AXIS = Axis("", ("",))
"""The rows of a diagram of a single axis: one row for all trials."""


def swept_axes(table: pd.DataFrame, swept: Sequence[str]) -> list[Axis]:
    """Return the axes that have more than one value in the table, except seed and fold.

    table: see `service.results.trials_table`. swept: the swept hyperparameters, in order.
    """
    axes = (_axis(table, name) for name in shown_params(table.columns, swept) if name not in REPEATS)
    return [axis for axis in axes if len(axis.values) > 1]


def _axis(table: pd.DataFrame, name: str) -> Axis:
    values = pd.Series(table[PARAMS + name].unique()).dropna().tolist()
    numeric = all(isinstance(value, (int, float)) for value in values)
    return Axis(name, tuple(sorted(values) if numeric else values))


def axis_pairs(axes: Sequence[Axis]) -> list[tuple[Axis, Axis]]:
    """Return every pair of axes as (columns, rows): learning rates and numbers as columns, activations as rows.

    A single axis is paired with NO_AXIS. The pairs of the learning rate and the activation come first.
    """
    if len(axes) == 1:
        return [(axes[0], NO_AXIS)]
    order = sorted(axes, key=lambda axis: (not _is_column(axis), not axis.is_numeric, axis.name in _PREFERRED_ROWS))
    pairs = itertools.combinations(order, 2)
    return sorted(pairs, key=lambda pair: (not _is_column(pair[0])) + (pair[1].name not in _PREFERRED_ROWS))


def _is_column(axis: Axis) -> bool:
    return axis.name.partition(".")[0] in _PREFERRED_COLUMNS


def cell_indices(table: pd.DataFrame, columns: Axis, rows: Axis) -> Indices:
    """Return the row and the column of each trial: two (trials,) arrays, -1 for a trial without one."""
    zeros = np.zeros(len(table), dtype=np.int64)
    row, column = (zeros if axis is NO_AXIS else axis.indices(table) for axis in (rows, columns))
    return row, column


def display_name(name: str) -> str:
    """Return a metric's or a hyperparameter's name for readers."""
    of_all, _, layer = name.partition(".layer")
    if layer.isdigit():
        return f"{display_name(of_all)} of layer {layer}"
    return _NAMES.get(name, name.replace("_", " "))


def format_value(value: Any) -> str:
    """Return the text of an axis value: a float with three significant digits, "" for NaN."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{float(f'{value:.3g}'):g}"
    return str(value)


def short_value(value: Any) -> str:
    """Return the text of an axis value, shortened to fit into a figure."""
    text = format_value(value)
    return text if len(text) <= _MAX_LABEL else f"{text[: _MAX_LABEL - 1]}…"


def _unevenness(values: Any) -> float:
    """Return the standard deviation of the differences between neighbours, as a share of their mean."""
    steps = np.diff(values)
    return float(steps.std() / steps.mean())
