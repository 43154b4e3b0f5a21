"""Random normal numbers that are the same to the last bit on every machine.

NumPy's generators give the same bits everywhere, and so the same uniform numbers. Its normal numbers differ between
machines, because they call the C library's logarithm. Here, normal numbers are computed from uniform ones with
operations that IEEE 754 rounds in one way only.

>>> numbers = standard_normal(np.random.Generator(np.random.PCG64(1)), (3,))
>>> [number.hex() for number in numbers.tolist()]
['0x1.15354aa2751b2p-6', '0x1.4a184478ce32dp-1', '-0x1.c1eee203b7961p+0']
"""

from __future__ import annotations

import math

import numpy as np

from engine.arrays import Floats

_TERMS = 12
_LN2 = 0.6931471805599453


def standard_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return an array of this shape with random numbers of the standard normal distribution.

    Marsaglia's polar method turns a random point inside the unit circle into two independent normal numbers (Marsaglia
    and Bray, A Convenient Method for Generating Normal Variables, SIAM Review 6, 1964).
    """
    count = math.prod(shape)
    numbers = np.empty(0)
    while len(numbers) < count:
        points = 2.0 * rng.random(size=(count // 2 + 8, 2)) - 1.0
        x, y = points[:, 0], points[:, 1]
        square = x * x + y * y
        inside = (square < 1.0) & (square > 0.0)
        radius_square = square[inside]
        scale = np.sqrt(-2.0 * portable_log(radius_square) / radius_square)
        numbers = np.concatenate([numbers, (points[inside] * scale[:, None]).ravel()])
    return numbers[:count].reshape(shape)


def portable_log(x: Floats) -> Floats:
    """Return the natural logarithm of numbers from above 0 to 1, with a relative error of about 1e-15.

    For x = m 2^k, ln x = k ln 2 + ln m. With s = (m - 1) / (m + 1), ln m is the series 2 (s + s^3/3 + s^5/5 + ...)
    (Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, formula 4.1.27).
    """
    m, k = np.frexp(x)
    low = m < math.sqrt(0.5)
    m, k = np.where(low, 2.0 * m, m), k - low
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    total = np.zeros_like(z)
    for n in range(2 * _TERMS + 1, -1, -2):
        total = total * z + 2.0 / n
    return k * _LN2 + s * total
