"""Training a population: trials that share a program, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.history import Floats, History, Integers
from engine.kernels import reference
from engine.program import Program
from engine.samples import Samples


def recorded_steps(steps: int, points: int) -> Integers:
    """`points` steps spread evenly over 0 .. `steps`, both included; fewer where there are fewer steps."""
    return np.unique(np.linspace(0, steps, points).round().astype(np.int64))


def train(
    program: Program,
    initial: Floats,
    columns: Mapping[str, Floats],
    training: Samples,
    test: Samples | None = None,
    *,
    steps: int,
    points: int = 25,
    gradients: bool = False,
) -> History:
    """Train every trial of a population with full batches and return its History.

    initial: (trials, weights), the weights to start from. columns: hyperparameter -> (trials,), each one that the
    program has as an input. steps: updates, at least 1. points: recorded points a curve, at least 2. gradients: keep
    each weight's gradient at the recorded points.

    A trial's numbers do not depend on which others are trained beside it. One that leaves the finite numbers is frozen
    and marked; the others go on. Raises ValueError where the arguments do not fit the program.
    """
    if steps < 1 or points < 2:
        raise ValueError(f"steps must be at least 1 and points at least 2, not {steps} and {points}")
    if initial.ndim != 2 or initial.shape[1] != program.weight_count:
        raise ValueError(f"initial weights are (trials, {program.weight_count}), not {initial.shape}")
    for kind, key in program.inputs:
        if kind == "column" and (key not in columns or len(columns[str(key)]) != len(initial)):
            raise ValueError(f"the program needs a column {key!r} of {len(initial)} values")
    record = recorded_steps(steps, points)
    return reference.train(program, initial, columns, training, test, record, gradients=gradients)
