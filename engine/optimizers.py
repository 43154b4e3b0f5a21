"""Optimisers: rules that turn a weight and its gradient into the next weight. Rules and names are PyTorch's.

A rule is written for one weight, in operations, so it is traced into the program like the model. In the formulas, w is
the weight, g its gradient, lr the learning rate, and ' marks values after the step.

>>> OPTIMIZERS["sgd"].update(1.0, 2.0, {}, {}, {"learning_rate": 0.25})
(0.5, {})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.operations import Scalar, div, sqrt
from engine.parameter import Parameter
from engine.schedules import Hyperparameters

State: TypeAlias = Mapping[str, Scalar]
"""Name -> value that is passed from step to step."""
Move: TypeAlias = tuple[Scalar, dict[str, Scalar]]
"""(weight, slots) after a step."""
Update: TypeAlias = Callable[[Scalar, Scalar, State, State, Hyperparameters], Move]
"""(weight, gradient, the weight's slots, the shared state after this step, hyperparameters) -> Move.

The `learning_rate` among the hyperparameters is the one that the schedule gives for this step.
"""


@dataclass(frozen=True)
class Optimizer:
    """A rule and the state that it needs.

    name: its name in a sweep file.
    hyperparameters: names and default values.
    update: the rule for one weight.
    slots: names of the state that each weight has. It starts at 0.
    shared: names and first values of the state that a trial has once.
    advance: computes the shared state of a step from the one before and the hyperparameters.
    """

    name: str
    hyperparameters: Mapping[str, float]
    update: Update
    slots: tuple[str, ...] = ()
    shared: Mapping[str, float] = field(default_factory=dict)
    advance: Callable[[State, Hyperparameters], dict[str, Scalar]] = lambda shared, h: {}


def _sgd(w: Scalar, g: Scalar, slots: State, shared: State, h: Hyperparameters) -> Move:
    """Apply w' = w - lr g.

    Robbins and Monro, A Stochastic Approximation Method, 1951; PyTorch's SGD.
    """
    return w - g * h["learning_rate"], {}


def _momentum(w: Scalar, g: Scalar, slots: State, shared: State, h: Hyperparameters) -> Move:
    """Apply v' = momentum v + g, w' = w - lr v'.

    Polyak, Some Methods of Speeding up the Convergence of Iteration Methods, 1964, in the form of PyTorch's SGD with
    momentum.
    """
    velocity = h["momentum"] * slots["velocity"] + g
    return w - velocity * h["learning_rate"], {"velocity": velocity}


def _nesterov(w: Scalar, g: Scalar, slots: State, shared: State, h: Hyperparameters) -> Move:
    """Apply v' = momentum v + g, w' = w - lr (g + momentum v').

    Sutskever et al., On the Importance of Initialization and Momentum in Deep Learning, 2013, in the form of PyTorch's
    SGD with nesterov=True.
    """
    velocity = h["momentum"] * slots["velocity"] + g
    return w - (g + h["momentum"] * velocity) * h["learning_rate"], {"velocity": velocity}


def _rmsprop(w: Scalar, g: Scalar, slots: State, shared: State, h: Hyperparameters) -> Move:
    """Apply s' = alpha s + (1 - alpha) g^2, v' = momentum v + g / (sqrt(s') + epsilon), w' = w - lr v'.

    Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012, in the form of PyTorch's RMSprop.
    """
    average = h["alpha"] * slots["square_average"] + (1.0 - h["alpha"]) * (g * g)
    velocity = h["momentum"] * slots["velocity"] + div(g, sqrt(average) + h["epsilon"])
    return w - velocity * h["learning_rate"], {"square_average": average, "velocity": velocity}


def _adagrad(w: Scalar, g: Scalar, slots: State, shared: State, h: Hyperparameters) -> Move:
    """Apply s' = s + g^2, w' = w - lr / (1 + decay (steps - 1)) g / (sqrt(s' + initial value) + epsilon).

    Duchi, Hazan and Singer, Adaptive Subgradient Methods for Online Learning and Stochastic Optimization, 2011, in the
    form of PyTorch's Adagrad. The slot starts at 0, so the accumulator's initial value is added at each step.
    """
    total = slots["square_sum"] + g * g
    rate = div(h["learning_rate"], 1.0 + (shared["count"] - 1.0) * h["learning_rate_decay"])
    scale = sqrt(total + h["initial_accumulator_value"]) + h["epsilon"]
    return w - rate * div(g, scale), {"square_sum": total}


def _count(shared: State, h: Hyperparameters) -> dict[str, Scalar]:
    """Return the number of steps, this one included."""
    return {"count": shared["count"] + 1.0}


def _adam(w: Scalar, g: Scalar, slots: State, shared: State, h: Hyperparameters) -> Move:
    """Apply m' = b1 m + (1 - b1) g, v' = b2 v + (1 - b2) g^2, w' = w - lr m^ / (sqrt(v^) + epsilon).

    m^ = m' / (1 - b1^t) and v^ = v' / (1 - b2^t) at step t. Kingma and Ba, Adam: A Method for Stochastic Optimization,
    2014, algorithm 1, in the form of PyTorch's Adam.
    """
    first = h["beta1"] * slots["first_moment"] + (1.0 - h["beta1"]) * g
    second = h["beta2"] * slots["second_moment"] + (1.0 - h["beta2"]) * (g * g)
    rate = div(h["learning_rate"], 1.0 - shared["beta1_power"])
    scale = div(sqrt(second), sqrt(1.0 - shared["beta2_power"])) + h["epsilon"]
    return w - rate * div(first, scale), {"first_moment": first, "second_moment": second}


def _adamw(w: Scalar, g: Scalar, slots: State, shared: State, h: Hyperparameters) -> Move:
    """Multiply w by 1 - lr weight_decay, then apply Adam.

    Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, algorithm 2, in the form of PyTorch's AdamW,
    which multiplies the decay by the learning rate.
    """
    return _adam(w * (1.0 - h["learning_rate"] * h["weight_decay"]), g, slots, shared, h)


def _adam_advance(shared: State, h: Hyperparameters) -> dict[str, Scalar]:
    """Return b1^t and b2^t at step t."""
    return {
        "beta1_power": shared["beta1_power"] * h["beta1"],
        "beta2_power": shared["beta2_power"] * h["beta2"],
    }


_ADAM = {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
_MOMENTS = ("first_moment", "second_moment")
_POWERS = {"beta1_power": 1.0, "beta2_power": 1.0}

OPTIMIZERS: dict[str, Optimizer] = {
    rule.name: rule
    for rule in (
        Optimizer("sgd", {"learning_rate": 0.01}, _sgd),
        Optimizer("momentum", {"learning_rate": 0.01, "momentum": 0.9}, _momentum, slots=("velocity",)),
        Optimizer("nesterov", {"learning_rate": 0.01, "momentum": 0.9}, _nesterov, slots=("velocity",)),
        Optimizer(
            "rmsprop",
            {"learning_rate": 0.01, "alpha": 0.99, "momentum": 0.0, "epsilon": 1e-8},
            _rmsprop,
            slots=("square_average", "velocity"),
        ),
        Optimizer(
            "adagrad",
            {"learning_rate": 0.01, "learning_rate_decay": 0.0, "initial_accumulator_value": 0.0, "epsilon": 1e-10},
            _adagrad,
            slots=("square_sum",),
            shared={"count": 0.0},
            advance=_count,
        ),
        Optimizer("adam", _ADAM, _adam, slots=_MOMENTS, shared=_POWERS, advance=_adam_advance),
        Optimizer(
            "adamw", {**_ADAM, "weight_decay": 0.01}, _adamw, slots=_MOMENTS, shared=_POWERS, advance=_adam_advance
        ),
    )
}
"""Name -> optimiser."""


def sgd(weights: list[Parameter], lr: float = 0.001) -> list[Parameter]:
    """Do one step of gradient descent on Parameters, in place, and return them: the notebook's optimiser."""
    for parameter in weights:
        parameter.value = parameter.value - parameter.grad * lr
    return weights
