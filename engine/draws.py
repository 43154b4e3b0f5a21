"""Random draws that are the same to the last bit on every machine.

NumPy's generators give the same words everywhere, and so the same uniform numbers; but for its normal numbers it asks
the C library for logarithms, and these differ. Here everything after the words is arithmetic that IEEE 754 rounds in
one way.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

_TERMS = 12
_LN2 = 0.6931471805599453


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal numbers by Marsaglia's polar method (Marsaglia and Bray, SIAM Review 6, 1964)."""
    count = math.prod(shape)
    drawn = np.empty(0)
    while len(drawn) < count:
        points = 2.0 * rng.random(size=(count // 2 + 8, 2)) - 1.0
        x, y = points[:, 0], points[:, 1]
        square = x * x + y * y
        inside = (square < 1.0) & (square > 0.0)
        kept = square[inside]
        scale = np.sqrt(-2.0 * _log(kept) / kept)
        drawn = np.concatenate([drawn, (points[inside] * scale[:, None]).ravel()])
    return drawn[:count].reshape(shape)


def _log(x: Floats) -> Floats:
    """The logarithm of numbers from 0 to 1, to about 1e-15: ln m + k ln 2, the first by the series of artanh."""
    m, k = np.frexp(x)
    low = m < math.sqrt(0.5)
    m, k = np.where(low, 2.0 * m, m), k - low
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    total = np.zeros_like(z)
    for n in range(2 * _TERMS + 1, -1, -2):
        total = total * z + 2.0 / n
    return k * _LN2 + s * total
