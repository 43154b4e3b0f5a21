"""The compiled kernel's functions against arbitrary precision: within 2 ulp of correctly rounded, for every double."""

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from engine.arrays import Floats
from engine.kernels.scalar import compiled_function
from engine.kernels.vector_math import functions, trigonometry
from engine.kernels.vector_math.functions import FUNCTIONS
from tests.engine.minimax import FITS, best

_ENDS = [0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 2.3e-308, 1.0, -1.0, 1.8e308, math.inf, -math.inf, math.nan]
_AWKWARD = {
    "exp": [709.782712893384, 709.7827128933841, -708.4, -745.1, -745.2, 1e-20],
    "expm1": [709.78, -37.5, 1e-20, -1e-17, 0.35, -0.35],
    "log": [0.9999999999999999, 1.0000000000000002, 0.7071067811865475, 0.7071067811865476],
    "log1p": [-0.9999999999999999, 1e-17, -1e-17, 0.41421356237309503, -0.2928932188134524],
    "tanh": [0.1731, 0.1733, 0.2496, 19.06, 20.0, 22.0],
    "sin": [math.pi, 2 * math.pi, 6381956970095103 * 2.0**797, 2.0**20, 1e22, 5.319372648326541e255],
    "cos": [math.pi / 2, 6381956970095103 * 2.0**797, 2.0**20, 1e22, 5.319372648326541e255],
    "erf": [0.9999999999999999, 1.0000000000000002, 5.9, 6.0, 1e-300],
}
_NEAR = {"exp": 745, "expm1": 50, "log": 4, "log1p": 4, "tanh": 20, "sin": 2000, "cos": 2000, "erf": 6.2}


def _exact(name: str, *operands: float) -> float:
    """Return the correctly rounded result, by mpmath with as many digits as it takes; at the ends those of C."""
    xs = [mpmath.mpf(float(x)) for x in operands]
    if any(mpmath.isnan(x) for x in xs):
        return math.nan
    function: Callable[..., Any] = getattr(mpmath, name)
    x = xs[0]
    if mpmath.isinf(x):
        below, above = {"exp": (0.0, math.inf), "expm1": (-1.0, math.inf), "tanh": (-1.0, 1.0), "erf": (-1.0, 1.0)}.get(
            name, (math.nan, math.inf if name.startswith("log") else math.nan)
        )
        return above if x > 0 else below
    if name.startswith("log") and x <= (0 if name == "log" else -1):
        return -math.inf if x == (0 if name == "log" else -1) else math.nan
    with mpmath.workdps(30 + max(0, int(mpmath.log10(abs(x))) if name in ("sin", "cos") and x else 0)):
        result = float(function(x))
        return math.copysign(result, operands[0]) if result == 0 else result


def _distance(a: float, b: float) -> float:
    """Return the number of floats from one to the other; infinite if only one is NaN."""
    if math.isnan(a) or math.isnan(b):
        return 0.0 if math.isnan(a) and math.isnan(b) else math.inf
    ordered: list[int] = [n if n >= 0 else -(n & 0x7FFFFFFFFFFFFFFF) for n in np.array([a, b]).view(np.int64).tolist()]
    return abs(ordered[0] - ordered[1])


def _points(name: str) -> Floats:
    """Return doubles of every size, and those near bends of the function and branches of its code."""
    rng = np.random.default_rng(7)
    anything = rng.integers(0, 2**64, 1500, dtype=np.uint64).view(float)
    sizes = rng.choice([-1.0, 1.0], 700) * np.exp(rng.uniform(-740, 6, 700))
    near = rng.uniform(-_NEAR[name], _NEAR[name], 1500)
    close = rng.uniform(-1.2, 1.2, 1500)
    return np.concatenate([anything, sizes, near, close, _ENDS, _AWKWARD[name]])


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"power"}))
def test_within_two_ulp_of_correctly_rounded(name: str) -> None:
    compute = compiled_function(name, "float64")
    for x in _points(name).tolist():
        got, expected = float(compute(x)), _exact(name, x)
        assert _distance(got, expected) <= 2, f"{name}({x!r}) is {expected!r}, not {got!r}"
        if x == 0 and expected == 0:
            assert math.copysign(1.0, got) == math.copysign(1.0, expected), f"{name}({x!r}) has the wrong sign"


def test_a_power_is_within_two_ulp_of_correctly_rounded() -> None:
    rng = np.random.default_rng(11)
    count = 800
    bases = np.concatenate(
        [
            rng.uniform(0, 10, count),
            np.exp(rng.uniform(-700, 700, count)),
            1.0 + rng.uniform(-1e-3, 1e-3, count),
            -rng.uniform(0, 10, count),
            np.exp(rng.uniform(-744, -708, count)),
        ]
    )
    exponents = np.concatenate(
        [
            rng.uniform(-300, 300, count),
            rng.uniform(-1.1, 1.1, count),
            rng.uniform(-1e5, 1e5, count),
            rng.integers(-60, 60, count).astype(float),
            rng.uniform(-1, 1, count),
        ]
    )
    compute = compiled_function("power", "float64")
    for x, y in zip(bases.tolist(), exponents.tolist(), strict=True):
        with mpmath.workdps(60):
            expected = float(mpmath.re(mpmath.power(mpmath.mpf(x), mpmath.mpf(y))))
        assert _distance(float(compute(x, y)), expected) <= 2, (x, y)


def test_powers_at_the_ends_are_those_of_c() -> None:
    ends = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, math.inf, -math.inf, math.nan]
    ends += [1e300, -1e300, 5e-324, 2.5, -2.5, 2.0**53, -(2.0**53 + 2)]
    compute = compiled_function("power", "float64")
    for x in ends:
        for y in ends:
            with np.errstate(all="ignore"):
                expected = float(np.float_power(x, y))
            got = float(compute(x, y))
            assert _distance(got, expected) <= 2, (x, y, got, expected)
            if not math.isnan(expected):
                assert math.copysign(1.0, got) == math.copysign(1.0, expected), (x, y)


@pytest.mark.parametrize("name", FITS)
def test_polynomials_are_the_best_of_their_length(name: str) -> None:
    module = functions if hasattr(functions, name) else trigonometry
    coefficients, _ = best(FITS[name])
    assert [c.hex() for c in getattr(module, name)] == [float(c).hex() for c in coefficients]


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"power"}))
def test_functions_of_floats_are_within_two_ulp(name: str) -> None:
    compute = compiled_function(name, "float32")
    points = np.concatenate([np.linspace(-5.0, 5.0, 101), [0.0, 1e-45, 88.0, 89.0, -104.0, 1e30, math.inf, math.nan]])
    for x in points.astype(np.float32).tolist():
        with np.errstate(over="ignore"):
            expected = np.float32(_exact(name, x))
        got = np.float32(compute(x))
        both_nan = bool(np.isnan(got) and np.isnan(expected))
        assert both_nan or got == expected or abs(got - expected) <= 2 * np.spacing(abs(expected)), x


def test_fma_is_rounded_once() -> None:
    fma = compiled_function("fma", "float64")
    tiny = 2.0**-30
    assert fma(1.0 + tiny, 1.0 - tiny, -1.0) == -(tiny**2)  # as a product and a sum it is 0
    assert fma(1e308, 10.0, -math.inf) == -math.inf
