"""Windows of a sweep's axes, down to the resolution of floating point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from experiments.axis import LazyAxis, parse_axis
from experiments.errors import UserError
from experiments.window import range_of, with_ranges


def _values(form: dict[str, Any]) -> Sequence[float]:
    axis = parse_axis(form)
    assert isinstance(axis, LazyAxis)
    return axis.make()


def test_a_zoomed_range_has_its_centre_in_the_middle() -> None:
    rates = range_of("learning_rate", [0.001, 1.0, 1000.0], logarithmic=True).zoomed(5.0, 3.0, 9)
    assert rates.last / rates.first == pytest.approx(100.0)
    assert (rates.first * rates.last) ** 0.5 == pytest.approx(5.0)
    assert rates.form == {"logspace": [rates.first, rates.last], "points": 9}
    shifts = range_of("init_shift", [-1.0, 0.0, 3.0], logarithmic=False).zoomed(0.5, 4.0)
    assert shifts.form == {"linspace": [0.0, 1.0], "points": 3}


def test_forty_zooms_still_have_values_that_differ_evenly() -> None:
    window = range_of("learning_rate", np.geomspace(0.001, 1e6, 64).tolist(), logarithmic=True)
    for _ in range(40):
        window = window.zoomed(3.7, 2.0)
    values = _values(window.form)
    assert len(set(values)) == 64
    assert (values[0], values[-1]) == (window.first, window.last)
    steps = np.diff(values)
    assert steps.min() / steps.max() > 0.9  # of some thousand units in the last place
    with pytest.raises(UserError, match=r"64 values of learning_rate between 3\.7.* are too close"):
        window.zoomed(3.7, 1e6)


def test_close_values_are_rounded_correctly() -> None:
    mp.prec = 300
    first, last = 3.7, 3.7000001
    values = _values({"logspace": [first, last], "points": 33})
    low, step = mp.log(mpf(first)), (mp.log(mpf(last)) - mp.log(mpf(first))) / 32
    assert values[1:-1] == [float(mp.exp(low + k * step)) for k in range(1, 32)]


def test_other_values_are_rounded_to_ten_digits_as_before() -> None:
    assert _values({"logspace": [0.001, 1.0], "points": 4}) == [0.001, 0.01, 0.1, 1.0]
    assert _values({"linspace": [0.0, 0.3], "points": 4}) == [0.0, 0.1, 0.2, 0.3]
    assert _values({"logspace": [1.0, 2.0], "points": 1}) == [1.0]
    assert all(float(f"{v:.10g}") == v for v in _values({"logspace": [0.001, 1e6], "points": 4096}))


def test_the_text_of_a_range_tells_its_ends_apart() -> None:
    window = range_of("learning_rate", [0.001, 1e6], logarithmic=True)
    assert window.ends == "from 0.001 to 1e+06"
    for _ in range(40):
        window = window.zoomed(68.78, 2.0)
        low, high = window.ends.removeprefix("from ").split(" to ")
        assert float(high) - float(low) == pytest.approx(window.last - window.first, rel=0.01)
    assert window.ends.startswith("from 68.779999999")


@pytest.mark.parametrize("centre", [-1.0, 0.05, 1.1, float("nan")])
def test_the_centre_is_inside_the_range(centre: float) -> None:
    with pytest.raises(UserError, match=r"learning_rate goes from 0\.1 to 1\.0 here, so .* is outside of the map"):
        range_of("learning_rate", [0.1, 1.0], logarithmic=True).zoomed(centre, 2.0)


def test_a_spec_keeps_all_but_its_ranges() -> None:
    data = {"name": "a", "grid": {"seed": [1, 2], "learning_rate": [0.1, 1.0]}, "steps": 3}
    window = range_of("learning_rate", [0.1, 1.0], logarithmic=True).zoomed(0.5, 2.0, 5)
    changed = with_ranges(data, [window], "closer")
    assert changed["grid"] == {"seed": [1, 2], "learning_rate": window.form}
    assert (changed["steps"], changed["description"]) == (3, "closer")
    assert "description" not in data
