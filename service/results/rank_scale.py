"""A scale of colours on which each value stands at its rank, so that every colour is used for as many cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats

_DIGITS = 3  # significant: values that are closer together are equal, or a flat region would show its rounding errors


@dataclass(frozen=True)
class RankScale:
    """The ranks of some values.

    values: (distinct values,) ascending, to three significant digits.
    heights: (distinct values,) the middle of the ranks of the values that are equal to it, from 0 at the least to 1 at
        the greatest.
    low, high: the least and the greatest value.
    """

    values: Floats
    heights: Floats
    low: float
    high: float

    def fractions(self, values: Floats) -> Floats:
        """Return the values' positions on the scale, from 0 to 1; NaN for NaN."""
        return np.asarray(np.interp(_rounded(values), self.values, self.heights))

    def spread(self, count: int) -> dict[float, float]:
        """Return at most `count` values that stand far apart on the scale, by their positions from 0 to 1."""
        places = np.abs(self.heights - np.linspace(0.0, 1.0, count)[:, None]).argmin(axis=1)
        return {float(self.heights[place]): float(self.values[place]) for place in np.unique(places)}


def rank_scale(values: Floats) -> RankScale | None:
    """Return the scale of the finite values, of any shape, to three significant digits; None if there is none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    distinct, counts = np.unique(_rounded(finite), return_counts=True)
    middles = np.cumsum(counts) - counts / 2
    heights = (middles - middles[0]) / max(middles[-1] - middles[0], 1.0)
    return RankScale(distinct, heights, float(finite.min()), float(finite.max()))


def _rounded(values: Floats) -> Floats:
    with np.errstate(all="ignore"):
        exponents = np.floor(np.log10(np.abs(values))) - (_DIGITS - 1)
        unit = 10.0 ** np.clip(np.nan_to_num(exponents, nan=0.0, neginf=-300.0, posinf=0.0), -300.0, 300.0)
        return np.asarray(np.round(values / unit) * unit)
