"""Trials per second of `gradgrid sweep` and of a plain loop with MLflow, on the demo's data and model.

    python benchmarks/demo.py [--rounds 3] [--trials 40]

Both train the same networks from the same weights, and record the same curves, params and final weights into a new
SQLite store each. The time of gradgrid is that of the command, from start to exit. The loop is NumPy, with one matrix
product for each layer, inside `mlflow.start_run` in this process; its time does not include the start of Python and
MLflow. Rounds take turns; figures are medians. The final losses are compared, to check that both did the same work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).absolute().parent.parent)  # else engine.py of this folder would hide the engine

import numpy as np  # noqa: E402

from engine.train import recorded_steps  # noqa: E402
from experiments.data.datasets import Dataset, load_dataset  # noqa: E402
from experiments.spec import load_spec  # noqa: E402

_ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda z, y: (z > 0).astype(float)),
    "tanh": (np.tanh, lambda z, y: 1.0 - y * y),
    "sigmoid": (lambda z: 1.0 / (1.0 + np.exp(-z)), lambda z, y: y * (1.0 - y)),
}
_PEER_GRID = "grid.activation=[relu, tanh, sigmoid]"


def _network(configuration: dict[str, Any], data: Dataset) -> Iterator[tuple[int, dict[str, float], Any]]:
    """Train one network by hand; yield (step, metrics, weights) at the recorded steps."""
    from engine import initial_weights

    forward, slope = _ACTIVATIONS[configuration["activation"]]
    (hidden,) = configuration["hidden"]
    inputs = data.feature_count
    flat = initial_weights((inputs, hidden, 1), configuration["initializer"], configuration["seed"])
    w1, b1, w2, b2 = (part.copy() for part in np.split(flat, np.cumsum([inputs * hidden, hidden, hidden])))
    w1 = w1.reshape(hidden, inputs)
    x, t = data.training_features, data.training_targets
    recorded = set(recorded_steps(configuration["steps"], 25).tolist())
    for step in range(configuration["steps"] + 1):
        z = x @ w1.T + b1
        y = forward(z)
        logits = y @ w2 + b2
        delta = (1.0 / (1.0 + np.exp(-logits)) - t) / len(t)
        dw2, db2 = y.T @ delta, delta.sum()
        inner = np.outer(delta, w2) * slope(z, y)
        dw1, db1 = inner.T @ x, inner.sum(axis=0)
        if step in recorded:
            test = forward(data.test_features @ w1.T + b1) @ w2 + b2
            norms = {n: float(np.sqrt((g * g).sum())) for n, g in (("a", dw1), ("b", db1), ("c", dw2), ("d", db2))}
            metrics = {
                "loss": float(np.mean(np.logaddexp(0.0, logits) - t * logits)),
                "accuracy": float(np.mean((logits > 0) == t)),
                "test_loss": float(np.mean(np.logaddexp(0.0, test) - data.test_targets * test)),
                "test_accuracy": float(np.mean((test > 0) == data.test_targets)),
                "grad_norm": float(np.sqrt(sum(v * v for v in norms.values()))),
                **{f"grad_norm.{name}": value for name, value in norms.items()},
            }
            yield step, metrics, (w1, b1, w2, b2)
        rate = configuration["learning_rate"]
        w1, b1, w2, b2 = w1 - rate * dw1, b1 - rate * db1, w2 - rate * dw2, b2 - rate * db2


def plain_loop(configurations: list[dict[str, Any]], data: Dataset, folder: Path) -> tuple[float, list[float]]:
    """Return the seconds of the loop and the final losses."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("loop")
    losses = []
    began = time.perf_counter()
    for configuration in configurations:
        with mlflow.start_run():
            mlflow.log_params(configuration)
            weights: Any = ()
            for step, metrics, weights in _network(configuration, data):  # noqa: B007
                mlflow.log_metrics(metrics, step=step)
            mlflow.log_dict({"tensors": [w.tolist() for w in weights]}, "final_weights.json")
            losses.append(metrics["loss"])
    return time.perf_counter() - began, losses


def ours(assignments: tuple[str, ...], folder: Path) -> tuple[float, int, Path]:
    """Return the seconds of the command, the number of recorded trials, and their table."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    options = [option for assignment in assignments for option in ("--set", assignment)]
    command = [sys.executable, "-m", "service.cli", "sweep", "breast_cancer", *options, "--json", "--tracking-uri", uri]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    (table,) = folder.rglob("trials.parquet")
    return seconds, int(json.loads(done.stdout)["trials"]), table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--trials", type=int, default=40, help="trials of the plain loop in a round; gradgrid runs the whole demo"
    )
    arguments = parser.parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"

    from experiments.data.variants import Datasets
    from experiments.trials import make_grid

    resolved = load_spec("breast_cancer", (_PEER_GRID,))
    data = load_dataset(resolved.spec.dataset, resolved.source.folder)
    everything = [
        v for population in make_grid(resolved, Datasets.of(data)).populations for _, v in population.every_params()
    ]
    chosen = everything[:: max(1, len(everything) // arguments.trials)][: arguments.trials]

    rates: dict[str, list[float]] = {"plain loop": [], "gradgrid sweep": []}
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as name:
            os.chdir(name)
            seconds, losses = plain_loop(chosen, data, Path(name))
            rates["plain loop"].append(len(chosen) / seconds)
            os.chdir("/")
        with tempfile.TemporaryDirectory() as name:
            seconds, trials, table = ours((), Path(name))
            rates["gradgrid sweep"].append(trials / seconds)
            _check_same_work(chosen, losses, table)
        print(f"round {number + 1}: " + ", ".join(f"{k} {v[-1]:.1f}/s" for k, v in rates.items()), file=sys.stderr)
    loop, mine = (statistics.median(values) for values in rates.values())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; demo of {trials} trials\n"
    )
    print("| program | trials per second (median) | ratio |\n|---|---|---|")
    print(f"| plain loop: NumPy, mlflow.start_run, log_metrics | {loop:.1f} | 1 |")
    print(f"| gradgrid sweep breast_cancer, start to exit | {mine:.1f} | {mine / loop:.1f} |")


def _check_same_work(chosen: list[dict[str, Any]], losses: list[float], table: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(table)
    for configuration, loss in zip(chosen, losses, strict=True):
        same = frame
        for key in ("activation", "learning_rate", "seed"):
            same = same[same[f"params.{key}"] == configuration[key]]
        np.testing.assert_allclose(same["metrics.loss"].to_numpy(), [loss], rtol=1e-6)


if __name__ == "__main__":
    main()
