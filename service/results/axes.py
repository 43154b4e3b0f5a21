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

Codes = tuple[Integers, Integers]

_ACROSS, _DOWN = ("learning_rate",), ("activation", "output")
_SEED = "seed"


@dataclass(frozen=True)
class Axis:
    """A swept hyperparameter and its values, ascending where they are numbers, else as they first come."""

    name: str
    values: tuple[Any, ...]

    @property
    def label(self) -> str:
        return words(self.name)

    @property
    def is_numeric(self) -> bool:
        return all(isinstance(value, (int, float)) for value in self.values)

    @property
    def is_logarithmic(self) -> bool:
        """Whether its values are better seen on a logarithmic scale."""
        return self.is_numeric and min(self.values) > 0 and max(self.values) >= 20 * min(self.values)

    def codes(self, table: pd.DataFrame) -> Integers:
        """For each row of the table the place of its value; -1 where it has none."""
        places = {value: place for place, value in enumerate(self.values)}
        return np.array([places.get(value, -1) for value in table[PARAMS + self.name].tolist()], dtype=np.int64)

    def chosen(self, count: int) -> tuple[int, ...]:
        """The places of at most `count` values, spread evenly, first and last included."""
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
    """Every pair as (across, down): numbers across, words down; that of learning rate and activation first."""
    if len(axes) == 1:
        return [(axes[0], NO_AXIS)]
    order = sorted(axes, key=lambda axis: (axis.name not in _ACROSS, not axis.is_numeric, axis.name in _DOWN))
    pairs = itertools.combinations(order, 2)
    return sorted(pairs, key=lambda pair: (pair[0].name not in _ACROSS) + (pair[1].name not in _DOWN))


def cell_codes(table: pd.DataFrame, across: Axis, down: Axis) -> Codes:
    """Each trial's place down and across; -1 where it has none."""
    nowhere = np.zeros(len(table), dtype=np.int64)
    below, beside = (nowhere if axis is NO_AXIS else axis.codes(table) for axis in (down, across))
    return below, beside


def words(name: str) -> str:
    """A metric's or a hyperparameter's name for readers."""
    return name.replace("_", " ")


def tick(value: Any) -> str:
    """A value of an axis, short."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3g}"
    return str(value)
