"""A window of a sweep's axes: the same sweep over a smaller or another range."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.errors import UserError


@dataclass(frozen=True)
class Range:
    """The range of an axis of numbers.

    name: the hyperparameter.
    first, last: its ends.
    points: number of values, both ends included.
    logarithmic: whether the values are evenly spaced in the logarithm.
    """

    name: str
    first: float
    last: float
    points: int
    logarithmic: bool

    @property
    def form(self) -> dict[str, Any]:
        """The axis as a sweep file has it."""
        return {"logspace" if self.logarithmic else "linspace": [self.first, self.last], "points": self.points}

    @property
    def ends(self) -> str:
        """Both ends as text, with enough digits to show how far apart they are."""
        apart = abs(self.last - self.first) / max(abs(self.first), abs(self.last))
        digits = min(17, max(3, math.ceil(-math.log10(apart)) + 4)) if apart else 17
        return f"from {self.first:.{digits}g} to {self.last:.{digits}g}"

    def zoomed(self, centre: float, by: float, points: int | None = None) -> Range:
        """Return the range around `centre` that is `by` times shorter.

        points: its number of values; by default the same.
        Raises UserError if the centre is outside of the range, or the values would be too close for floating point.
        """
        if not self.first <= centre <= self.last:
            raise UserError(
                f"--at: {self.name} goes from {self.first!r} to {self.last!r} here, so {centre!r} is outside of the map"
            )
        count = self.points if points is None else points
        if self.logarithmic:
            half = math.log(self.last / self.first) / (2 * by)
            first, last = centre * math.exp(-half), centre * math.exp(half)
        else:
            half = (self.last - self.first) / (2 * by)
            first, last = centre - half, centre + half
        if not abs(last - first) > 4 * count * math.ulp(max(abs(first), abs(last))):
            raise UserError(
                f"--by: {count} values of {self.name} between {first!r} and {last!r} are too close for floating point; "
                "zoom less"
            )
        return Range(self.name, first, last, count, self.logarithmic)


def range_of(name: str, values: Sequence[float], *, logarithmic: bool) -> Range:
    """Return the range of an axis. values: its values, rising."""
    return Range(name, float(values[0]), float(values[-1]), len(values), logarithmic)


def with_ranges(data: Mapping[str, Any], ranges: Sequence[Range], description: str) -> dict[str, Any]:
    """Return a sweep file's data with other ranges of some axes, and another description."""
    changed = copy.deepcopy(dict(data))
    changed["grid"] = {**changed["grid"], **{window.name: window.form for window in ranges}}
    changed["description"] = description
    return changed
