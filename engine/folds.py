"""Sums and maxima of several scalars, in a fixed order: one after another, from the first to the last.

The order decides the last bits of a sum, so every sum of the engine is written with `total`.

>>> total([1.0, 2.0, 3.0]), greatest([1.0, 3.0, 2.0])
(6.0, 3.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

from engine.operations import Scalar, maximum


def total(terms: Sequence[Scalar]) -> Any:
    """Return the sum of at least one scalar."""
    return reduce(add, terms)


def greatest(scalars: Sequence[Scalar]) -> Any:
    """Return the maximum of at least one scalar."""
    return reduce(maximum, scalars)
