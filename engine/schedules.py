"""Schedules: the learning rate at each step. Rules and names are PyTorch's.

A schedule is written in operations, so it is traced into the program with everything else. Step 0 is the first update.

>>> SCHEDULES["exponential"].rate(2.0, 10.0, {"learning_rate": 0.5, "gamma": 0.1}) == 0.5 * 0.1**2
True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.operations import Scalar, cos, div, floor, minimum, power

Hyperparameters: TypeAlias = Mapping[str, Scalar]
"""Name -> value, as a scalar of any kind."""
Rate: TypeAlias = Callable[[Scalar, Scalar, Hyperparameters], Scalar]
"""(step, number of all steps, hyperparameters) -> the learning rate of the step."""


@dataclass(frozen=True)
class Schedule:
    """A rule for the learning rate.

    name: its name in a sweep file.
    description: half a sentence for listings.
    rate: the rule.
    hyperparameters: names and default values of its hyperparameters, without `learning_rate`.
    """

    name: str
    description: str
    rate: Rate
    hyperparameters: Mapping[str, float] = field(default_factory=dict)


def _constant(step: Scalar, steps: Scalar, h: Hyperparameters) -> Scalar:
    """Return lr, as PyTorch does without a scheduler."""
    return h["learning_rate"]


def _step(step: Scalar, steps: Scalar, h: Hyperparameters) -> Scalar:
    """Return lr gamma^floor(step / step_size), as PyTorch's StepLR."""
    return h["learning_rate"] * power(h["gamma"], floor(div(step, h["step_size"])))


def _exponential(step: Scalar, steps: Scalar, h: Hyperparameters) -> Scalar:
    """Return lr gamma^step, as PyTorch's ExponentialLR."""
    return h["learning_rate"] * power(h["gamma"], step)


def _cosine(step: Scalar, steps: Scalar, h: Hyperparameters) -> Scalar:
    """Return eta_min + (lr - eta_min) (1 + cos(pi step / steps)) / 2.

    Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017, equation 5, without restarts;
    PyTorch's CosineAnnealingLR with T_max = steps.
    """
    share = 0.5 * (1.0 + cos(math.pi * div(step, steps)))
    return h["eta_min"] + (h["learning_rate"] - h["eta_min"]) * share


def linear_warmup(rate: Scalar, step: Scalar, h: Hyperparameters) -> Scalar:
    """Return rate min((step + 1) / warmup_steps, 1): it rises linearly to its full value.

    Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2 (gradual warmup); PyTorch's LinearLR with
    start_factor = 1 / warmup_steps and total_iters = warmup_steps - 1.
    """
    return rate * minimum(div(step + 1.0, h["warmup_steps"]), 1.0)


def _warmup(step: Scalar, steps: Scalar, h: Hyperparameters) -> Scalar:
    """Return lr with a linear warmup."""
    return linear_warmup(h["learning_rate"], step, h)


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
"""Name -> schedule."""
