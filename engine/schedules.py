"""Schedules: what the learning rate is at each step, with PyTorch's semantics and names.

A schedule is written in the table's operations, so it is traced into the program like everything else. Step 0 is the
first update.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.operations import Scalar, cos, div, floor, minimum, power

Columns = Mapping[str, Scalar]
Rate = Callable[[Scalar, Scalar, Columns], Scalar]
"""(step, steps in all, hyperparameters) -> the learning rate of the step."""


@dataclass(frozen=True)
class Schedule:
    """A rule for the learning rate. `hyperparameters`: names and default values, `learning_rate` apart."""

    name: str
    description: str
    rate: Rate
    hyperparameters: Mapping[str, float] = field(default_factory=dict)


def _constant(step: Scalar, steps: Scalar, h: Columns) -> Scalar:
    return h["learning_rate"]


def _step(step: Scalar, steps: Scalar, h: Columns) -> Scalar:
    return h["learning_rate"] * power(h["gamma"], floor(div(step, h["step_size"])))


def _exponential(step: Scalar, steps: Scalar, h: Columns) -> Scalar:
    return h["learning_rate"] * power(h["gamma"], step)


def _cosine(step: Scalar, steps: Scalar, h: Columns) -> Scalar:
    """Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017, equation 5, once."""
    share = 0.5 * (1.0 + cos(math.pi * div(step, steps)))
    return h["eta_min"] + (h["learning_rate"] - h["eta_min"]) * share


def warm(rate: Scalar, step: Scalar, h: Columns) -> Scalar:
    """The rate while it rises in a straight line over the first `warmup_steps` steps (PyTorch's LinearLR)."""
    return rate * minimum(div(step + 1.0, h["warmup_steps"]), 1.0)


def _warmup(step: Scalar, steps: Scalar, h: Columns) -> Scalar:
    return warm(h["learning_rate"], step, h)


SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        Schedule("constant", "the learning rate throughout", _constant),
        Schedule("step", "times gamma every step_size steps", _step, {"step_size": 30.0, "gamma": 0.1}),
        Schedule("exponential", "times gamma every step", _exponential, {"gamma": 0.99}),
        Schedule("cosine", "down to eta_min along half a cosine", _cosine, {"eta_min": 0.0}),
        Schedule("warmup", "up to the learning rate in warmup_steps steps", _warmup, {"warmup_steps": 10.0}),
    )
}
