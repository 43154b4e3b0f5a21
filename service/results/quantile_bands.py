"""Curves of many trials as bands: the median and the quartiles over the trials of each cell of two axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Flags, Floats, Integers
from service.results.axes import Indices
from service.results.metrics import lower_is_better
from service.results.scales import is_calm

_QUARTILES = (0.25, 0.5, 0.75)
_MAX_STEPS = 200


@dataclass(frozen=True)
class Bands:
    """Quartiles of a metric over the steps, for some rows and columns of cells.

    metric: the metric's name.
    steps: the steps.
    rows, columns: the indices of the cells' rows and columns.
    low, middle, high: (rows, columns, steps) the quartiles; NaN if no trial has a value. If lower is better and there
        is no upper bound, a diverged trial counts as infinite after its last step, so a quartile may be infinite.
    calm: (3, rows, columns, steps) the quartiles over the trials that neither exploded nor diverged; NaN for a cell
        without such trials.
    """

    metric: str
    steps: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    low: Floats
    middle: Floats
    high: Floats
    calm: Floats


class Curves:
    """A sweep's curves as matrices over trials and steps.

    points: one row per recorded point, as `Store.curves` returns them.
    table: see `service.results.trials_table`.
    """

    def __init__(self, points: pd.DataFrame, table: pd.DataFrame) -> None:
        finished = set(table.loc[table["outcome"] != DIVERGED, "number"]) or set(table["number"])
        steps = np.sort(points.loc[points["number"].isin(finished), "step"].unique())
        if len(steps) > _MAX_STEPS:
            steps = steps[np.unique(np.linspace(0, len(steps) - 1, _MAX_STEPS).round().astype(int))]
        self.steps = tuple(int(step) for step in steps)
        numbers = table["number"].to_numpy()
        row = pd.Series(np.arange(len(numbers)), index=numbers).reindex(points["number"]).to_numpy(dtype=float)
        column = pd.Series(np.arange(len(steps)), index=steps).reindex(points["step"]).to_numpy(dtype=float)
        self._valid = ~(np.isnan(row) | np.isnan(column))
        self._index = row[self._valid].astype(int), column[self._valid].astype(int)
        self._points = points
        self._trials = len(table)
        self._calm = is_calm(table["outcome"])
        diverged = (table["outcome"] == DIVERGED).to_numpy()
        self._lost = diverged[:, None] & (np.array(self.steps)[None, :] > table["last_step"].to_numpy()[:, None])

    @property
    def metrics(self) -> list[str]:
        """The names of the recorded metrics."""
        return [str(name) for name in self._points.columns if name not in ("number", "step")]

    def matrix(self, metric: str) -> Floats:
        """Return a metric's values: (trials, steps) in the order of the table; NaN before and after a trial's points.

        Between two of its points a value is interpolated, because trials of other lengths have points at other steps.
        """
        values = np.full((self._trials, len(self.steps)), np.nan)
        has_point = np.zeros(values.shape, dtype=bool)
        values[self._index] = self._points[metric].to_numpy(dtype=float)[self._valid]
        has_point[self._index] = True
        return _interpolated(values, has_point, np.array(self.steps))

    def bands(self, metric: str, cells: Indices, rows: Sequence[int], columns: Sequence[int]) -> Bands:
        """Return the bands of a metric.

        metric: the metric's name.
        cells: the row and the column of each trial.
        rows, columns: the indices of the cells to return.
        """
        values = self.matrix(metric)
        if lower_is_better(metric) and not metric.startswith("dead_units"):
            values[self._lost] = np.inf
        all_trials = np.full((3, len(rows), len(columns), len(self.steps)), np.nan)
        calm_trials = all_trials.copy()
        trial_row, trial_column = cells
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                inside = (trial_row == row) & (trial_column == column)
                calm = inside & self._calm
                if inside.any():
                    all_trials[:, i, j] = _quartiles(values[inside])
                if calm.any():
                    calm_trials[:, i, j] = _quartiles(values[calm])
        low, middle, high = all_trials
        return Bands(metric, self.steps, tuple(rows), tuple(columns), low, middle, high, calm_trials)


def _interpolated(values: Floats, has_point: Flags, steps: Integers) -> Floats:
    """Return the values with those between two points of a trial filled in, along a straight line.

    values: (trials, steps). has_point: (trials, steps). steps: (steps,).
    """
    column = np.arange(len(steps))
    before = np.maximum.accumulate(np.where(has_point, column, -1), axis=1)
    after = np.minimum.accumulate(np.where(has_point, column, len(steps))[:, ::-1], axis=1)[:, ::-1]
    trial, gap = np.nonzero(~has_point & (before >= 0) & (after < len(steps)))
    low, high = before[trial, gap], after[trial, gap]
    share = (steps[gap] - steps[low]) / (steps[high] - steps[low])
    filled = values.copy()
    with np.errstate(all="ignore"):
        filled[trial, gap] = values[trial, low] * (1.0 - share) + values[trial, high] * share
    return filled


def _quartiles(values: np.ndarray[Any, Any]) -> Floats:
    """Return the quartiles of (trials, steps) over the trials: (3, steps); NaN for a step without values."""
    with np.errstate(all="ignore"):
        ordered = np.sort(values, axis=0)  # NaN comes last, after infinity
        counts = np.isfinite(values).sum(axis=0) + np.isinf(values).sum(axis=0)
        quartiles = np.full((3, values.shape[1]), np.nan)
        columns = np.arange(values.shape[1])
        for k, share in enumerate(_QUARTILES):
            rank = share * (np.maximum(counts, 1) - 1)
            below, above = np.floor(rank).astype(int), np.ceil(rank).astype(int)
            low, high = ordered[below, columns], ordered[above, columns]
            quartiles[k] = np.where(np.isinf(high) & (above > below), high, low + (high - low) * (rank - below))
            quartiles[k][counts == 0] = np.nan
            quartiles[k][np.isinf(low)] = np.inf
    return quartiles
