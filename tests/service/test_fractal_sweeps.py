"""The ready maps of trainability, against the same training written with JAX."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import initial_weights
from engine.arrays import Array, Flags
from engine.batches import Batches
from experiments.data.datasets import load_dataset
from experiments.spec import load_spec
from service import sweep

_STEPS, _SIDE = 500, 64
_RATES = ("learning_rate.layer1", "learning_rate.layer2")
_NAMES = ("tanh", "minibatch", "relu", "linear", "point", "offset", "drift")
_SCRIPT = Path(__file__).with_name("fractal_jax.py")


def _by_jax(spec: Mapping[str, Any], trials: Any, folder: Path) -> dict[str, Array]:
    """Train all trials again with JAX; return the measures of each: see fractal_jax.py."""
    dataset = load_dataset(load_spec(spec).spec.dataset, Path())
    weights = initial_weights((16, 16, 1), "normal", 0, bias=False)
    columns = {name: trials[f"params.{name}"].to_numpy() for name in spec["grid"]}
    none = np.zeros(len(trials))
    problem = {
        "activation": spec["model"]["activation"],
        "features": dataset.training_features,
        "targets": dataset.training_targets,
        "first": weights[:256].reshape(16, 16),
        "second": weights[256:],
        "rates": np.stack([columns[name if name in columns else "learning_rate"] for name in _RATES], axis=1),
        "offsets": columns.get("init_shift.layer1", none) + columns.get("drift.layer1", none),
        "drifts": columns.get("drift.layer1", none),
        "batches": _batches(spec, len(dataset.training_features)),
    }
    np.savez(folder / "problem.npz", **problem)
    # the tests already run side by side
    environment = {**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    command = [sys.executable, str(_SCRIPT), str(folder / "problem.npz"), str(folder / "result.npz")]
    subprocess.run(command, env=environment, check=True)
    with np.load(folder / "result.npz") as result:
        return dict(result)


def _batches(spec: Mapping[str, Any], samples: int) -> Array:
    """Return the samples of each step, (steps, batch); (steps, 0) without minibatches."""
    size = spec.get("batch_size", 0)
    if not size:
        return np.zeros((_STEPS, 0), dtype=np.int64)
    batches = Batches(size, np.zeros(1, dtype=np.uint64), replacement=True)
    per_epoch = batches.per_epoch(samples)
    drawn = batches.order(slice(None), range(_STEPS // per_epoch + 1), samples)[:, 0]
    return np.asarray(drawn[:, : per_epoch * size].reshape(-1, size)[:_STEPS])


def _away_from_the_edge(lost: Flags) -> Flags:
    """Return the cells whose neighbours, also diagonally, all have their label."""
    padded = np.pad(lost, 1, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.asarray((around == lost[:, :, None, None]).all(axis=(2, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("name", _NAMES)
def test_a_map_is_that_of_jax(name: str, uri: str, tmp_path: Path) -> None:
    """Away from the edge at least 99.8 % of the labels are equal, and the losses agree where training is tame."""
    spec = dict(load_spec(f"fractal_{name}").source.data)
    assert spec["steps"] == _STEPS
    axes = {axis: {"logspace": [0.001, 1000000.0], "points": _SIDE} for axis in spec["grid"]}
    trials = sweep({**spec, "grid": axes}, tracking_uri=uri, inline=True).trials
    assert len(trials) == _SIDE**2
    by_jax = _by_jax({**spec, "grid": axes}, trials, tmp_path)
    losses, start = by_jax["loss"], by_jax["start"][0]
    ours = trials["metrics.loss"].to_numpy(dtype=float)
    lost = (trials["outcome"] == "diverged").to_numpy() | ~(ours < start)
    theirs = ~(losses < start)
    inner = _away_from_the_edge(theirs.reshape(_SIDE, _SIDE)).ravel()
    assert 0.02 < theirs.mean() < 0.98
    assert inner.mean() > 0.4
    assert (lost == theirs)[inner].mean() >= 0.998
    tame = inner & ~theirs & (losses > 1e-12)
    assert np.median(np.abs(ours[tame] / losses[tame] - 1.0)) < 1e-9
    _check_measures(trials, by_jax)


def _check_measures(trials: Any, by_jax: dict[str, Array]) -> None:
    """Raise AssertionError if the paper's measures and label are not those of JAX."""
    converged = by_jax["late"] < 1
    inner = _away_from_the_edge(converged.reshape(_SIDE, _SIDE)).ravel()
    labels = trials["outcome"].to_numpy()
    assert set(labels) <= {"converged", "exploding", "diverged"}
    assert ((labels == "converged") == converged)[inner].mean() >= 0.998
    for name in ("late", "fit", "delay"):
        found = trials[f"metrics.{name}"].to_numpy(dtype=float)
        of_its_label = inner & (converged if name == "fit" else ~converged if name == "delay" else True)
        with np.errstate(invalid="ignore", divide="ignore"):
            assert np.nanmedian(np.abs(found / by_jax[name] - 1.0)[of_its_label]) < 1e-6, name


@pytest.mark.slow
def test_the_edge_of_the_control_is_where_theory_says(uri: str) -> None:
    """The loss of fractal_null is quadratic: a trial is lost if and only if rate x largest curvature exceeds 2."""
    spec = dict(load_spec("fractal_null").source.data)
    axes = {axis: {"logspace": [0.001, 1000000.0], "points": 32} for axis in spec["grid"]}
    trials = sweep({**spec, "grid": axes}, tracking_uri=uri, inline=True).trials
    x = load_dataset(load_spec(spec).spec.dataset, Path()).training_features
    first = initial_weights((16, 16, 1), "normal", 0, bias=False)[:256].reshape(16, 16)
    offsets = trials["params.init_shift.layer1"].to_numpy()
    hidden = np.tanh(np.sqrt(2 / 16) * x @ (first + np.unique(offsets)[:, None, None]).transpose(0, 2, 1)) / 16
    curvatures = np.linalg.eigvalsh(2 / len(x) * hidden.transpose(0, 2, 1) @ hidden)[:, -1]
    products = trials["params.learning_rate.layer2"] * curvatures[np.searchsorted(np.unique(offsets), offsets)]
    lost = (trials["outcome"] != "converged").to_numpy()
    clear = (np.abs(np.log(products / 2)) > 0.02).to_numpy()  # at the edge itself 500 steps do not decide
    assert clear.mean() > 0.97
    assert (lost == (products > 2))[clear].all()
    assert 0.3 < lost.mean() < 0.7
