"""Optimisers: rules that turn a weight and its gradient into the next weight, with PyTorch's semantics and names.

A rule is written in the table's operations for one weight, so it is traced into the program like the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.operations import Scalar, div, sqrt
from engine.parameter import Parameter

Columns = Mapping[str, Scalar]
Update = Callable[[Scalar, Scalar, Columns, Columns, Columns], tuple[Scalar, dict[str, Scalar]]]
"""(weight, gradient, the weight's slots, the trial's slots after this step, hyperparameters) -> (weight, slots)."""


@dataclass(frozen=True)
class Optimizer:
    """A rule and what it remembers.

    `hyperparameters`: names and default values. `slots`: what is kept for each weight, zero at first.
    `shared`: what is kept once a trial, by first value; `advance` moves it on at the beginning of a step.
    """

    name: str
    hyperparameters: Mapping[str, float]
    update: Update
    slots: tuple[str, ...] = ()
    shared: Mapping[str, float] = field(default_factory=dict)
    advance: Callable[[Columns, Columns], dict[str, Scalar]] = lambda shared, columns: {}


def _sgd(w: Scalar, g: Scalar, slots: Columns, shared: Columns, h: Columns) -> tuple[Scalar, dict[str, Scalar]]:
    return w - g * h["learning_rate"], {}


def _momentum(w: Scalar, g: Scalar, slots: Columns, shared: Columns, h: Columns) -> tuple[Scalar, dict[str, Scalar]]:
    velocity = h["momentum"] * slots["velocity"] + g
    return w - velocity * h["learning_rate"], {"velocity": velocity}


def _nesterov(w: Scalar, g: Scalar, slots: Columns, shared: Columns, h: Columns) -> tuple[Scalar, dict[str, Scalar]]:
    velocity = h["momentum"] * slots["velocity"] + g
    return w - (g + h["momentum"] * velocity) * h["learning_rate"], {"velocity": velocity}


def _adam(w: Scalar, g: Scalar, slots: Columns, shared: Columns, h: Columns) -> tuple[Scalar, dict[str, Scalar]]:
    first = h["beta1"] * slots["first_moment"] + (1.0 - h["beta1"]) * g
    second = h["beta2"] * slots["second_moment"] + (1.0 - h["beta2"]) * (g * g)
    rate = div(h["learning_rate"], 1.0 - shared["beta1_power"])
    scale = div(sqrt(second), sqrt(1.0 - shared["beta2_power"])) + h["epsilon"]
    return w - rate * div(first, scale), {"first_moment": first, "second_moment": second}


def _adam_advance(shared: Columns, h: Columns) -> dict[str, Scalar]:
    return {
        "beta1_power": shared["beta1_power"] * h["beta1"],
        "beta2_power": shared["beta2_power"] * h["beta2"],
    }


OPTIMIZERS: dict[str, Optimizer] = {
    rule.name: rule
    for rule in (
        Optimizer("sgd", {"learning_rate": 0.01}, _sgd),
        # Sutskever et al., On the importance of initialization and momentum in deep learning, 2013, in PyTorch's form
        Optimizer("momentum", {"learning_rate": 0.01, "momentum": 0.9}, _momentum, slots=("velocity",)),
        Optimizer("nesterov", {"learning_rate": 0.01, "momentum": 0.9}, _nesterov, slots=("velocity",)),
        # Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, algorithm 1
        Optimizer(
            "adam",
            {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
            _adam,
            slots=("first_moment", "second_moment"),
            shared={"beta1_power": 1.0, "beta2_power": 1.0},
            advance=_adam_advance,
        ),
    )
}


def sgd(weights: list[Parameter], lr: float = 0.001) -> list[Parameter]:
    """The notebook's optimiser, by hand: one step of gradient descent on Parameters, in place; returns them."""
    for parameter in weights:
        parameter.value = parameter.value - parameter.grad * lr
    return weights
