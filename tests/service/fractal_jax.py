"""Train the maps of trainability with JAX, from the same data and weights; it imports nothing of gradgrid.

    python tests/service/fractal_jax.py PROBLEM RESULT

PROBLEM and RESULT are NPZ files. PROBLEM has `activation`; `features` (samples, inputs) and `targets` (samples,);
`first` (units, inputs) and `second` (units,), the initial weights; `rates` (trials, 2), of both layers; `offsets`
(trials,), added to the first layer's initial weights, and `drifts` (trials,), added to them by each step; and `batches`
(steps, batch), the samples of each step, or (steps, 0) for all samples. RESULT has of each trial `loss`, that of all
samples after the last step, and the paper's measures `late`, `fit` and `delay`; and `start`, the loss of all samples
before the first step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": lambda z: jnp.tanh(jnp.sqrt(2.0) * z),
    "relu": lambda z: jnp.sqrt(2.0) * jax.nn.relu(z),
    "identity": lambda z: z,
}
_CAP, _LATE = 1e6, 20
_GROUP, _LEGS = 16, 20  # trials that fit in a cache; parts of a training, after each of which a group of NaN ends


def loss(activation: str, weights: tuple[Any, Any], x: Any, y: Any) -> Any:
    """Return the mean squared error of a network in the paper's parametrisation."""
    first, second = weights
    hidden = _ACTIVATIONS[activation](x @ first.T / jnp.sqrt(x.shape[1]))
    return jnp.mean((hidden @ second / len(second) - y) ** 2)


def trained(problem: Any) -> tuple[Any, Any, Any]:
    """Return the loss of each trial before the first step and after the last, and (trials, steps) those of the steps.

    A loss is NaN if the training was no longer finite. A NaN in the loss makes the weights NaN, for ever.
    """
    activation, x, y = str(problem["activation"]), jnp.asarray(problem["features"]), jnp.asarray(problem["targets"])
    gradient = jax.value_and_grad(partial(loss, activation))

    def train(weights: tuple[Any, Any], rates: Any, drift: Any, batches: Any) -> Any:
        def step(weights: tuple[Any, Any], batch: Any) -> tuple[tuple[Any, Any], Any]:
            value, (down, up) = gradient(weights, x[batch], y[batch]) if batch.size else gradient(weights, x, y)
            return (weights[0] - rates[0] * down + drift, weights[1] - rates[1] * up), value

        return jax.lax.scan(step, weights, batches)

    group_trained = jax.jit(jax.vmap(train, in_axes=(0, 0, 0, None)))
    group_loss = jax.jit(jax.vmap(lambda weights: loss(activation, weights, x, y)))
    trials, steps = len(problem["rates"]), len(problem["batches"])
    start, end, losses = np.zeros(trials), np.full(trials, np.nan), np.full((trials, steps), np.nan)
    for group in np.split(np.arange(trials), range(_GROUP, trials, _GROUP)):
        weights = (
            problem["first"] + problem["offsets"][group, None, None],
            np.tile(problem["second"], (len(group), 1)),
        )
        start[group] = group_loss(weights)
        for leg in np.split(np.arange(steps), _LEGS):
            axes = problem["rates"][group], problem["drifts"][group]
            weights, losses[np.ix_(group, leg)] = group_trained(weights, *axes, problem["batches"][leg])
            if np.isnan(losses[group, leg[-1]]).all():
                break
        end[group] = group_loss(weights)
    return start, end, losses


def main(source: str, target: str) -> None:
    """Read a problem, train its trials, write their measures."""
    jax.config.update("jax_enable_x64", True)
    with np.load(source) as problem:
        start, end, losses = trained(dict(problem))
    with np.errstate(over="ignore", divide="ignore"):
        ratios = losses / losses[:, :1]
        ratios = np.where(np.isfinite(ratios), np.minimum(ratios, _CAP), _CAP)
        delay = np.minimum(1.0 / ratios, _CAP).sum(axis=1)
    late = ratios[:, -_LATE:].mean(axis=1)
    measures = {"start": start, "loss": end, "late": late, "fit": ratios.sum(axis=1), "delay": delay}
    np.savez(target, **measures)


if __name__ == "__main__":
    main(*sys.argv[1:])
