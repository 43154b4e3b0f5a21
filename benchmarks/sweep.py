"""Trials per second from start to exit: gradgrid, Ray Tune with its MLflow callback, and a plain loop.

    python benchmarks/sweep.py [--rounds 3]

Every program runs the same trials: a single neuron of two inputs on moons, 200 steps, three curves of 25 points (loss,
gradient norm, accuracy), every hyperparameter and the outcome. Each trial is an MLflow run in a new SQLite store. Ray
Tune and the loop train with NumPy, by hand. Each program is a process, and its time includes its start. Each has the
number of trials that take it about a minute. The losses of the trials that all programs run are compared.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).absolute().parent.parent
sys.path[0] = str(_ROOT)  # else engine.py of this folder would hide the engine

import yaml  # noqa: E402

from benchmarks.folders import new_folder  # noqa: E402

_SHARED = 20  # trials that every program runs: the first of the grid
_STEPS, _POINTS = 200, 25

_TRAIN = f'''
import numpy as np
from engine import initial_weights
from experiments.data.datasets import load_dataset
from experiments.data.dataset_spec import DatasetSpec
from pathlib import Path

data = load_dataset(DatasetSpec(name="moons", test_fraction=0), Path("."))
x, y = data.training_features, data.training_targets.reshape(-1)
recorded = set(np.unique(np.linspace(0, {_STEPS}, {_POINTS}).round().astype(int)).tolist())

def train(learning_rate, seed):
    """Yield (step, metrics) of a neuron tanh(w . x + b) under gradient descent."""
    w = initial_weights((2, 1), "xavier_uniform", seed)
    t = np.where(y == 1, 1.0, -1.0)
    for step in range({_STEPS} + 1):
        out = np.tanh(x @ w[:2] + w[2])
        delta = 2 * (out - t) * (1 - out * out) / len(t)
        gradient = np.array([*(delta @ x), delta.sum()])
        if step in recorded:
            loss = float(np.mean((out - t) ** 2))
            accuracy = float(np.mean((out > 0) == (t > 0)))
            yield step, dict(loss=loss, grad_norm=float(np.linalg.norm(gradient)), accuracy=accuracy)
        w = w - learning_rate * gradient

trials = [(float(rate), seed) for rate in np.logspace(-3, 0, 100) for seed in range(100)]
'''

_TUNE = (
    _TRAIN
    + """
import os, sys
os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
                  MLFLOW_DISABLE_TELEMETRY="true", RAY_AIR_NEW_OUTPUT="0")
import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback

def trainable(config):
    for step, metrics in train(config["learning_rate"], config["seed"]):
        tune.report(metrics)

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
some = trials[: int(sys.argv[1])]
space = tune.grid_search([dict(learning_rate=rate, seed=seed) for rate, seed in some])
results = tune.Tuner(
    tune.with_parameters(lambda config: trainable(config["trial"])),
    param_space={"trial": space},
    run_config=tune.RunConfig(
        storage_path=os.getcwd(), verbose=0,
        callbacks=[MLflowLoggerCallback(tracking_uri="sqlite:///mlflow.db", experiment_name="tune")],
    ),
).fit()
assert len(results) == len(some) and not results.errors
"""
)

_LOOP = (
    _TRAIN
    + """
import os, sys
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("loop")
for rate, seed in trials[: int(sys.argv[1])]:
    with mlflow.start_run():
        mlflow.log_params({"learning_rate": rate, "seed": seed})
        for step, metrics in train(rate, seed):
            mlflow.log_metrics(metrics, step=step)
"""
)


def _spec(count: int) -> dict[str, object]:
    return {
        "name": "sweep",
        "dataset": {"name": "moons", "test_fraction": 0},
        "loss": "mean_squared_error",
        "steps": _STEPS,
        "model": {"output": "tanh"},
        "grid": {
            "learning_rate": {"logspace": [0.001, 1.0], "points": max(100, count // 100)},
            "seed": {"range": min(100, count)},
        },
        "record": {"points": _POINTS, "gradients": "norm", "health": "none"},
    }


def _gradgrid(count: int) -> list[str]:
    spec = _spec(count)
    if count < 100 * 100:  # the first trials of the same grid
        spec["grid"] = {"learning_rate": [0.001], "seed": {"range": count}}
    Path("sweep.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    return [sys.executable, "-m", "service.cli", "sweep", "sweep.yaml"]


def _script(text: str) -> Callable[[int], list[str]]:
    return lambda count: [sys.executable, "-c", textwrap.dedent(text), str(count)]


_WAYS: dict[str, tuple[Callable[[int], list[str]], int]] = {
    "Ray Tune with MLflowLoggerCallback": (_script(_TUNE), _SHARED),
    "plain loop: `start_run`, `log_metrics`": (_script(_LOOP), 100),
    "`gradgrid sweep`, 10,000 trials": (_gradgrid, 10_000),
    "`gradgrid sweep`, 100,000 trials": (_gradgrid, 100_000),
}


def _first_losses() -> list[float]:
    """Return the final losses of the first trials, ascending."""
    import mlflow

    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments() if e.name not in ("Default", "sweep")]
    prefix = "trial/" if "tune" in {e.name for e in client.search_experiments()} else ""
    condition = f"params.`{prefix}learning_rate` = '0.001'"
    runs = client.search_runs(experiments, condition, max_results=1000)
    first = {int(run.data.params[f"{prefix}seed"]): run.data.metrics["loss"] for run in runs}
    return [first[seed] for seed in range(_SHARED)]


def _measure(name: str, command: Callable[[int], list[str]], count: int) -> tuple[float, list[float]]:
    os.chdir(new_folder())
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    arguments = command(count)
    began = time.perf_counter()
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"
    losses = _first_losses() if count <= 10_000 else []
    os.chdir("/")
    return seconds, losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    seconds: dict[str, list[float]] = {name: [] for name in _WAYS}
    losses: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for name, (command, count) in _WAYS.items():
            took, found = _measure(name, command, count)
            seconds[name].append(took)
            losses[name] = found
            print(f"{name}: {count} in {took:.1f} s", file=sys.stderr)
    expected = losses["plain loop: `start_run`, `log_metrics`"]
    for name, found in losses.items():
        apart = max((abs(a - b) / b for a, b in zip(found, expected, strict=False)), default=0.0)
        assert apart < 1e-9, f"{name} came to other losses: {found[:3]}, {expected[:3]}"
    rates = {name: count / statistics.median(seconds[name]) for name, (_, count) in _WAYS.items()}
    slowest = rates["Ray Tune with MLflowLoggerCallback"]
    print("| program | trials | seconds (median) | trials per second | ratio |\n|---|---|---|---|---|")
    for name, (_, count) in _WAYS.items():
        median = statistics.median(seconds[name])
        shown = f"{rates[name]:,.{0 if rates[name] >= 10 else 1}f}"
        print(f"| {name} | {count:,} | {median:,.1f} | {shown} | {rates[name] / slowest:,.0f} |")


if __name__ == "__main__":
    main()
