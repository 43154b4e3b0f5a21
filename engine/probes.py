"""Probes: try activations and losses on ordinary numbers, before anything trains.

A custom part can be traced and still give NaN or infinity, as log does below 0. Every trial that meets such a number
diverges, so the user should know before.

>>> from engine.operations import log
>>> print(probe_activation(log))
its value at x = -3 is nan (13 of 25 inputs tried have no finite value and derivative)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Floats
from engine.losses import Loss
from engine.nn import Activation
from engine.operations import Scalar
from engine.parameter import Parameter

NUMBERS = np.linspace(-3.0, 3.0, 25)
"""Ordinary numbers: those that a unit computes from standardised features and initial weights. 0 is one of them."""

ADVICE = "give it another value there with select, as in select(x, 0.0, 0.0, sqrt(x))"


@dataclass(frozen=True)
class Probe:
    """The result of trying a function on some inputs.

    tried: number of inputs.
    failed: number of inputs whose value or derivative is not finite.
    first: description of the first of these; empty if there is none.
    """

    tried: int
    failed: int
    first: str

    def __str__(self) -> str:
        return f"{self.first} ({self.failed} of {self.tried} inputs tried have no finite value and derivative)"


def probe_activation(function: Activation, numbers: Floats = NUMBERS) -> Probe:
    """Return the result of trying an activation on each of the numbers."""
    x = Parameter(numbers)
    return _probe(function(x), [x], {"x": numbers})


def probe_loss(function: Loss, predictions: Floats, targets: Floats) -> Probe:
    """Return the result of trying a loss on every sample. Predictions and targets are (samples, outputs)."""
    parameters = [Parameter(column) for column in predictions.T]
    return _probe(function(parameters, list(targets.T)), parameters, {"prediction": predictions, "target": targets})


def loss_samples(outputs: int) -> tuple[Floats, Floats]:
    """Return predictions and targets, each (samples, outputs). Losses of every kind are defined for some of them.

    Predictions are numbers of both signs, and shares above 0 whose sum is below 1. Targets are 0 and 1.
    """
    predictions = np.concatenate([NUMBERS, np.linspace(0.05, 0.95, 10) / outputs])
    columns = np.stack([np.roll(predictions, shift) for shift in range(outputs)], axis=1)
    classes = np.eye(max(outputs, 2))[:, :outputs]
    return np.repeat(columns, len(classes), axis=0), np.tile(classes, (len(columns), 1))


def _probe(result: Scalar, inputs: Sequence[Parameter], shown: Mapping[str, Floats]) -> Probe:
    size = len(next(iter(shown.values())))
    if not isinstance(result, Parameter):
        return Probe(size, 0, "")
    result.backward()
    value = np.broadcast_to(result.value, size)
    slopes = np.stack([np.broadcast_to(parameter.grad, size) for parameter in inputs])
    bad = ~np.isfinite([value, *slopes]).all(axis=0)
    if not bad.any():
        return Probe(size, 0, "")
    first = int(np.argmax(bad))
    place = " and ".join(f"{name} = {_plain(numbers[first])}" for name, numbers in shown.items())
    if not np.isfinite(value[first]):
        return Probe(size, int(bad.sum()), f"its value at {place} is {value[first]:g}")
    slope = next(slope for slope in slopes[:, first] if not np.isfinite(slope))
    return Probe(size, int(bad.sum()), f"its derivative at {place} is {slope:g}")


def _plain(numbers: Any) -> str:
    """Return a number, or the numbers of all outputs, as text."""
    texts = [f"{number:g}" for number in np.atleast_1d(numbers)]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
