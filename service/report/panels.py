"""Curves in frames of one scale, for whatever draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats

_DEEPEST = 1e-20  # of the greatest value, where the scale ends below
_EXPLODED = 1e6  # of the greatest first value, where it ends above


@dataclass(frozen=True)
class Line:
    """A curve of a panel, and the quartiles about it where there are any."""

    label: str
    place: int
    middle: Floats
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True)
class Panel:
    """Curves over steps in one frame."""

    title: str
    steps: tuple[int, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Scale:
    """From where to where the values of panels go, and how."""

    low: float
    high: float
    logarithmic: bool

    def shown(self, values: Floats) -> Floats:
        """The values as they can be drawn: on a logarithmic scale 0 is on the floor."""
        return np.maximum(values, self.low) if self.logarithmic else values


def scale_of(panels: Sequence[Panel]) -> Scale:
    """One scale for all: logarithmic where nothing is negative and the values reach over more than a power of ten.

    What has exploded, to more than a million times what it began with, leaves the frame.
    """
    lines = [line for panel in panels for line in panel.lines]
    parts = [part for line in lines for part in (line.low, line.middle, line.high) if part is not None]
    values = _finite(np.concatenate(parts))
    if not values.size:
        return Scale(0.0, 1.0, False)
    begun = _finite(np.array([line.middle[0] for line in lines]))
    low, high = float(values.min()), float(values.max())
    if begun.size and begun.max() > 0:
        high = min(high, _EXPLODED * float(begun.max()))
    above = values[values > 0]
    least = max(float(above.min()), _DEEPEST * high) if above.size else 0.0
    if low >= 0 and least and high > 10 * least:
        margin = (high / least) ** 0.05
        return Scale(least / margin, high * margin, True)
    margin = 0.05 * (high - low) or 0.5
    return Scale(low - margin, high + margin, False)


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]
