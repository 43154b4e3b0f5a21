"""Curves of many trials as bands: median and quartiles over all that share a cell of two axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Floats
from service.results.axes import Codes
from service.results.metrics import lower_is_better

_QUARTILES = (0.25, 0.5, 0.75)
_MAX_STEPS = 200


@dataclass(frozen=True)
class Bands:
    """`low`, `middle`, `high`: the quartiles, (values down, values across, steps), of the values that were `chosen`.

    A trial that has diverged counts as infinite from there on where less is better; what is infinite then is NaN here.
    """

    metric: str
    steps: tuple[int, ...]
    down: tuple[int, ...]
    across: tuple[int, ...]
    low: Floats
    middle: Floats
    high: Floats


class Curves:
    """A sweep's curves, made ready to be cut into bands. `points`: as `Store.curves` has them."""

    def __init__(self, points: pd.DataFrame, table: pd.DataFrame) -> None:
        whole = set(table.loc[table["outcome"] != DIVERGED, "number"]) or set(table["number"])
        known = points.loc[points["number"].isin(whole), "step"].unique()
        steps = np.sort(known)
        if len(steps) > _MAX_STEPS:
            steps = steps[np.unique(np.linspace(0, len(steps) - 1, _MAX_STEPS).round().astype(int))]
        self.steps = tuple(int(step) for step in steps)
        numbers = table["number"].to_numpy()
        row = pd.Series(np.arange(len(numbers)), index=numbers).reindex(points["number"]).to_numpy(dtype=float)
        column = pd.Series(np.arange(len(steps)), index=steps).reindex(points["step"]).to_numpy(dtype=float)
        self._known = ~(np.isnan(row) | np.isnan(column))
        self._place = row[self._known].astype(int), column[self._known].astype(int)
        self._points = points
        self._trials = len(table)
        last = table["last_step"].to_numpy()
        diverged = (table["outcome"] == DIVERGED).to_numpy()
        self._lost = diverged[:, None] & (np.array(self.steps)[None, :] > last[:, None])

    @property
    def metrics(self) -> list[str]:
        """What there are curves of."""
        return [str(name) for name in self._points.columns if name not in ("number", "step")]

    def matrix(self, metric: str) -> Floats:
        """(trials, steps) in the order of the table; NaN where there is no point."""
        values = np.full((self._trials, len(self.steps)), np.nan)
        values[self._place] = self._points[metric].to_numpy(dtype=float)[self._known]
        return values

    def bands(self, metric: str, codes: Codes, down: Sequence[int], across: Sequence[int]) -> Bands:
        """The bands of a metric; `codes`: of each trial's cell, down and across; `down`, `across`: which are wanted."""
        values = self.matrix(metric)
        if lower_is_better(metric):
            values[self._lost] = np.inf
        found = np.full((3, len(down), len(across), len(self.steps)), np.nan)
        downs, acrosses = codes
        for i, below in enumerate(down):
            for j, beside in enumerate(across):
                own = values[(downs == below) & (acrosses == beside)]
                if len(own):
                    found[:, i, j] = _quartiles(own)
        return Bands(metric, self.steps, tuple(down), tuple(across), *found)


def _quartiles(values: Floats) -> Floats:
    """(3, steps) of (trials, steps); NaN where the quartile is infinite or nothing is known."""
    with np.errstate(all="ignore"):
        ordered = np.sort(values, axis=0)  # NaN last, after the infinite
        known = np.isfinite(values).sum(axis=0) + np.isinf(values).sum(axis=0)
        found = np.full((3, values.shape[1]), np.nan)
        for k, share in enumerate(_QUARTILES):
            place = share * (np.maximum(known, 1) - 1)
            below, above = np.floor(place).astype(int), np.ceil(place).astype(int)
            columns = np.arange(values.shape[1])
            low, high = ordered[below, columns], ordered[above, columns]
            found[k] = low + (high - low) * (place - below)
            found[k][known == 0] = np.nan
    found[~np.isfinite(found)] = np.nan
    return found
