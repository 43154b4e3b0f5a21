"""The phase diagram as numbers: what became of the trials over two axes, all else and the seeds taken together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine import DIVERGED, OUTCOMES
from engine.arrays import Array, Floats, Integers
from service.results.axes import Axis, cell_codes
from service.results.metrics import METRICS, lower_is_better
from service.results.trials_table import run_ids

TROUBLE = ("vanishing", "exploding", "dead", "diverged")
"""The outcomes whose beginning the diagram shows."""
_FAR_APART = 3.0  # times the least, from which on a scale is logarithmic


@dataclass(frozen=True)
class Phase:
    """Arrays are (values down, values across).

    median: of the metric over a cell's trials, NaN where more than half of them have none, as the diverged. shares:
    outcome -> share of the trials, of the outcomes that there are. began: median step at which trouble began, of those
    that came into it, NaN where none did. trials: how many there are. best: the run id of the best, "" for none.
    """

    across: Axis
    down: Axis
    metric: str
    median: Floats
    shares: Mapping[str, Floats]
    began: Floats
    trials: Integers
    best: Array

    @property
    def commonest(self) -> Array:
        """The most frequent outcome of each cell, "" where it has no trial."""
        names = np.array(list(self.shares), dtype=object)
        stacked = np.stack([self.shares[name] for name in names])
        found: Array = names[np.nan_to_num(stacked, nan=-1.0).argmax(axis=0)]
        found[self.trials == 0] = ""
        return found


def scale_of_median(phase: Phase) -> tuple[float, float, bool] | None:
    """From where to where the medians' colours go, and whether by the logarithm; None where there is no median.

    Where most trials exploded or diverged the medians may be of any size; they have the colour of an end.
    """
    wild = np.isin(phase.commonest.astype(str), ("exploding", DIVERGED))
    finite = np.isfinite(phase.median)
    shown = phase.median[finite & ~wild] if (finite & ~wild).any() else phase.median[finite]
    if not shown.size:
        return None
    low, high = float(shown.min()), float(shown.max())
    return low, high, lower_is_better(phase.metric) and low > 0 and high > _FAR_APART * low


def make_phase(table: pd.DataFrame, metric: str, across: Axis, down: Axis) -> Phase:
    """The phase diagram of a sweep's table by a metric; `down` may be NO_AXIS."""
    shape = (len(down.values), len(across.values))
    downs, acrosses = cell_codes(table, across, down)
    inside = (downs >= 0) & (acrosses >= 0)
    cells = pd.Series((downs * shape[1] + acrosses)[inside])
    rows = table[inside].reset_index(drop=True)
    values = rows[METRICS + metric].where(rows["outcome"] != DIVERGED).astype(float)
    lost = values.isna().groupby(cells).mean()
    median = values.groupby(cells).median().where(lost <= 0.5)
    counts = cells.value_counts()
    troubled = rows["outcome"].isin(TROUBLE)
    began = rows["outcome_step"][troubled].groupby(cells[troubled]).median()
    frequencies = pd.crosstab(cells, rows["outcome"], normalize="index")
    shares = {name: _grid(frequencies[name], shape) for name in OUTCOMES if name in frequencies}
    order = values.sort_values(ascending=lower_is_better(metric)).dropna().index
    best = run_ids(rows).loc[order].groupby(cells.loc[order], sort=False).first()
    ids = np.full(shape[0] * shape[1], "", dtype=object)
    ids[best.index.to_numpy(dtype=int)] = best.to_numpy()
    trials = np.nan_to_num(_grid(counts, shape)).astype(np.int64)
    return Phase(across, down, metric, _grid(median, shape), shares, _grid(began, shape), trials, ids.reshape(shape))


def _grid(by_cell: pd.Series, shape: tuple[int, int]) -> Floats:
    grid = np.full(shape[0] * shape[1], np.nan)
    grid[by_cell.index.to_numpy(dtype=int)] = by_cell.to_numpy(dtype=float)
    return grid.reshape(shape)
