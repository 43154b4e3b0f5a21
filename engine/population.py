"""Training a population: trials that share a program, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.batches import Batches, Words
from engine.history import History
from engine.kernels import choose_kernel
from engine.neuron import Floats
from engine.program import Program
from engine.samples import Samples
from engine.training import DTYPES, Integers, Training


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
    batch_size: int | None = None,
    seeds: Words | Integers | None = None,
    dtype: str = "float64",
    kernel: str = "auto",
    horizon: int | None = None,
) -> History:
    """Train every trial of a population and return its History.

    initial: (trials, weights), the weights to start from. columns: hyperparameter -> (trials,), each one that the
    program has as an input. steps: updates, at least 1. points: recorded points a curve, at least 2. gradients: keep
    each weight's gradient at the recorded points. batch_size: samples a step, all when left out; then seeds, (trials,)
    whole numbers from 0, decide on each trial's order of samples. dtype: the numbers trained in, float64 or float32.
    kernel: `compiled`, `reference`, or `auto`, which is the first where the program is not too large for it. horizon:
    the steps that schedules reckon with, where they are more than these.

    A trial's numbers do not depend on which others are trained beside it. One that leaves the finite numbers is frozen
    and marked; the others go on. Raises ValueError where the arguments do not fit the program.
    """
    if steps < 1 or points < 2:
        raise ValueError(f"steps must be at least 1 and points at least 2, not {steps} and {points}")
    if initial.ndim != 2 or initial.shape[1] != program.weight_count:
        raise ValueError(f"initial weights are (trials, {program.weight_count}), not {initial.shape}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {' or '.join(DTYPES)}, not {dtype!r}")
    _check_inputs(program, columns, len(initial), training, test)
    work = Training(
        program,
        initial,
        columns,
        training,
        test,
        recorded_steps(steps, points),
        _batches(batch_size, seeds, len(initial), len(training.features)),
        gradients,
        dtype,
        horizon,
    )
    return choose_kernel(kernel, program)(work)


def _check_inputs(
    program: Program, columns: Mapping[str, Floats], trials: int, training: Samples, test: Samples | None
) -> None:
    for kind, key in program.inputs:
        if kind == "column" and (key not in columns or len(columns[str(key)]) != trials):
            raise ValueError(f"the program needs a column {key!r} of {trials} values")
        for samples in (training, *([test] if test else [])):
            width = {"feature": samples.features.shape[1], "target": samples.targets.shape[1]}.get(kind)
            if width is not None and int(key) >= width:
                raise ValueError(f"the program uses {kind} {key}, but a sample has {width}")
    if test is not None and test.features.shape[1:] != training.features.shape[1:]:
        raise ValueError(f"test samples have {test.features.shape[1]} features, not {training.features.shape[1]}")


def _batches(size: int | None, seeds: Words | Integers | None, trials: int, samples: int) -> Batches | None:
    if size is None:
        return None
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, not {size}")
    if seeds is None or len(seeds) != trials:
        raise ValueError(f"minibatches need seeds, one for each of the {trials} trials, to shuffle the samples by")
    return Batches(size, np.asarray(seeds).astype(np.uint64)) if size < samples else None
