"""An axis: the values that a sweep gives to one hyperparameter. Its length is known before its values are computed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from experiments.axis_names import called, equivalent
from experiments.errors import did_you_mean

_CLOSE = 1e-6  # distance of two neighbours, as a share of the larger one
CONTINUOUS = ("uniform", "loguniform")
"""The forms of an axis that has no list of values: a search draws them."""

_FORMS = (
    "a list, {values: [...]}, {range: ...}, {linspace: [a, b], points: n} or {logspace: [a, b], points: n}, in a "
    "search also {uniform: [a, b]} or {loguniform: [a, b]}"
)
FORMS = ("values", "range", "linspace", "logspace", *CONTINUOUS)
"""The keys that give an axis its values."""

BESIDE = ("points", "with")
"""The keys that may stand beside some of them."""

_EXTRA = {"linspace": ("points", "with"), "logspace": ("points", "with")}
"""Form of an axis -> the keys that may stand beside it."""


@dataclass(frozen=True)
class LazyAxis:
    """The values of one hyperparameter.

    length: number of values.
    make: computes the values.
    """

    length: int
    make: Callable[[], Sequence[Any]]


@dataclass(frozen=True)
class Interval(Sequence[float]):
    """The values between two ends, of which a search draws some. As a sequence it is the two ends.

    low, high: the ends.
    form: `uniform` or `loguniform`: even in the value or in its logarithm.
    """

    low: float
    high: float
    form: str

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return (self.low, self.high)[index]

    def __str__(self) -> str:
        return f"{self.form} {self.low} to {self.high}"


def parse_axis(raw: Any) -> LazyAxis | Interval:
    """Return the axis that a form of the sweep file describes. A plain value is an axis of one value.

    Raises ValueError for a form that is unknown or has wrong numbers.
    """
    if isinstance(raw, list):
        return _checked(LazyAxis(len(raw), lambda: raw))
    if isinstance(raw, str) and (hint := equivalent(called(raw), parse_axis)):
        raise ValueError(f"{raw} is not a form of an axis; {hint}")
    if not isinstance(raw, dict):
        return _checked(LazyAxis(0 if raw is None else 1, lambda: [raw]))
    form = next((name for name in FORMS if name in raw), None)
    extra = set(map(str, raw)) - {form, *BESIDE} if form else set()
    if form is None or extra:
        hint = equivalent(raw, parse_axis) or f"write {_FORMS}{did_you_mean(next(map(str, raw), ''), FORMS)}"
        raise ValueError(f"{', '.join(map(str, raw)) or '{}'} is not a form of an axis; {hint}")
    if ("points" in raw) != form.endswith("space"):
        raise ValueError(f"{form} {'needs' if form.endswith('space') else 'takes no'} points; write {_FORMS}")
    if "with" in raw and "with" not in _EXTRA.get(form, ()):
        raise ValueError(f"{form} takes no with, which gives logspace and linspace more values")
    if form in CONTINUOUS:
        return _interval(raw[form], form)
    axis = _PARSERS[form](raw)
    return _checked(_with_more(axis, raw["with"]) if "with" in raw else axis)


def _with_more(axis: LazyAxis, more: Any) -> LazyAxis:
    """Return the axis with the values of `with` before its own."""
    if not isinstance(more, list):
        raise ValueError(f"with should be a list of values, not {more!r}")
    return LazyAxis(len(more) + axis.length, lambda: [*more, *axis.make()])


def takes(form: str, key: str) -> bool:
    """Return whether a key such as `points` may stand beside a form of an axis."""
    return key in _EXTRA.get(form, ())


def _interval(ends: Any, form: str) -> Interval:
    """Return the interval between two ends. They keep their type: whole numbers are for whole hyperparameters."""
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(_is_finite, ends)):
        raise ValueError(f"{form} should be [least, greatest], two finite numbers, not {ends!r}")
    if ends[0] >= ends[1]:
        raise ValueError(f"{form} should be [least, greatest], and {ends[0]} is not less than {ends[1]}")
    if form == "loguniform" and ends[0] <= 0:
        raise ValueError(f"loguniform needs two numbers above 0, not {ends!r}")
    low, high = ends
    return Interval(low, high, form)


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
    values = range(span.start, span.start + 1) if length == 1 else span  # a step that leads nowhere may be any number
    return LazyAxis(length, lambda: values)


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
    return LazyAxis(points, lambda: rounded(np.linspace(first, last, points).tolist()))


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
        return rounded(values)
    with localcontext() as context:
        context.prec = 40
        low = Decimal(first).ln()
        step = (Decimal(last).ln() - low) / (points - 1)
        return [first, *(float((low + k * step).exp()) for k in range(1, points - 1)), last]


def rounded(values: Sequence[float]) -> list[float]:
    """Round to ten significant digits unless neighbours are close: easy to read, and the same on every machine."""
    return list(values) if _are_close(values) else [float(f"{value:.10g}") for value in values]


def _are_close(values: Sequence[float]) -> bool:
    """Return whether rounding to ten digits could move a value by a thousandth of its distance to the next."""
    sizes, distances = np.abs(values), np.abs(np.diff(values))
    return bool(((distances > 0) & (distances < _CLOSE * np.maximum(sizes[1:], sizes[:-1]))).any())


_PARSERS: dict[str, Callable[[dict[str, Any]], LazyAxis]] = {
    "values": _values,
    "range": _range,
    "linspace": _linspace,
    "logspace": _logspace,
}
