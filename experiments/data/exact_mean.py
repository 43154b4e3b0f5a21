"""The mean with one rounding: it does not depend on the machine."""

from __future__ import annotations

import math

from engine.arrays import Floats


def exact_mean(numbers: Floats) -> float:
    """Return the mean, by an exact sum (fsum); infinite if the sum is too large."""
    try:
        return math.fsum(numbers) / len(numbers)
    except OverflowError:
        return math.inf
