"""Mean and standard deviation of columns of numbers, to standardise them with."""

from __future__ import annotations

import numpy as np

from engine.arrays import Flags, Floats
from experiments.data.exact_mean import exact_mean

_ROUNDING = 4 * np.finfo(float).eps
"""Largest spread of a constant column, relative to its largest value: rounding errors are smaller than this."""


def standards(training: Floats) -> tuple[Floats, Floats]:
    """Return center and scale, (columns,), for mean 0 and deviation 1; a constant column becomes 0.

    training: (rows, columns). Numbers too large to standardise give an infinite or undefined center or scale.
    """
    constant = is_constant(training)
    mean = np.array([exact_mean(column) for column in training.T])
    with np.errstate(over="ignore", invalid="ignore"):
        squares = (training - mean) ** 2
    deviation = np.sqrt([exact_mean(column) for column in squares.T])
    equal = (training == training[0]).all(axis=0)
    return np.where(equal, training[0], mean), np.where(constant | (deviation == 0), 1.0, deviation)


def is_constant(training: Floats) -> Flags:
    """Return a mask of the constant columns, (columns,): all values are equal, or differ only by rounding."""
    with np.errstate(over="ignore"):
        spread = training.max(axis=0) - training.min(axis=0)
    constant: Flags = spread <= _ROUNDING * np.abs(training).max(axis=0)
    return constant
