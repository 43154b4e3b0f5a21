"""Sweeps that tests kill: in a process of their own, with Ray, and checked after they were resumed."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from mlflow import MlflowClient

from experiments.spec import load_spec
from service.execution.result import SweepResult
from service.recording.bulk_recorder import run_id
from service.recording.store import Store
from service.run import run_sweep
from tests.service.tables import assert_same_trials

SPEC: dict[str, Any] = {
    "name": "killed",
    "dataset": {"name": "moons", "samples": 60},
    "model": {"hidden": [4]},
    "loss": "mean_squared_error",
    "steps": 100_000,
    "grid": {"activation": ["relu", "tanh"], "learning_rate": [0.1, 1e30], "seed": {"range": 150}},
    "record": {"points": 4},
}
"""600 trials, half of which diverge."""


def _start(spec: Path, uri: str, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "service.cli", "sweep", str(spec), "--tracking-uri", uri, *options]
    with (spec.parent / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=spec.parent, stdout=log, stderr=log, start_new_session=True)


def _wait_for_the_sweep(uri: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the sweep's experiment exists: before, there is nothing to resume."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if _has_begun(uri):
            return
        time.sleep(0.02)
    raise AssertionError("the sweep did not begin")


def _has_begun(uri: str) -> bool:
    if uri.startswith("sqlite"):
        path = Path(uri.removeprefix("sqlite:///"))
        return path.exists() and b"killed/" in path.read_bytes()
    return bool(Store(uri).sweeps())


def ray_process(driver: subprocess.Popen[bytes], work: str) -> psutil.Process:
    """Return a process of Ray that is doing this work right now."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and driver.poll() is None:
        for process in psutil.Process(driver.pid).children(recursive=True):
            try:
                if any(work in part for part in process.cmdline()):
                    return process
            except psutil.NoSuchProcess:
                continue
    raise AssertionError(f"no process was seen doing {work}")


@contextmanager
def running_sweep(folder: Path, uri: str) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the driver of a sweep that has begun. At the end kill it, if it still runs, and all that it started."""
    spec = folder / "killed.yaml"
    spec.write_text(json.dumps(SPEC), encoding="utf-8")
    driver = _start(spec, uri)
    family: list[psutil.Process] = []
    try:
        _wait_for_the_sweep(uri, driver)
        yield driver
    finally:
        if driver.poll() is None:
            family = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
        driver.wait()
        _end(family)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        if process.is_running():
            process.kill()
    psutil.wait_procs(processes, timeout=20)


def check_exact(uri: str, undisturbed: SweepResult) -> None:
    """Resume the store's only sweep. Then each trial must be there once, with the undisturbed sweep's figures."""
    store = Store(uri)
    (sweep,) = store.sweeps()
    result = run_sweep(load_spec(SPEC), tracking_uri=uri, inline=True, resume=sweep.sweep)
    assert_same_trials(result.table, undisturbed.table)
    trials = list(store.trials(sweep))
    expected = {run_id(sweep.sweep, trial, number) for number, trial in enumerate(undisturbed.table["trial"])}
    assert {t.run_id for t in trials} == expected
    assert len(trials) == len(expected) == 600
    client = MlflowClient(uri)
    for trial in random.sample(trials, 5):
        assert len(client.get_metric_history(trial.run_id, "loss")) <= 4
        tensors = json.loads(Path(client.download_artifacts(trial.run_id, "final_weights.json")).read_text())["tensors"]
        assert np.isfinite([v for tensor in tensors for v in tensor["values"]]).all()
