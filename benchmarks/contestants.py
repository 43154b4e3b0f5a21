"""The programs that `engine.py` compares. Each trains a population of small networks: gradgrid and its alternatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from engine import LOSSES, MLP, OPTIMIZERS, Program, Samples, TrainConfig, initial_weights, trace_step, train
from engine.batches import Batches

SAMPLES = 64

Weights = list[Any]
Run = Callable[[], list[float]]
"""Trains the population from its initial weights and returns the final losses, one for each trial."""


@dataclass(frozen=True)
class Setting:
    """The way of training, by gradgrid's names."""

    activation: str = "tanh"
    loss: str = "mean_squared_error"
    optimizer: str = "sgd"
    batch_size: int | None = None
    dtype: str = "float64"


DEFAULT = Setting()


class Work:
    """A population: its data, its initial weights, its number of steps and its setting."""

    def __init__(self, widths: tuple[int, ...], trials: int, steps: int, setting: Setting = DEFAULT) -> None:
        rng = np.random.default_rng(1)
        self.widths, self.trials, self.steps, self.setting = widths, trials, steps, setting
        self.features = rng.normal(size=(SAMPLES, widths[0]))
        shares = np.linspace(0.5, 1.0, widths[-1]) if widths[-1] > 1 else np.array([0.5])
        self.targets = np.tanh(self.features[:, :1] - shares * self.features[:, -1:])
        if setting.loss == "cross_entropy":
            self.targets = (self.targets > 0).astype(float)
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

    @property
    def seeds(self) -> Any:
        """Seeds of the orders of samples in minibatches, (trials,): sixteen, as in a sweep."""
        return np.arange(self.trials, dtype=np.uint64) % 16

    def nanoseconds(self, seconds: float) -> float:
        """Return the nanoseconds for each sample, step and trial of a run of so many seconds."""
        return seconds / (self.trials * self.steps * (self.setting.batch_size or SAMPLES)) * 1e9


def ours(work: Work, kernel: str) -> Run:
    """Return gradgrid's run. It also records loss, gradient norms, update ratios and dead units, at up to 25 points."""
    samples, setting = Samples(work.features, work.targets), work.setting
    rule = OPTIMIZERS[setting.optimizer]
    columns = {name: np.full(work.trials, value) for name, value in rule.hyperparameters.items()}
    columns["learning_rate"] = work.rates
    config = TrainConfig(
        work.steps,
        points=min(25, max(2, work.steps // 8)),
        batch_size=setting.batch_size,
        dtype=setting.dtype,
        kernel=kernel,
    )

    @cache
    def program() -> Program:
        output = setting.activation if work.outputs_bend else "identity"
        model = MLP(work.widths, setting.activation, output, initializer="zeros")
        return trace_step(model, LOSSES[setting.loss], rule, features=work.widths[0], targets=work.widths[-1])

    def run() -> list[float]:
        history = train(program(), work.initial, columns, samples, config=config, seeds=work.seeds)
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
    setting = work.setting
    features, targets, rates, *start = (
        jnp.array(a, dtype=setting.dtype) for a in (work.features, work.targets, work.rates, *work.layers())
    )
    bend = {"tanh": jnp.tanh, "relu": jax.nn.relu, "gelu": jax.nn.gelu}[setting.activation]

    def loss(weights: Weights, rows: Any = slice(None)) -> Any:
        x = features[rows]
        for layer in range(0, len(weights), 2):
            x = x @ weights[layer].T + weights[layer + 1]
            if layer < len(weights) - 2 or work.outputs_bend:
                x = bend(x)
        if setting.loss == "cross_entropy":
            return jnp.mean(jax.nn.softplus(x) - targets[rows] * x)
        return jnp.mean((x - targets[rows]) ** 2)

    def move(state: Any, rate: Any, rows: Any, step: Any) -> tuple[Any, Any]:
        weights, *moments = state
        value, gradient = jax.value_and_grad(loss)(weights, rows)
        if setting.optimizer == "adam":
            return _adam_of_jax(weights, moments, gradient, rate, step), value
        return ([w - rate * g for w, g in zip(weights, gradient, strict=True)],), value

    def train_all(weights: Weights) -> Any:
        moments = [[jnp.zeros_like(w) for w in weights] for _ in range(2)] if setting.optimizer == "adam" else []
        steps = jnp.arange(1.0, work.steps + 1.0, dtype=setting.dtype)
        if setting.batch_size is None:
            all_rows = slice(None)
            moved = jax.vmap(lambda state, rate, step: move(state, rate, all_rows, step), in_axes=(0, 0, None))
            (last, *_), losses = jax.lax.scan(lambda s, step: moved(s, rates, step), (weights, *moments), steps)
        else:
            rows = jnp.array(_batches(work))
            batched = jax.vmap(move, in_axes=(0, 0, 0, None))
            both = (rows, steps)
            (last, *_), losses = jax.lax.scan(lambda s, at: batched(s, rates, *at), (weights, *moments), both)
        return jax.vmap(loss)(last), losses if curve else None

    compiled = jax.jit(train_all)
    return lambda: np.asarray(jax.block_until_ready(compiled(start))[0]).tolist()


def _batches(work: Work) -> Any:
    """Return the rows of each step's batch, (steps, trials, samples), in gradgrid's order."""
    size = work.setting.batch_size or SAMPLES
    batches = Batches(size, work.seeds)
    epochs = -(-work.steps * size // SAMPLES)
    order = batches.order(slice(None), range(epochs), SAMPLES)  # (epochs, trials, samples)
    cut = order.reshape(epochs, work.trials, SAMPLES // size, size).transpose(0, 2, 1, 3)
    return cut.reshape(-1, work.trials, size)[: work.steps]


def _adam_of_jax(weights: Weights, moments: Any, gradient: Weights, rate: Any, step: Any) -> tuple[Weights, Any, Any]:
    """Return (weights, first moments, second moments) after a step of Adam, with its usual hyperparameters."""
    import jax.numpy as jnp

    first = [0.9 * m + 0.1 * g for m, g in zip(moments[0], gradient, strict=True)]
    second = [0.999 * v + 0.001 * (g * g) for v, g in zip(moments[1], gradient, strict=True)]
    scale = rate / (1.0 - 0.9**step)
    root = jnp.sqrt(1.0 - 0.999**step)
    moved = [w - scale * m / (jnp.sqrt(v) / root + 1e-8) for w, m, v in zip(weights, first, second, strict=True)]
    return moved, first, second


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
