"""The table of hyperparameters: where each stands in a sweep file, what it may be, and what it is when left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from engine import ACTIVATIONS, DTYPES, INITIALIZERS, KERNELS, LOSSES, OPTIMIZERS, SCHEDULES, Parts
from experiments.errors import nearest

AUTO = "auto"
MAX_STEPS = 10_000_000
MAX_WEIGHTS = 10_000
"""Weights of a network at most: gradgrid is for small ones."""


@dataclass(frozen=True)
class Hyperparameter:
    """`check` returns the value as it is kept, or raises ValueError saying what it must be."""

    name: str
    section: str  # "model", or "" for the top of the file
    check: Callable[[Any], Any]
    description: str
    default: Any = None
    structural: bool = False  # part of the program (or of how long it runs), not a column of the population
    part: str = ""  # the kind of a part that a user may write: activation, loss or initializer

    def checked(self, value: Any, parts: Parts) -> Any:
        """The value as it is kept; one of one's own parts is one too. Raises ValueError."""
        return _choice(self.part, parts.names(self.part))(value) if self.part else self.check(value)


def _number(
    low: float, high: float = math.inf, *, low_open: bool = False, high_open: bool = False
) -> Callable[[Any], float]:
    interval = f"{'above' if low_open else 'at least'} {low:g}"
    if math.isfinite(high):
        interval += f" and {'below' if high_open else 'at most'} {high:g}"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"must be a number, not {value!r}{_plain(value)}")
        too_low = value <= low if low_open else value < low
        too_high = value >= high if high_open else value > high
        if not math.isfinite(value) or too_low or too_high:
            raise ValueError(f"must be a finite number {interval}, not {value!r}")
        return float(value)

    return check


def _plain(value: Any) -> str:
    """How to give what NumPy holds."""
    return "; give it as Python's own numbers: call its .tolist()" if hasattr(value, "tolist") else ""


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, not {value!r}{_plain(value)}")
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}, not {value}")
        return value

    return check


def _choice(kind: str, known: Iterable[str]) -> Callable[[Any], str]:
    names = list(known)

    def check(value: Any) -> str:
        if value not in names:
            raise ValueError(f"no {kind} is called {value!r}{nearest(value, names)}")
        return str(value)

    return check


def _hidden(value: Any) -> tuple[int, ...]:
    layers = value if isinstance(value, (list, tuple)) else None
    if layers is None or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in layers):
        raise ValueError(
            "must be a list of layer widths such as [8, 8] ([] is a single neuron; an axis is a list of such lists), "
            f"not {value!r}"
        )
    return tuple(layers)


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    row.name: row
    for row in (
        Hyperparameter(
            "hidden", "model", _hidden, "widths of the hidden layers; [] is a single neuron", (), structural=True
        ),
        Hyperparameter(
            "activation",
            "model",
            _choice("activation", ACTIVATIONS),
            "of the hidden layers, or of a single neuron",
            structural=True,
            part="activation",
        ),
        Hyperparameter(
            "output",
            "model",
            _choice("activation", ACTIVATIONS),
            "activation of the last layer",
            structural=True,
            part="activation",
        ),
        Hyperparameter(
            "initializer",
            "model",
            _choice("initializer", INITIALIZERS),
            "how weights are drawn",
            "xavier_uniform",
            part="initializer",
        ),
        Hyperparameter("init_scale", "model", _number(0.0, 1e6), "multiplies the initial weights", 1.0),
        Hyperparameter(
            "loss", "", _choice("loss", LOSSES), "what is minimised; by the task", structural=True, part="loss"
        ),
        Hyperparameter("optimizer", "", _choice("optimizer", OPTIMIZERS), "the update rule", "sgd", structural=True),
        Hyperparameter("steps", "", _integer(1, MAX_STEPS), "updates of the weights", 100, structural=True),
        Hyperparameter(
            "batch_size", "", _integer(1, 10**9), "samples an update; all of them when left out", structural=True
        ),
        Hyperparameter(
            "schedule", "", _choice("schedule", SCHEDULES), "of the learning rate", "constant", structural=True
        ),
        Hyperparameter("dtype", "", _choice("dtype", DTYPES), "numbers trained in", "float64", structural=True),
        Hyperparameter(
            "kernel", "", _choice("kernel", (AUTO, *KERNELS)), "what runs the program", AUTO, structural=True
        ),
        Hyperparameter("learning_rate", "", _number(0.0, low_open=True), "step size; by the optimizer when left out"),
        Hyperparameter("momentum", "", _number(0.0, 1.0, high_open=True), "decay of the velocity"),
        Hyperparameter("beta1", "", _number(0.0, 1.0, high_open=True), "decay of the first moment"),
        Hyperparameter("beta2", "", _number(0.0, 1.0, high_open=True), "decay of the second moment"),
        Hyperparameter("alpha", "", _number(0.0, 1.0, high_open=True), "decay of rmsprop's average"),
        Hyperparameter("epsilon", "", _number(0.0, 1.0, low_open=True), "added to the root that is divided by"),
        Hyperparameter("learning_rate_decay", "", _number(0.0), "of adagrad's learning rate"),
        Hyperparameter("initial_accumulator_value", "", _number(0.0), "of adagrad's sum of squares"),
        Hyperparameter("weight_decay", "", _number(0.0), "share of the weights that is taken off"),
        Hyperparameter("clip_value", "", _number(0.0, low_open=True), "greatest size of a number of the gradient"),
        Hyperparameter("clip_norm", "", _number(0.0, low_open=True), "greatest norm of the gradient"),
        Hyperparameter("warmup_steps", "", _number(0.0), "steps in which the learning rate rises to its own"),
        Hyperparameter("step_size", "", _number(0.0, low_open=True), "steps between two falls of schedule step"),
        Hyperparameter("gamma", "", _number(0.0, low_open=True), "factor of a fall of schedule step or exponential"),
        Hyperparameter("eta_min", "", _number(0.0), "learning rate at the end of schedule cosine"),
        Hyperparameter("seed", "", _integer(0, 2**63 - 1), "of the initial weights and the order of minibatches", 0),
    )
}
