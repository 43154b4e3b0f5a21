"""Scales of axes and colours, chosen from the trials that neither exploded nor diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Floats

_FAR_APART = 10.0  # a scale is logarithmic from this ratio of its ends on
_FENCE = 1.5  # interquartile ranges (Tukey 1977)
_NARROWEST = 0.02  # of the greatest size: a smaller difference is drawn as the noise that it is
_MANTISSAS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))
_NEARLY_LINEAR = 3.0  # ratio of the ends up to which ticks are evenly spaced
_LARGEST = 1e100  # ends beyond can't be drawn


@dataclass(frozen=True)
class Scale:
    """The ends of an axis, and whether it is logarithmic. `low` is less than `high`."""

    low: float
    high: float
    logarithmic: bool

    def fractions(self, values: Floats) -> Floats:
        """Heights above the lower end, as shares of the scale: 0 at `low`, 1 at `high`; -inf for 0 on a log scale."""
        with np.errstate(all="ignore"):
            ends = np.log([self.low, self.high]) if self.logarithmic else np.array([self.low, self.high])
            heights = np.log(np.maximum(values, 0.0)) if self.logarithmic else np.asarray(values, dtype=float)
            return np.asarray((heights - ends[0]) / (ends[1] - ends[0]))

    def at(self, fraction: float) -> float:
        """The value at a share of the scale."""
        if self.logarithmic:
            return float(math.exp((1 - fraction) * math.log(self.low) + fraction * math.log(self.high)))
        return (1 - fraction) * self.low + fraction * self.high

    def drawable(self, values: Floats) -> Floats:
        """The values, those far outside moved to one height above or below the scale. NaN stays NaN."""
        return np.clip(values, self.at(-1.0), self.at(2.0))

    def widened(self, margin: float) -> Scale:
        """With room at both ends, as a share of the scale."""
        return Scale(self.at(-margin), self.at(1 + margin), self.logarithmic)

    def ticks(self, count: int = 6) -> list[float] | None:
        """Round values along a logarithmic scale, at most `count`; None for a linear one."""
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
    """The least of 1, 2, 5, 10, ... times a power of ten that is at least this."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(mantissa * power for mantissa in (1, 2, 5, 10) if mantissa * power >= least)


def scale_of(
    values: Floats, *, logarithmic: bool = True, far_apart: float = _FAR_APART, deepest: float = 1e-12
) -> Scale | None:
    """The scale from the least to the greatest value; None if no value is finite.

    It is logarithmic if that is allowed, no value is negative, and the positive ones lie far apart. deepest: the least
    share of the upper end that a logarithmic scale reaches down to.
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
    """The values without the far ones at the worse end, by Tukey's fence. The better end stays as it is.

    Positive values are compared by their logarithms, and those up to ten times the third quartile are not far.
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
    """Which trials neither exploded nor diverged: scales are chosen from their values."""
    return np.asarray(~outcomes.isin(WILD))


WILD: Sequence[str] = ("exploding", DIVERGED)
