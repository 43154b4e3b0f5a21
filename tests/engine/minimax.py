"""The compiled kernel's polynomials: the function that each approximates, and the best polynomial of its length.

    python tests/engine/minimax.py

prints coefficients for `engine/kernels/vector_math/`. They are found by Remez's exchange (Muller,
Elementary Functions, 2016, section 3.6) in arbitrary precision, and rounded to doubles at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath as mp

_DIGITS = 50
_EXCHANGES = 30
_LEVEL = 1.01
"""The largest error by the smallest of the extrema, at which an exchange has converged."""
_GRID = 40
"""Points for each coefficient between which an extremum is sought."""

Real = Any
"""A number of mpmath, which has no types."""


@dataclass(frozen=True)
class Fit:
    """A polynomial of so many coefficients for `function` on [low, high], where errors count `weight` times.

    With these weights an error is relative to the result that the polynomial is a part of.
    """

    function: Callable[[Real], Real]
    low: Real
    high: Real
    weight: Callable[[Real], Real]
    coefficients: int

    def error(self, coefficients: Sequence[Real], x: Real) -> Real:
        """Return the weighted error of a polynomial at x."""
        total = mp.mpf(0)
        for coefficient in reversed(coefficients):
            total = total * x + coefficient
        return self.weight(x) * (total - self.function(x))

    def grid(self) -> list[Real]:
        """Return points dense enough to see every extremum, densest at the ends."""
        count = _GRID * (self.coefficients + 1)
        return [self.low + (self.high - self.low) * (1 - mp.cos(mp.pi * k / count)) / 2 for k in range(count + 1)]


def best(fit: Fit) -> tuple[list[Real], Real]:
    """Return the coefficients whose largest weighted error is least, and that error."""
    with mp.workdps(_DIGITS):
        return _exchange(fit)


def _exchange(fit: Fit) -> tuple[list[Real], Real]:
    grid = fit.grid()
    count = fit.coefficients + 1
    points = [grid[round(k * (len(grid) - 1) / (count - 1))] for k in range(count)]
    for _ in range(_EXCHANGES):
        coefficients = _levelled(fit, points)
        errors = [fit.error(coefficients, x) for x in grid]
        peaks = _alternating(errors, count)
        points = [grid[k] for k in peaks]
        sizes = [abs(errors[k]) for k in peaks]
        if max(sizes) <= _LEVEL * min(sizes):
            return coefficients, max(sizes)
    raise ArithmeticError("the exchange does not converge")


def _levelled(fit: Fit, points: Sequence[Real]) -> list[Real]:
    """Return the polynomial whose errors at the points have one size and alternating signs."""
    count = len(points)
    matrix, values = mp.matrix(count, count), mp.matrix(count, 1)
    for row, x in enumerate(points):
        for k in range(count - 1):
            matrix[row, k] = x**k
        matrix[row, count - 1] = (-1) ** row / fit.weight(x)
        values[row] = fit.function(x)
    solution = mp.lu_solve(matrix, values)
    return [solution[k] for k in range(count - 1)]


def _alternating(errors: Sequence[Real], count: int) -> list[int]:
    """Return the places of the largest errors between two changes of sign, `count` of them in a row."""
    peaks: list[int] = []
    for place, error in enumerate(errors):
        if peaks and errors[peaks[-1]] * error > 0:
            if abs(error) > abs(errors[peaks[-1]]):
                peaks[-1] = place
        else:
            peaks.append(place)
    while len(peaks) > count:
        peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
    if len(peaks) < count:
        raise ArithmeticError(f"{len(peaks)} extrema where {count} are needed")
    return peaks


# ----------------------------------------------------------------------------------------------------- what they are of


def _expm1(r: Real) -> Real:
    return (mp.expm1(r) - r) / r**2 if abs(r) > 1e-15 else mp.mpf(1) / 2 + r / 6


def _log(z: Real) -> Real:
    s = mp.sqrt(z)
    return (mp.log((1 + s) / (1 - s)) - 2 * s) / s**3


def _log_tail(z: Real) -> Real:
    return (_log(z) - mp.mpf(2) / 3) / z


def _erf(z: Real) -> Real:
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z)


def _erfc_argument(t: Real) -> Real:
    return 3 * (1 + t) / (1 - t)


def _erfc(t: Real) -> Real:
    x = _erfc_argument(t)
    return mp.exp(x**2) * mp.erfc(x)


def _sin(z: Real) -> Real:
    return (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z


def _cos(z: Real) -> Real:
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


with mp.workdps(_DIGITS):
    _ALMOST_ZERO = mp.mpf("1e-9")
    _HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.0002")
    _LARGEST_S = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    _LARGEST_Z = _LARGEST_S**2 * mp.mpf("1.0005")
    _EIGHTH_TURN = (mp.pi / 4) ** 2 * mp.mpf("1.001")
    _THIRD = mp.mpf(1) / 3

FITS = {
    "_EXPM1": Fit(_expm1, -_HALF_LN2, _HALF_LN2, lambda r: abs(r) + mp.mpf("1e-3"), 10),
    "_EXPM1_OF_FLOATS": Fit(_expm1, -_HALF_LN2, _HALF_LN2, lambda r: abs(r) + mp.mpf("1e-3"), 6),
    "_LOG": Fit(_log, _ALMOST_ZERO, _LARGEST_Z, lambda z: z / 2, 7),
    "_LOG_TAIL": Fit(_log_tail, _ALMOST_ZERO, _LARGEST_Z, lambda z: z * mp.mpf("1.5"), 8),
    "_ERF": Fit(_erf, _ALMOST_ZERO, mp.mpf(1), lambda z: 1 / _erf(z), 12),
    "_ERFC": Fit(_erfc, mp.mpf(-1) / 2, _THIRD, lambda t: mp.exp(-(_erfc_argument(t) ** 2)), 12),
    "_SIN": Fit(_sin, _ALMOST_ZERO, _EIGHTH_TURN, lambda z: z, 6),
    "_COS": Fit(_cos, _ALMOST_ZERO, _EIGHTH_TURN, lambda z: z**2, 6),
}
"""By the names that their coefficients have in the engine."""


if __name__ == "__main__":
    for name, fit in FITS.items():
        coefficients, error = best(fit)
        print(f"{name}: off by {mp.nstr(error * 2**53, 3)} of 2^-53 at most")
        print("    " + ", ".join(f'"{float(c).hex()}"' for c in coefficients))
