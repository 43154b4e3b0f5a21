"""A sweep killed at any instant and resumed has every trial exactly once, with the bits of one never killed.

`make slow` does one round of each kind, `make kill` twenty.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient

from experiments.spec import load_spec
from service.recording.bulk import run_id
from service.recording.sweeps import Store
from service.run import SweepResult, run_sweep

pytestmark = pytest.mark.slow

_ROUNDS = int(os.environ.get("GRADGRID_KILL_ROUNDS", "1"))
_SPEC: dict[str, Any] = {
    "name": "killed",
    "dataset": {"name": "moons", "samples": 60},
    "model": {"hidden": [4]},
    "loss": "mean_squared_error",
    "steps": 20_000,
    "grid": {"activation": ["relu", "tanh"], "learning_rate": [0.1, 1e30], "seed": {"range": 150}},
    "record": {"points": 4},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    folder = tmp_path_factory.mktemp("undisturbed")
    return run_sweep(load_spec(_SPEC), tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", inline=True)


def _start(spec: Path, uri: str, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "service.cli", "sweep", str(spec), "--tracking-uri", uri, *options]
    with (spec.parent / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=spec.parent, stdout=log, stderr=log, start_new_session=True)


def _wait_for_the_sweep(uri: str, process: subprocess.Popen[bytes]) -> None:
    """Until its experiment is there: before, there is nothing to resume."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        path = Path(uri.removeprefix("sqlite:///"))
        if path.exists() and b"killed/" in path.read_bytes():
            return
        time.sleep(0.02)
    raise AssertionError("the sweep did not begin")


def _training_worker(driver: subprocess.Popen[bytes]) -> psutil.Process:
    """A process of Ray's that is training a shard right now."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and driver.poll() is None:
        for process in psutil.Process(driver.pid).children(recursive=True):
            try:
                if any("ray::train_shard" in part for part in process.cmdline()):
                    return process
            except psutil.NoSuchProcess:
                continue
    raise AssertionError("no worker was seen training")


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        if process.is_running():
            process.kill()
    psutil.wait_procs(processes, timeout=20)


def _check_exact(uri: str, undisturbed: SweepResult) -> None:
    store = Store(uri)
    (sweep,) = store.sweeps()
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, resume=sweep.sweep)
    pd.testing.assert_frame_equal(
        result.table.drop(columns="run_id"), undisturbed.table.drop(columns="run_id"), check_exact=True
    )
    trials = list(store.trials(sweep))
    expected = {run_id(sweep.sweep, trial, number) for number, trial in enumerate(undisturbed.table["trial"])}
    assert {t.run_id for t in trials} == expected
    assert len(trials) == len(expected) == 600
    client = MlflowClient(uri)
    for trial in random.sample(trials, 5):
        assert len(client.get_metric_history(trial.run_id, "loss")) <= 4
        tensors = json.loads(Path(client.download_artifacts(trial.run_id, "final_weights.json")).read_text())["tensors"]
        assert np.isfinite([v for tensor in tensors for v in tensor["values"]]).all()


@pytest.mark.parametrize("number", range(_ROUNDS))
def test_the_driver_is_killed(tmp_path: Path, uri: str, undisturbed: SweepResult, number: int) -> None:
    spec = tmp_path / "killed.yaml"
    spec.write_text(json.dumps(_SPEC), encoding="utf-8")
    process = _start(spec, uri, "--inline")
    _wait_for_the_sweep(uri, process)
    time.sleep(random.uniform(0.0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    _check_exact(uri, undisturbed)


@pytest.mark.parametrize("number", range(max(1, _ROUNDS // 2)))
def test_a_worker_is_killed_and_then_the_driver(
    tmp_path: Path, uri: str, undisturbed: SweepResult, number: int
) -> None:
    """Ray trains a lost worker's shard again; the driver dies a little later."""
    spec = tmp_path / "killed.yaml"
    spec.write_text(json.dumps(_SPEC), encoding="utf-8")
    process = _start(spec, uri)
    family: list[psutil.Process] = []
    try:
        _wait_for_the_sweep(uri, process)
        worker = _training_worker(process)
        family = psutil.Process(process.pid).children(recursive=True)
        worker.kill()
        time.sleep(random.uniform(0.0, 1.5))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        _end(family)
    _check_exact(uri, undisturbed)
