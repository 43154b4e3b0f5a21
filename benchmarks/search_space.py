"""The spaces that `search.py` searches, and the training function of the peers, in NumPy."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).absolute().parent.parent
sys.path[0] = str(ROOT)  # else engine.py of this folder would hide the engine
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402

from engine import initial_weights  # noqa: E402
from engine.batches import Batches  # noqa: E402
from experiments.data.dataset_spec import DatasetSpec  # noqa: E402
from experiments.data.datasets import Dataset, load_dataset  # noqa: E402
from experiments.spec import load_spec  # noqa: E402

STEPS, SEEDS, HIDDEN, BATCH = 2000, 3, 8, 16
RUNGS, FACTOR = (31, 125, 500), 4
"""Steps at which successive halving compares, and the share that goes on, a fourth: ours and Ray Tune's."""

AXES = ("learning_rate", "momentum", "init_scale", "activation")


@dataclass(frozen=True)
class Space:
    """A finite space of configurations of a network with one hidden layer, trained on minibatches by momentum.

    name: of the space.
    dataset: the `dataset` section of its sweep file.
    rates: the least and the greatest learning rate.
    counts: values of the axes learning_rate, momentum and init_scale.
    """

    name: str
    dataset: Mapping[str, Any]
    rates: tuple[float, float]
    counts: tuple[int, int, int] = (30, 12, 12)

    def sweep(self, search: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return its sweep file. search: the section; the whole grid if left out."""
        rates, momenta, scales = self.counts
        return {
            "name": self.name,
            "dataset": dict(self.dataset),
            "model": {"hidden": [HIDDEN]},
            "optimizer": "momentum",
            "steps": STEPS,
            "batch_size": BATCH,
            **({"search": dict(search)} if search else {}),
            "grid": {
                "learning_rate": {"logspace": list(self.rates), "points": rates},
                "momentum": {"linspace": [0.0, 0.98], "points": momenta},
                "init_scale": {"linspace": [0.25, 4.0], "points": scales},
                "activation": ["relu", "tanh"],
                "seed": {"range": SEEDS},
            },
            "record": {"runs": "summary", "curves": "none", "weights": "none"},
        }

    def axes(self) -> list[list[Any]]:
        """Return the values of each axis but the seed."""
        axes = load_spec(self.sweep()).axes
        return [list(axes[name]) for name in AXES]

    def data(self) -> Dataset:
        """Return the data."""
        return load_dataset(DatasetSpec(**self.dataset), Path())


SPACES = {
    space.name: space
    for space in (
        Space("breast_cancer", {"name": "breast_cancer"}, (0.001, 10.0)),
        Space("digits", {"name": "digits", "classes": [*"01234"]}, (0.001, 10.0), (24, 9, 8)),
        Space("diabetes", {"name": "diabetes"}, (1e-5, 0.1)),
    )
}

_ACTIVATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda y: y > 0.0),
    "tanh": (np.tanh, lambda y: 1.0 - y * y),
}


class Training:
    """Trains one configuration with NumPy, one matrix product a layer, all seeds one after another.

    The batches of a seed are drawn once, and gradgrid's.
    """

    def __init__(self, space: Space) -> None:
        data = space.data()
        self._x, self._test_x = data.training_features, data.test_features
        self._is_regression, classes = data.task == "regression", len(data.classes)
        self._outputs = classes if classes > 2 else 1
        self._t, self._test_t = (self._targets(t) for t in (data.training_targets, data.test_targets))
        self._batches = [self._batches_of(seed) for seed in range(SEEDS)]

    def _targets(self, targets: Any) -> Any:
        return np.eye(self._outputs)[targets.astype(int)] if self._outputs > 1 else targets[:, None]

    def _batches_of(self, seed: int) -> list[Any]:
        """Return the positions of the samples of each step."""
        samples, batches = len(self._x), Batches(BATCH, np.array([seed], dtype=np.uint64))
        epochs = batches.order(slice(None), range(-(-STEPS // batches.per_epoch(samples))), samples)[:, 0]
        return [epoch[at : at + BATCH] for epoch in epochs for at in range(0, samples, BATCH)][:STEPS]

    def value(self, configuration: Mapping[str, Any]) -> float:
        """Return the mean of the seeds' test losses after the last step; infinite if one has diverged."""
        *_, (_, value) = self.values(configuration, (STEPS,))
        return value

    def values(self, configuration: Mapping[str, Any], steps: tuple[int, ...]) -> Iterator[tuple[int, float]]:
        """Yield each of these steps with the mean of the seeds' test losses there."""
        seeds = [self._of_seed(configuration, seed, steps) for seed in range(SEEDS)]
        for step, losses in zip(steps, zip(*seeds, strict=True), strict=True):
            mean = float(np.mean(losses))
            yield step, mean if math.isfinite(mean) else math.inf

    def _of_seed(self, configuration: Mapping[str, Any], seed: int, steps: tuple[int, ...]) -> Iterator[float]:
        rate, momentum, scale, activation = (configuration[name] for name in AXES)
        widths = (self._x.shape[1], HIDDEN, self._outputs)
        flat = initial_weights(widths, "xavier_uniform", seed, scale)
        cuts = np.cumsum([widths[0] * HIDDEN, HIDDEN, HIDDEN * self._outputs])
        w1, b1, w2, b2 = (part.copy() for part in np.split(flat, cuts))
        weights = [w1.reshape(HIDDEN, -1), b1, w2.reshape(-1, HIDDEN), b2]
        velocities = [np.zeros_like(w) for w in weights]
        forward, slope = _ACTIVATIONS[activation]
        with np.errstate(all="ignore"):
            for step, batch in enumerate(self._batches[seed], 1):
                gradient = self._gradient(self._x[batch], self._t[batch], weights, forward, slope)
                for w, v, g in zip(weights, velocities, gradient, strict=True):
                    v *= momentum
                    v += g
                    w -= rate * v
                if step in steps:
                    yield self._test_loss(weights, forward)

    def _gradient(
        self, x: Any, t: Any, weights: list[Any], forward: Callable[..., Any], slope: Callable[..., Any]
    ) -> tuple[Any, ...]:
        w1, b1, w2, b2 = weights
        y = forward(x @ w1.T + b1)
        out = y @ w2.T + b2
        if self._is_regression:
            delta = 2.0 * (out - t)
        elif self._outputs == 1:
            delta = 1.0 / (1.0 + np.exp(-out)) - t
        else:
            powers = np.exp(out - out.max(axis=1, keepdims=True))
            delta = powers / powers.sum(axis=1, keepdims=True) - t
        delta /= len(x)
        inner = (delta @ w2) * slope(y)
        return inner.T @ x, inner.sum(axis=0), delta.T @ y, delta.sum(axis=0)

    def _test_loss(self, weights: list[Any], forward: Callable[..., Any]) -> float:
        w1, b1, w2, b2 = weights
        out = forward(self._test_x @ w1.T + b1) @ w2.T + b2
        if self._is_regression:
            return float(np.mean((out - self._test_t) ** 2))
        if self._outputs == 1:
            return float(np.mean(np.logaddexp(0.0, out) - self._test_t * out))
        return float(np.mean(np.logaddexp.reduce(out, axis=1) - (self._test_t * out).sum(axis=1)))
