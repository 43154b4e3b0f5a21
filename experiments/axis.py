"""An axis: the values that a sweep gives to one hyperparameter. Its length is known before its values are computed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

MAX_TRIALS = 10_000_000
"""Largest number of trials in one sweep."""

_CLOSE = 1e-6  # distance of two neighbours, as a share of the larger one

_FORMS = "a list, {values: [...]}, {range: ...}, {linspace: [a, b], points: n} or {logspace: [a, b], points: n}"


@dataclass(frozen=True)
class LazyAxis:
    """The values of one hyperparameter.

    length: number of values.
    make: computes the values.
    """

    length: int
    make: Callable[[], Sequence[Any]]


def parse_axis(raw: Any) -> LazyAxis:
    """Return the axis that a form of the sweep file describes. A plain value is an axis of one value.

    Raises ValueError for a form that is unknown or has wrong numbers.
    """
    if isinstance(raw, list):
        return _checked(LazyAxis(len(raw), lambda: raw))
    if not isinstance(raw, dict):
        return LazyAxis(1, lambda: [raw])
    form = next((name for name in _PARSERS if name in raw), None)
    extra = sorted(set(map(str, raw)) - {form, "points"}) if form else []
    if form is None or extra:
        raise ValueError(f"{', '.join(map(str, raw)) or '{}'} is not a form of an axis; write {_FORMS}")
    if ("points" in raw) != form.endswith("space"):
        raise ValueError(f"{form} {'needs' if form.endswith('space') else 'takes no'} points; write {_FORMS}")
    return _checked(_PARSERS[form](raw))


def _checked(axis: LazyAxis) -> LazyAxis:
    if axis.length == 0:
        raise ValueError("has no values; give at least one, or leave the axis out")
    return axis


def _values(raw: dict[str, Any]) -> LazyAxis:
    if not isinstance(raw["values"], list):
        raise ValueError(f"values should be a list, not {raw['values']!r}")
    values: list[Any] = raw["values"]
    return LazyAxis(len(values), lambda: values)


def _range(raw: dict[str, Any]) -> LazyAxis:
    numbers = raw["range"] if isinstance(raw["range"], list) else [raw["range"]]
    if not 1 <= len(numbers) <= 3 or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        raise ValueError(
            f"range should be a count, [start, stop] or [start, stop, step] in whole numbers, not {raw['range']!r}"
        )
    if len(numbers) == 3 and numbers[2] == 0:
        raise ValueError("range has a step of 0; write another step")
    span = range(*numbers)
    # len() fails for a range of more than 2**63 - 1 values
    length = max(0, -(-(span.stop - span.start) // span.step))
    return LazyAxis(length, lambda: span)


def _ends(raw: dict[str, Any], form: str) -> tuple[float, float, int]:
    ends, points = raw[form], raw["points"]
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(_is_finite, ends)):
        raise ValueError(f"{form} should be [first, last], two finite numbers, not {ends!r}")
    if not isinstance(points, int) or isinstance(points, bool) or points < 0:
        raise ValueError(f"points should be the number of values, a whole number, not {points!r}")
    return float(ends[0]), float(ends[1]), points


def _is_finite(value: Any) -> bool:
    """Return whether a value is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return bool(abs(value) <= sys.float_info.max)


def _linspace(raw: dict[str, Any]) -> LazyAxis:
    first, last, points = _ends(raw, "linspace")
    return LazyAxis(points, lambda: _rounded(np.linspace(first, last, points).tolist()))


def _logspace(raw: dict[str, Any]) -> LazyAxis:
    first, last, points = _ends(raw, "logspace")
    if first <= 0 or last <= 0:
        raise ValueError(f"logspace needs two numbers above 0, not {raw['logspace']!r}")
    return LazyAxis(points, lambda: _spaced_by_factors(first, last, points))


def _spaced_by_factors(first: float, last: float, points: int) -> list[float]:
    """Return values that are evenly spaced in the logarithm. Values that are close are computed with 40 digits.

    NumPy's logarithm differs between machines in the last digits, and these are not rounded away if values are close.
    """
    values = np.geomspace(first, last, points).tolist()
    if not _are_close(values):
        return _rounded(values)
    with localcontext() as context:
        context.prec = 40
        low = Decimal(first).ln()
        step = (Decimal(last).ln() - low) / (points - 1)
        return [first, *(float((low + k * step).exp()) for k in range(1, points - 1)), last]


def _rounded(values: list[float]) -> list[float]:
    """Round to ten significant digits unless the values are close: they are easy to read, and the same everywhere."""
    return values if _are_close(values) else [float(f"{value:.10g}") for value in values]


def _are_close(values: list[float]) -> bool:
    """Return whether rounding to ten digits could move a value by a thousandth of its distance to the next."""
    sizes = np.abs(values)
    return bool((np.abs(np.diff(values)) < _CLOSE * np.maximum(sizes[1:], sizes[:-1])).any())


_PARSERS: dict[str, Callable[[dict[str, Any]], LazyAxis]] = {
    "values": _values,
    "range": _range,
    "linspace": _linspace,
    "logspace": _logspace,
}
