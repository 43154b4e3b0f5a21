"""The axes of a sweep as its table has them, for whatever draws them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import Integers
from service.results.metrics import PARAMS
from service.results.trials_table import shown_params

Indices = tuple[Integers, Integers]

_ACROSS, _DOWN = ("learning_rate",), ("activation", "output")
_SEED = "seed"
_NAMES = {"grad_norm": "gradient norm"}
_FAR_APART, _VERY_FAR_APART = 5.0, 20.0  # ratios of the largest to the smallest value
_LONGEST = 18  # characters of a value in a figure


@dataclass(frozen=True)
class Axis:
    """A swept hyperparameter and its values, ascending where they are numbers, else as they first come."""

    name: str
    values: tuple[Any, ...]

    @property
    def label(self) -> str:
        return display_name(self.name)

    @property
    def is_numeric(self) -> bool:
        return all(isinstance(value, (int, float)) for value in self.values)

    @property
    def is_logarithmic(self) -> bool:
        """Whether its values are better seen on a logarithmic scale: far apart, or spaced by a factor."""
        if not self.is_numeric or min(self.values) <= 0:
            return False
        ratio = max(self.values) / min(self.values)
        by_factors = _unevenness(np.log(self.values)) <= _unevenness(self.values)
        return ratio >= _VERY_FAR_APART or (ratio >= _FAR_APART and by_factors)

    def indices(self, table: pd.DataFrame) -> Integers:
        """The index of each trial's value; -1 where it has none."""
        index = {value: k for k, value in enumerate(self.values)}
        return np.array([index.get(value, -1) for value in table[PARAMS + self.name].tolist()], dtype=np.int64)

    def spread_indices(self, count: int) -> tuple[int, ...]:
        """The indices of at most `count` values, spread evenly, first and last included."""
        if len(self.values) <= count:
            return tuple(range(len(self.values)))
        return tuple(sorted({round(k * (len(self.values) - 1) / (count - 1)) for k in range(count)}))


NO_AXIS = Axis("", ("",))
"""Stands where there is no second axis: one row of everything."""


def swept_axes(table: pd.DataFrame, swept: Sequence[str]) -> list[Axis]:
    """The axes that differ from trial to trial, but for the seed."""
    axes = (_axis(table, name) for name in shown_params(table.columns, swept) if name != _SEED)
    return [axis for axis in axes if len(axis.values) > 1]


def _axis(table: pd.DataFrame, name: str) -> Axis:
    values = list(dict.fromkeys(table[PARAMS + name].dropna().tolist()))
    numeric = all(isinstance(value, (int, float)) for value in values)
    return Axis(name, tuple(sorted(values) if numeric else values))


def axis_pairs(axes: Sequence[Axis]) -> list[tuple[Axis, Axis]]:
    """Every pair as (columns, rows): numbers as columns, words as rows; learning rate and activation come first."""
    if len(axes) == 1:
        return [(axes[0], NO_AXIS)]
    order = sorted(axes, key=lambda axis: (axis.name not in _ACROSS, not axis.is_numeric, axis.name in _DOWN))
    pairs = itertools.combinations(order, 2)
    return sorted(pairs, key=lambda pair: (pair[0].name not in _ACROSS) + (pair[1].name not in _DOWN))


def cell_indices(table: pd.DataFrame, columns: Axis, rows: Axis) -> Indices:
    """Each trial's row and column; -1 where it has none."""
    zeros = np.zeros(len(table), dtype=np.int64)
    row, column = (zeros if axis is NO_AXIS else axis.indices(table) for axis in (rows, columns))
    return row, column


def display_name(name: str) -> str:
    """A metric's or a hyperparameter's name for readers."""
    return _NAMES.get(name, name.replace("_", " "))


def format_value(value: Any) -> str:
    """A value of an axis, with three digits."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{float(f'{value:.3g}'):g}"
    return str(value)


def short_value(value: Any) -> str:
    """A value of an axis, cut to the room that a figure has."""
    text = format_value(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _unevenness(values: Any) -> float:
    """The standard deviation of the steps from value to value, as a share of the mean step."""
    steps = np.diff(values)
    return float(steps.std() / steps.mean())
