"""Sharpness: the largest eigenvalue of the Hessian of the mean loss.

It is computed by Lanczos' method (Golub and Van Loan, Matrix Computations, 4th edition, 2013, section 10.1), without
the Hessian itself: a step multiplies it by a vector, the derivative of the gradient along that vector (Pearlmutter,
Fast Exact Multiplication by the Hessian, 1994). Such a step is traced as if it were one of training, so that the
compiled kernel takes it for many networks at once.

>>> from engine.nn import MLP
>>> points = np.array([[-1.0], [0.5], [2.0]])
>>> def squared(outputs, targets):
...     return (outputs[0] - targets[0]) ** 2
>>> round(float(sharpness(MLP([1, 1]), squared, np.zeros((1, 2)), Samples(points, points))[0]), 4)
4.0
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine import operations as ops
from engine.arrays import Floats
from engine.derivatives import derivatives
from engine.losses import Loss
from engine.operations import Scalar, total
from engine.parameter import Parameter, value_of
from engine.program import Program
from engine.samples import Samples
from engine.tensors import Tensor
from engine.tracing import Model, Trace
from engine.train import train

MOST_WEIGHTS = 5_000
"""Largest number of weights of a network whose sharpness is computed. Its program has some fifteen values for each."""

LANCZOS_STEPS = 32
"""Largest number of steps of Lanczos' method. A step takes about four times as long as one of training."""

_HALVINGS = 100  # of the interval in which an eigenvalue is; more than a number of double precision has bits
_TINY = 1e-300


def sharpness(model: Model, loss: Loss, weights: Floats, samples: Samples) -> Floats:
    """Return the largest eigenvalue of the Hessian of the mean loss at some points, (points,), in double precision.

    model, loss: as in `trace_step`. The model has at most MOST_WEIGHTS weights.
    weights: (points, weights), where to differentiate.
    samples: the data.

    The numbers are the same on every machine. They are exact, up to rounding, for models of at most 32 weights, and
    for others the largest eigenvalue in the space that 32 products with the Hessian span, from a fixed vector. They are
    NaN where a derivative is not finite or above some 1e150, and too small where all are below some 1e-150.

    Raises ValueError for a model with more weights, and TraceError if the model or the loss can't be traced.
    """
    count = weights.shape[1]
    if count > MOST_WEIGHTS:
        raise ValueError(f"sharpness is computed for at most {MOST_WEIGHTS:,} weights, not {count:,}")
    features, targets = samples.features.shape[1], samples.targets.shape[1]
    program = trace_lanczos(model, loss, features=features, targets=targets)
    return sharpness_by(program, weights, samples)


def sharpness_by(program: Program, weights: Floats, samples: Samples) -> Floats:
    """Return the sharpness at some points, (points,), as `sharpness` does. program: from `trace_lanczos`."""
    points, count = weights.shape
    initial = np.concatenate([weights, np.tile(_first_vector(count), (points, 1))], axis=1)
    steps = min(count, LANCZOS_STEPS)
    history = train(program, initial, {}, samples, steps=max(steps - 1, 1), points=max(steps, 2))
    diagonal, beside = (history.curves[name][:, :steps] for name in ("diagonal", "beside"))
    beside = beside[:, : steps - 1]
    with np.errstate(all="ignore"):
        largest = _largest_eigenvalue(diagonal, beside)
    return np.where(np.isfinite(diagonal).all(axis=1) & np.isfinite(beside).all(axis=1), largest, np.nan)


def trace_lanczos(model: Model, loss: Loss, *, features: int, targets: int) -> Program:
    """Return a step of Lanczos' method as a Program, for `sharpness_by`.

    Its weights are those of the model, which stay, and a unit vector v; its state is the vector before and its number
    beside the diagonal. With u = H v - beside * before, the curves are `diagonal`, u . v, and `beside`, the norm of
    u - diagonal * v, which is the direction of the next vector.
    """
    trace, count = Trace(), len(model.parameters())
    vector = [trace.input("weight", count + k) for k in range(count)]
    before = [trace.input("state", k) for k in range(count)]
    with trace.run_model(model, features) as (parameters, outputs):
        error = loss(outputs, [trace.input("target", k) for k in range(targets)])
        slope: Scalar = total([g * v for g, v in zip(derivatives(error, parameters), vector, strict=True)])
        rows = derivatives(slope, parameters) if isinstance(slope, Parameter) else [0.0] * count
        product = [trace.sample_mean(value_of(row)) for row in rows]
        weights = [parameter.value for parameter in parameters]
    last = trace.input("state", count)
    rest = [p - last * b for p, b in zip(product, before, strict=True)]
    diagonal = _dot(rest, vector)
    rest = [r - diagonal * v for r, v in zip(rest, vector, strict=True)]
    beside = ops.sqrt(_dot(rest, rest))
    following = [ops.select(beside, _TINY, 0.0, ops.div(r, beside)) for r in rest]
    return trace.build(
        {
            "loss": [0.0], "diagonal": [diagonal], "beside": [beside], "gradient": [0.0] * (2 * count),
            "weights": [*weights, *following], "state": [*vector, beside],
        },
        (Tensor("weights", (count,)), Tensor("vector", (count,))),
        (0.0,) * (count + 1),
    )  # fmt: skip


def _dot(a: Sequence[Scalar], b: Sequence[Scalar]) -> Scalar:
    return total([x * y for x, y in zip(a, b, strict=True)])


def _first_vector(count: int) -> Floats:
    """Return the unit vector with which the method begins: fixed, and in no special direction."""
    angles = np.arange(1, count + 1) * 0.6180339887498949 % 1.0 - 0.5  # multiples of the golden ratio are spread evenly
    return np.asarray(angles / np.sqrt(np.add.accumulate(angles * angles)[-1]))


def _largest_eigenvalue(diagonal: Floats, beside: Floats) -> Floats:
    """Return the largest eigenvalue of symmetric tridiagonal matrices, (points,), by bisection.

    diagonal: (points, size). beside: (points, size - 1).

    All eigenvalues are less than x if and only if no pivot of the matrix minus x is 0 or more (Golub and Van Loan,
    section 8.4.2).
    """
    padded = np.pad(np.abs(beside), ((0, 0), (1, 1)))
    radius = padded[:, :-1] + padded[:, 1:]  # of Gershgorin's discs
    low, high = (diagonal - radius).min(axis=1), (diagonal + radius).max(axis=1)
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        pivot = diagonal[:, 0] - middle
        is_above = pivot < 0
        for k in range(1, diagonal.shape[1]):
            pivot = np.where(np.abs(pivot) < _TINY, -_TINY, pivot)
            pivot = diagonal[:, k] - middle - beside[:, k - 1] ** 2 / pivot
            is_above &= pivot < 0
        low, high = np.where(is_above, low, middle), np.where(is_above, middle, high)
    return np.asarray(high)
