"""Axes whose values were drawn by a search: nearly every trial has its own, so figures show them in intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.arrays import Floats
from experiments.hyperparameters import REPEATS
from service.results.axes import Axis, swept_axes
from service.results.combinations import count_combinations
from service.results.metrics import PARAMS
from service.results.trials_table import shown_params

INTERVALS = 24
"""Into how many intervals the values of such an axis are divided."""

_FEW = 32  # values that a figure can show one by one


def in_intervals(table: pd.DataFrame, swept: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with the middle of its interval for each drawn value, and the names of these axes.

    A numeric axis was drawn if it has more than 32 values, and fewer than two configurations for each of them.
    table: see `service.results.trials_table`.
    swept: the swept hyperparameters.
    """
    axes = swept_axes(table, swept)
    if len(axes) < 2:
        return table, []
    names = [PARAMS + name for name in shown_params(table.columns, swept) if name not in REPEATS]
    configurations = count_combinations(table, names)
    drawn = [a for a in axes if a.is_numeric and len(a.values) > max(_FEW, configurations / 2)]
    if not drawn:
        return table, []
    middles = {PARAMS + axis.name: _middles(axis, table[PARAMS + axis.name].to_numpy(dtype=float)) for axis in drawn}
    return table.assign(**middles), [axis.name for axis in drawn]


def _middles(axis: Axis, values: Floats) -> Floats:
    """Return the middle of each value's interval. The intervals are even in the value, or in its logarithm."""
    heights, ends = (np.log(v) if axis.is_logarithmic else v for v in (values, np.array(axis.values, dtype=float)))
    low, width = ends[0], (ends[-1] - ends[0]) / INTERVALS
    interval = np.clip(np.floor((heights - low) / width), 0, INTERVALS - 1)
    middle = low + width * (interval + 0.5)
    rounded = [float(f"{value:.4g}") for value in (np.exp(middle) if axis.is_logarithmic else middle)]
    return np.array(rounded)


def intervals_note(names: Sequence[str]) -> str:
    """Return a sentence for the reader about the axes that are shown in intervals; empty if there are none."""
    if not names:
        return ""
    listed = " and ".join(name.replace("_", " ") for name in names)
    return f"The search drew the values of {listed}: figures show them in {INTERVALS} intervals."
