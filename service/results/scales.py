"""Scales of axes and colours, chosen from the trials that neither exploded nor diverged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import Floats
from engine.outcomes import WILD

_FAR_APART = 10.0  # ratio of the ends from which a scale is logarithmic
_FENCE = 1.5  # interquartile ranges (Tukey 1977)
_NARROWEST = 0.02  # least width, as a share of the greatest absolute value; smaller differences are noise
_MANTISSAS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))
_NEARLY_LINEAR = 3.0  # ratio of the ends up to which ticks are evenly spaced
_LARGEST = 1e100  # larger ends can't be drawn


@dataclass(frozen=True)
class Scale:
    """The scale of an axis: its ends, `low` less than `high`, and whether it is logarithmic."""

    low: float
    high: float
    logarithmic: bool

    def fractions(self, values: Floats) -> Floats:
        """Return the values' positions on the scale: 0 at `low`, 1 at `high`; -inf for 0 on a logarithmic scale."""
        with np.errstate(all="ignore"):
            ends = np.log([self.low, self.high]) if self.logarithmic else np.array([self.low, self.high])
            heights = np.log(np.maximum(values, 0.0)) if self.logarithmic else np.asarray(values, dtype=float)
            return np.asarray((heights - ends[0]) / (ends[1] - ends[0]))

    def at(self, fraction: float) -> float:
        """Return the value at a position: `low` at 0, `high` at 1."""
        if self.logarithmic:
            return float(math.exp((1 - fraction) * math.log(self.low) + fraction * math.log(self.high)))
        return (1 - fraction) * self.low + fraction * self.high

    def drawable(self, values: Floats) -> Floats:
        """Return the values, limited to one height of the scale above and below it. NaN stays NaN."""
        return np.clip(values, self.at(-1.0), self.at(2.0))

    def widened(self, margin: float) -> Scale:
        """Return the scale with a margin at both ends. margin: as a share of the scale."""
        return Scale(self.at(-margin), self.at(1 + margin), self.logarithmic)

    def ticks(self, count: int = 6) -> list[float] | None:
        """Return at most `count` round values along a logarithmic scale; None for a linear one."""
        if not self.logarithmic:
            return None
        if self.high < _NEARLY_LINEAR * self.low:
            step = _round_step((self.high - self.low) / count)
            return [k * step for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for mantissas in reversed(_MANTISSAS):
            ticks = [m * 10.0**e for e in range(first, last + 1) for m in mantissas]
            inside = [tick for tick in ticks if self.low <= tick <= self.high]
            if len(inside) <= count:
                break
        stride = math.ceil(len(inside) / count)
        return inside[::stride]


def _round_step(least: float) -> float:
    """Return the smallest number of the form 1, 2 or 5 times a power of ten that is not less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(mantissa * power for mantissa in (1, 2, 5, 10) if mantissa * power >= least)


def scale_of(
    values: Floats, *, logarithmic: bool = True, far_apart: float = _FAR_APART, deepest: float = 1e-12
) -> Scale | None:
    """Return the scale from the least to the greatest finite value; None if there is none.

    values: the values, of any shape.
    logarithmic: whether it may be logarithmic. It is if no value is negative and the positive ones are far apart.
    far_apart: the least ratio of the ends of a logarithmic scale.
    deepest: the least ratio of the lower to the upper end of a logarithmic scale.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = (float(np.clip(end, -_LARGEST, _LARGEST)) for end in (finite.min(), finite.max()))
    positive = finite[finite > 0]
    least = max(float(positive.min()), 1 / _LARGEST, deepest * high) if positive.size else 0.0
    if logarithmic and low >= 0 and least and high >= far_apart * least:
        widen = max(1.0, (1 + _NARROWEST) * least / high) ** 0.5
        return Scale(least / widen, high * widen, True)
    narrowest = _NARROWEST * max(abs(low), abs(high)) or 1.0
    middle, half = (low + high) / 2, max(high - low, narrowest) / 2
    return Scale(low, high, False) if high - low >= narrowest else Scale(middle - half, middle + half, False)


def without_outliers(values: Floats, *, lower_is_better: bool) -> Floats:
    """Return the finite values without outliers at the worse end, by Tukey's fence (Tukey 1977).

    If all values are positive, their logarithms are compared, and values up to ten times the third quartile stay.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return finite
    positive = bool((finite > 0).all())
    heights = np.log(finite) if positive else finite
    heights = heights if lower_is_better else -heights
    first, third = np.quantile(heights, [0.25, 0.75])
    inside = heights <= third + max(_FENCE * (third - first), math.log(_FAR_APART) if positive else 0.0)
    return np.asarray(finite[inside])


def is_calm(outcomes: pd.Series) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return for each trial whether it neither exploded nor diverged. Scales are chosen from such trials."""
    return np.asarray(~outcomes.isin(WILD))
