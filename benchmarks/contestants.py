"""The programs that `engine.py` compares. Each trains a population of small networks: gradgrid and its alternatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from engine import LOSSES, MLP, OPTIMIZERS, Program, Samples, initial_weights, trace_step, train

SAMPLES = 64

Weights = list[Any]
Run = Callable[[], list[float]]
"""Trains the population from its initial weights and returns the final losses, one for each trial."""


class Work:
    """A population: its data, its initial weights and its number of steps."""

    def __init__(self, widths: tuple[int, ...], trials: int, steps: int) -> None:
        rng = np.random.default_rng(1)
        self.widths, self.trials, self.steps = widths, trials, steps
        self.features = rng.normal(size=(SAMPLES, widths[0]))
        self.targets = np.tanh(self.features[:, :1] - 0.5 * self.features[:, -1:])
        starts = [initial_weights(widths, "lecun_normal", seed) for seed in range(min(trials, 64))]
        self.initial = np.stack([starts[n % len(starts)] for n in range(trials)])
        self.rates = np.geomspace(0.001, 0.1, trials)

    def layers(self) -> Weights:
        """Return weights as (trials, units, inputs) and (trials, units), layer by layer."""
        parts, at = [], 0
        for inputs, units in pairwise(self.widths):
            matrix = self.initial[:, at : at + units * inputs].reshape(-1, units, inputs)
            at += units * inputs
            parts += [matrix, self.initial[:, at : at + units]]
            at += units
        return parts

    @property
    def outputs_bend(self) -> bool:
        """Return whether the last layer has a tanh: only a single neuron does."""
        return len(self.widths) == 2

    def nanoseconds(self, seconds: float) -> float:
        """Return the nanoseconds for each sample, step and trial of a run of so many seconds."""
        return seconds / (self.trials * self.steps * SAMPLES) * 1e9


def ours(work: Work, kernel: str) -> Run:
    """Return gradgrid's run. It also records loss, gradient norms, update ratios and dead units, at up to 25 points."""
    samples = Samples(work.features, work.targets)
    columns = {"learning_rate": work.rates}
    points = min(25, max(2, work.steps // 8))

    @cache
    def program() -> Program:
        model = MLP(work.widths, "tanh", "tanh" if work.outputs_bend else "identity", initializer="zeros")
        loss, rule = LOSSES["mean_squared_error"], OPTIMIZERS["sgd"]
        return trace_step(model, loss, rule, features=work.widths[0], targets=1)

    def run() -> list[float]:
        history = train(program(), work.initial, columns, samples, steps=work.steps, points=points, kernel=kernel)
        return history.final("loss").tolist()  # type: ignore[no-any-return]

    return run


def by_numpy(work: Work) -> Run:
    """Return NumPy's run. The first layer is one product, as all trials share its inputs; the others are batched."""

    def run() -> list[float]:
        weights = [w.copy() for w in work.layers()]
        for _ in range(work.steps):
            _numpy_step(work, weights)
        errors = _numpy_forward(work, weights)[-1] - work.targets
        return (errors**2).mean(axis=(1, 2)).tolist()  # type: ignore[no-any-return]

    return run


def _numpy_forward(work: Work, weights: Weights) -> list[Any]:
    """Return the values of each layer, (trials, samples, units); the first entry, for the inputs, is None."""
    values: list[Any] = [None]
    for layer in range(0, len(weights), 2):
        matrix = weights[layer]
        if layer:
            z = values[-1] @ matrix.transpose(0, 2, 1)
        else:
            together = work.features @ matrix.reshape(-1, matrix.shape[2]).T
            z = together.reshape(SAMPLES, work.trials, -1).transpose(1, 0, 2)
        z = z + weights[layer + 1][:, None, :]
        values.append(np.tanh(z) if layer < len(weights) - 2 or work.outputs_bend else z)
    return values


def _numpy_step(work: Work, weights: Weights) -> None:
    """Do one step of gradient descent, from the last layer to the first."""
    values, rates = _numpy_forward(work, weights), work.rates[:, None, None]
    gradient = 2.0 / SAMPLES * (values[-1] - work.targets)
    for layer in range(len(weights) - 2, -1, -2):
        after, before = values[layer // 2 + 1], values[layer // 2]
        if layer < len(weights) - 2 or work.outputs_bend:
            gradient = gradient * (1.0 - after**2)
        if layer:
            of_matrix, back = gradient.transpose(0, 2, 1) @ before, gradient @ weights[layer]
        else:
            together = gradient.transpose(1, 0, 2).reshape(SAMPLES, -1).T @ work.features
            of_matrix, back = together.reshape(work.trials, -1, work.features.shape[1]), gradient
        weights[layer] -= rates * of_matrix
        weights[layer + 1] -= rates[:, :, 0] * gradient.sum(axis=1)
        gradient = back


def by_jax(work: Work, *, curve: bool) -> Run:
    """Return JAX's run. Without the `curve` of losses, XLA does not compute the loss of each step."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    features, targets, rates = jnp.array(work.features), jnp.array(work.targets), jnp.array(work.rates)
    start = [jnp.array(w) for w in work.layers()]

    def loss(weights: Weights) -> Any:
        x = features
        for layer in range(0, len(weights), 2):
            x = x @ weights[layer].T + weights[layer + 1]
            if layer < len(weights) - 2 or work.outputs_bend:
                x = jnp.tanh(x)
        return jnp.mean((x - targets) ** 2)

    def move(weights: Weights, rate: Any) -> tuple[Weights, Any]:
        value, gradient = jax.value_and_grad(loss)(weights)
        return [w - rate * g for w, g in zip(weights, gradient, strict=True)], value

    def train_all(weights: Weights) -> Any:
        moved, losses = jax.lax.scan(lambda w, _: jax.vmap(move)(w, rates), weights, None, length=work.steps)
        return jax.vmap(loss)(moved), losses if curve else None

    compiled = jax.jit(train_all)
    return lambda: np.asarray(jax.block_until_ready(compiled(start))[0]).tolist()


def by_torch(work: Work) -> Run:
    import torch

    torch.set_num_threads(1)
    features, targets = torch.tensor(work.features), torch.tensor(work.targets)
    start = tuple(torch.tensor(w) for w in work.layers())
    rates = [torch.tensor(work.rates).reshape(-1, *[1] * (w.dim() - 1)) for w in start]

    def loss(weights: Weights) -> Any:
        x = features
        for layer in range(0, len(weights), 2):
            x = x @ weights[layer].T + weights[layer + 1]
            if layer < len(weights) - 2 or work.outputs_bend:
                x = torch.tanh(x)
        return ((x - targets) ** 2).mean()

    step = torch.func.vmap(torch.func.grad_and_value(loss))

    def run() -> list[float]:
        weights = start
        for _ in range(work.steps):
            gradients, _ = step(weights)
            weights = tuple(w - r * g for w, r, g in zip(weights, rates, gradients, strict=True))
        return torch.func.vmap(loss)(weights).tolist()  # type: ignore[no-any-return]

    return run


class Value:
    """A number and its parents in the graph, as short as micrograd's."""

    __slots__ = ("back", "data", "grad", "parents")

    def __init__(self, data: float, parents: tuple[Value, ...] = ()) -> None:
        self.data, self.grad, self.parents = data, 0.0, parents
        self.back: Callable[[], None] = lambda: None

    def __add__(self, other: Value) -> Value:
        out = Value(self.data + other.data, (self, other))

        def back() -> None:
            self.grad += out.grad
            other.grad += out.grad

        out.back = back
        return out

    def __mul__(self, other: Value) -> Value:
        out = Value(self.data * other.data, (self, other))

        def back() -> None:
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out.back = back
        return out

    def tanh(self) -> Value:
        out = Value(math.tanh(self.data), (self,))

        def back() -> None:
            self.grad += (1.0 - out.data * out.data) * out.grad

        out.back = back
        return out

    def backward(self) -> None:
        order: list[Value] = []
        seen: set[Value] = set()

        def visit(value: Value) -> None:
            if value not in seen:
                seen.add(value)
                for parent in value.parents:
                    visit(parent)
                order.append(value)

        visit(self)
        self.grad = 1.0
        for value in reversed(order):
            value.back()


def by_scalars(work: Work) -> Run:
    def run() -> list[float]:
        return [_train_scalars(work, trial) for trial in range(work.trials)]

    return run


def _train_scalars(work: Work, trial: int) -> float:
    weights = [Value(float(w)) for w in work.initial[trial]]
    for step in range(work.steps + 1):
        total = 0.0
        for weight in weights:
            weight.grad = 0.0
        for row, target in zip(work.features.tolist(), work.targets[:, 0].tolist(), strict=True):
            values, at = [Value(x) for x in row], 0
            for layer, (inputs, units) in enumerate(pairwise(work.widths)):
                matrix, biases = at, at + units * inputs
                at = biases + units
                following = []
                for unit in range(units):
                    z = weights[biases + unit]
                    for k in range(inputs):
                        z = z + weights[matrix + unit * inputs + k] * values[k]
                    following.append(z.tanh() if layer < len(work.widths) - 2 or work.outputs_bend else z)
                values = following
            error = values[0] + Value(-target)
            loss = error * error
            total += loss.data
            if step < work.steps:
                loss.backward()
        for weight in weights:
            weight.data -= work.rates[trial] * weight.grad / SAMPLES
    return total / SAMPLES


WAYS: dict[str, Callable[[Work], Run]] = {
    "gradgrid, compiled": lambda work: ours(work, "compiled"),
    "gradgrid, reference": lambda work: ours(work, "reference"),
    "NumPy by hand": by_numpy,
    "JAX": lambda work: by_jax(work, curve=False),
    "JAX with the loss curve": lambda work: by_jax(work, curve=True),
    "torch.func vmap": by_torch,
}
