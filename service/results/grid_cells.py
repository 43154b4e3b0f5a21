"""Statistics of the trials in each cell of a diagram."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from engine.arrays import Flags, Floats, Integers


class GridCells:
    """The cells of a diagram, and the trials in each.

    of_trials: (trials,) the index of each trial's cell, row after row.
    shape: (rows, columns).

    >>> cells = GridCells(np.array([0, 0, 2]), (1, 3))
    >>> cells.median(np.array([1.0, 3.0, np.nan])), cells.share(np.array([True, False, True]))
    (array([[ 2., nan, nan]]), array([[0.5, nan, 1. ]]))
    """

    def __init__(self, of_trials: Integers, shape: tuple[int, int]) -> None:
        self._of_trials = of_trials
        self.shape = shape
        self.size = shape[0] * shape[1]

    @cached_property
    def trials(self) -> Integers:
        """The number of trials in each cell, (rows, columns)."""
        return np.bincount(self._of_trials, minlength=self.size).reshape(self.shape)

    @cached_property
    def _have_one(self) -> bool:
        """Whether no cell has more than one trial, as in a map: then there is nothing to sort."""
        return bool(self.trials.max(initial=0) <= 1)

    def median(self, values: Floats) -> Floats:
        """Return the median of the values of each cell that are not NaN, (rows, columns); NaN if there are none.

        values: (trials,).
        """
        grid = np.full(self.size, np.nan)
        if self._have_one:
            grid[self._of_trials] = values
        else:
            medians = pd.Series(values).groupby(self._of_trials).median()
            grid[medians.index.to_numpy()] = medians.to_numpy()
        return grid.reshape(self.shape)

    def share(self, flags: Flags) -> Floats:
        """Return the share of each cell's trials that have a flag, (rows, columns); NaN in a cell without trials.

        flags: (trials,).
        """
        counts = np.bincount(self._of_trials[flags], minlength=self.size).reshape(self.shape)
        with np.errstate(invalid="ignore"):
            return np.asarray(counts / self.trials)

    def first(self) -> tuple[Integers, Integers]:
        """Return the cells that have trials, and the position of the first trial of each."""
        if self._have_one:
            return self._of_trials, np.arange(len(self._of_trials))
        return np.unique(self._of_trials, return_index=True)

    def best(self, values: Floats, *, lower: bool) -> tuple[Integers, Integers]:
        """Return the cells that have a value, and the position of the best trial of each, of equal ones the first.

        values: (trials,), NaN where there is none. lower: whether a lower value is better.
        """
        there = np.flatnonzero(~np.isnan(values))
        if not self._have_one:
            there = there[np.argsort(values[there] if lower else -values[there], kind="stable")]
            _, firsts = np.unique(self._of_trials[there], return_index=True)
            there = there[firsts]
        return self._of_trials[there], there
