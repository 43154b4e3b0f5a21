"""An axis: the values that one hyperparameter takes, known by their number before any of them is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_TRIALS = 10_000_000
"""A sweep's trials at most."""

_FORMS = "a list, {values: [...]}, {range: ...}, {linspace: [a, b], points: n} or {logspace: [a, b], points: n}"


@dataclass(frozen=True)
class Axis:
    """`make` gives the values; `length` is how many there will be."""

    length: int
    make: Callable[[], Sequence[Any]]


def parse_axis(raw: Any) -> Axis:
    """Read an axis form. A plain value is an axis of one. Raises ValueError saying what is wrong."""
    if isinstance(raw, list):
        return _checked(Axis(len(raw), lambda: raw))
    if not isinstance(raw, dict):
        return Axis(1, lambda: [raw])
    form = next((name for name in _PARSERS if name in raw), None)
    extra = sorted(set(map(str, raw)) - {form, "points"}) if form else []
    if form is None or extra:
        raise ValueError(f"{', '.join(map(str, raw)) or '{}'} makes no axis; an axis is {_FORMS}")
    if ("points" in raw) != form.endswith("space"):
        raise ValueError(f"{form} goes {'with' if form.endswith('space') else 'without'} points; an axis is {_FORMS}")
    return _checked(_PARSERS[form](raw))


def _checked(axis: Axis) -> Axis:
    if axis.length == 0:
        raise ValueError("has no values; give at least one, or leave the axis out")
    return axis


def _values(raw: dict[str, Any]) -> Axis:
    if not isinstance(raw["values"], list):
        raise ValueError(f"values is a list, not {raw['values']!r}")
    values: list[Any] = raw["values"]
    return Axis(len(values), lambda: values)


def _range(raw: dict[str, Any]) -> Axis:
    given = raw["range"] if isinstance(raw["range"], list) else [raw["range"]]
    if not 1 <= len(given) <= 3 or not all(isinstance(n, int) and not isinstance(n, bool) for n in given):
        raise ValueError(
            f"range is a count, [start, stop] or [start, stop, step] in whole numbers, not {raw['range']!r}"
        )
    if len(given) == 3 and given[2] == 0:
        raise ValueError("range has a step of 0")
    span = range(*given)
    # a range can be longer than what len() may return
    length = max(0, -(-(span.stop - span.start) // span.step))
    return Axis(length, lambda: span)


def _ends(raw: dict[str, Any], form: str) -> tuple[float, float, int]:
    ends, points = raw[form], raw["points"]
    numbers = isinstance(ends, list) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in ends)
    if not numbers or len(ends) != 2 or not np.isfinite(ends).all():
        raise ValueError(f"{form} is [first, last] in numbers, not {ends!r}")
    if not isinstance(points, int) or isinstance(points, bool) or points < 0:
        raise ValueError(f"points is how many values there are, a whole number, not {points!r}")
    return float(ends[0]), float(ends[1]), points


def _linspace(raw: dict[str, Any]) -> Axis:
    first, last, points = _ends(raw, "linspace")
    return Axis(points, lambda: _rounded(np.linspace(first, last, points)))


def _logspace(raw: dict[str, Any]) -> Axis:
    first, last, points = _ends(raw, "logspace")
    if first <= 0 or last <= 0:
        raise ValueError(f"logspace runs between numbers above 0, not {raw['logspace']!r}")
    return Axis(points, lambda: _rounded(np.geomspace(first, last, points)))


def _rounded(values: Any) -> list[float]:
    """To ten significant digits: the same on every machine, and fit to be read."""
    return [float(f"{value:.10g}") for value in values]


_PARSERS: dict[str, Callable[[dict[str, Any]], Axis]] = {
    "values": _values,
    "range": _range,
    "linspace": _linspace,
    "logspace": _logspace,
}
