"""The ready maps of trainability, against the same training written with NumPy's matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import initial_weights
from engine.arrays import Array, Flags, Floats
from engine.batches import Batches
from experiments.data.datasets import load_dataset
from experiments.spec import load_spec
from service import sweep

_STEPS, _SIDE = 500, 20
_RATES = ("learning_rate.layer1", "learning_rate.layer2")
_NAMES = ("tanh", "minibatch", "relu", "linear", "point", "offset", "drift")
_FUNCTIONS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats, Floats], Floats]]] = {
    "tanh": (np.tanh, lambda z, a: 1.0 - a * a),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z, a: (z > 0).astype(float)),
    "identity": (lambda z: z, lambda z, a: np.ones_like(a)),
}
"""Activation -> the function, and its derivative from its argument and value."""


@dataclass(frozen=True)
class _Training:
    """A training by hand.

    losses: (trials,), the final losses, infinite for a trial that left the finite numbers.
    start: the loss before the first step, of all samples.
    ratios: (steps, trials), the loss of each step over that of the first, at most 1e6, as in the paper.
    """

    losses: Floats
    start: float
    ratios: Floats


def _trained(
    x: Floats,
    y: Floats,
    first: Floats,
    second: Floats,
    rates: Sequence[Floats],
    activation: str,
    order: Array | None,
    drift: Floats,
) -> _Training:
    """Train with matrices.

    x, y: the data, (samples, features) and (samples,).
    first, second: initial weights, (trials, units, features) and (trials, units).
    rates: of both layers, (trials,).
    order: (steps, batch), the samples of each step; None for all.
    drift: (trials,), what each step adds to the weights of layer 1.
    """
    phi, derivative = _FUNCTIONS[activation]
    inner = np.sqrt((1.0 if activation == "identity" else 2.0) / x.shape[1])
    outer = 1.0 / second.shape[1]
    alive = np.ones(len(first), dtype=bool)
    steps = []
    (start,) = ((outer * phi(inner * x @ first[0].T) @ second[0] - y) ** 2).mean(keepdims=True)
    for step in range(_STEPS + 1):
        batch = slice(None) if order is None or step == _STEPS else order[step]
        z = inner * np.matmul(x[batch], first.transpose(0, 2, 1))
        hidden = phi(z)
        error = outer * np.einsum("tsu,tu->ts", hidden, second) - y[batch]
        loss = (error**2).mean(axis=1)
        alive &= np.isfinite(loss)
        steps.append(np.where(alive, loss, np.inf))
        slope = 2.0 * error / error.shape[1] * outer
        back = slope[:, :, None] * second[:, None, :] * derivative(z, hidden) * inner
        if step < _STEPS:
            change = drift[:, None, None] - rates[0][:, None, None] * np.matmul(back.transpose(0, 2, 1), x[batch])
            first = first + change
            second = second - rates[1][:, None] * np.einsum("ts,tsu->tu", slope, hidden)
    ratios = np.minimum(np.array(steps[:-1]) / steps[0], 1e6)
    return _Training(np.where(alive, loss, np.inf), float(start), ratios)


def _by_hand(spec: Mapping[str, Any], trials: Any) -> _Training:
    dataset = load_dataset(load_spec(spec).spec.dataset, Path())
    x, y = dataset.training_features, dataset.training_targets
    weights = initial_weights((16, 16, 1), "normal", 0, bias=False)
    first = np.repeat(weights[None, :256].reshape(1, 16, 16), len(trials), axis=0)
    second = np.repeat(weights[None, 256:], len(trials), axis=0)
    columns = {name: trials[f"params.{name}"].to_numpy() for name in spec["grid"]}
    offset = next((columns[name] for name in ("init_shift.layer1", "drift.layer1") if name in columns), None)
    first = first if offset is None else first + offset[:, None, None]
    drift = columns.get("drift.layer1", np.zeros(len(trials)))
    rates = [columns[name if name in columns else "learning_rate"] for name in _RATES]
    order = None
    if "batch_size" in spec:
        batches = Batches(16, np.zeros(1, dtype=np.uint64), replacement=True)
        per_epoch = batches.per_epoch(len(x))
        drawn = batches.order(slice(None), range(_STEPS // per_epoch + 1), len(x))[:, 0]
        order = drawn[:, : per_epoch * 16].reshape(-1, 16)
    with np.errstate(all="ignore"):
        return _trained(x, y, first, second, rates, spec["model"]["activation"], order, drift)


def _away_from_the_edge(lost: Flags) -> Flags:
    """Return the cells whose neighbours, also diagonally, all have their label."""
    padded = np.pad(lost, 1, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.asarray((around == lost[:, :, None, None]).all(axis=(2, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("name", _NAMES)
def test_a_map_is_that_of_matrices(name: str, uri: str) -> None:
    """Away from the edge at least 99.8 % of the labels are equal, and the losses agree where training is tame."""
    spec = dict(load_spec(f"fractal_{name}").source.data)
    assert spec["steps"] == _STEPS
    axes = {axis: {"logspace": [0.001, 1000000.0], "points": _SIDE} for axis in spec["grid"]}
    found = sweep({**spec, "grid": axes}, tracking_uri=uri, inline=True)
    trials = found.trials
    by_hand = _by_hand({**spec, "grid": axes}, trials)
    losses, start = by_hand.losses, by_hand.start
    ours = trials["metrics.loss"].to_numpy(dtype=float)
    lost = (trials["outcome"] == "diverged").to_numpy() | ~(ours < start)
    theirs = ~(losses < start)
    inner = _away_from_the_edge(theirs.reshape(_SIDE, _SIDE)).ravel()
    assert 0.02 < theirs.mean() < 0.98
    assert inner.mean() > 0.4
    assert (lost == theirs)[inner].mean() >= 0.998
    tame = inner & ~theirs & (losses > 1e-12)
    assert np.median(np.abs(ours[tame] / losses[tame] - 1.0)) < 1e-9
    _check_measures(trials, by_hand.ratios)


def _check_measures(trials: Any, ratios: Floats) -> None:
    """Raise AssertionError if the paper's measures and label are not those of the ratios: (steps, trials)."""
    converged = ratios[-20:].mean(axis=0) < 1
    inner = _away_from_the_edge(converged.reshape(_SIDE, _SIDE)).ravel()
    labels = trials["outcome"].to_numpy()
    assert set(labels) <= {"converged", "exploding", "diverged"}
    assert ((labels == "converged") == converged)[inner].mean() >= 0.998
    expected = {"late": ratios[-20:].mean(axis=0), "fit": ratios.sum(axis=0), "delay": (1.0 / ratios).sum(axis=0)}
    for name, values in expected.items():
        found = trials[f"metrics.{name}"].to_numpy(dtype=float)
        of_its_label = inner & (converged if name == "fit" else ~converged if name == "delay" else True)
        with np.errstate(invalid="ignore"):
            assert np.nanmedian(np.abs(found / values - 1.0)[of_its_label]) < 1e-6, name
