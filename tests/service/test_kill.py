"""A sweep killed at any instant and resumed has every trial exactly once, with the bits of one never killed.

`make slow` kills a driver twenty times, `make kill` two hundred times.
"""

import json
import math
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from mlflow import MlflowClient

from experiments.spec import load_spec
from service.execution.observer import NullObserver
from service.execution.plan import Plan
from service.execution.result import SweepResult
from service.recording.bulk_recorder import run_id
from service.recording.infos import SweepInfo
from service.recording.store import Store
from service.run import run_sweep
from tests.service.tables import assert_same_trials

pytestmark = pytest.mark.slow

_ROUNDS = int(os.environ.get("GRADGRID_KILL_ROUNDS", "20"))
_SPEC: dict[str, Any] = {
    "name": "killed",
    "dataset": {"name": "moons", "samples": 60},
    "model": {"hidden": [4]},
    "loss": "mean_squared_error",
    "steps": 100_000,
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
    """Wait until the sweep's experiment exists: before, there is nothing to resume."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        path = Path(uri.removeprefix("sqlite:///"))
        if path.exists() and b"killed/" in path.read_bytes():
            return
        time.sleep(0.02)
    raise AssertionError("the sweep did not begin")


def _ray_process(driver: subprocess.Popen[bytes], work: str) -> psutil.Process:
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
def _running_sweep(folder: Path, uri: str) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the driver of a sweep that has begun. At the end kill it, if it still runs, and all that it started."""
    spec = folder / "killed.yaml"
    spec.write_text(json.dumps(_SPEC), encoding="utf-8")
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


def _check_exact(uri: str, undisturbed: SweepResult) -> None:
    store = Store(uri)
    (sweep,) = store.sweeps()
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, resume=sweep.sweep)
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


class _Telling(NullObserver):
    """An observer that sets an event after a number of trials, at the latest when the work ends."""

    def __init__(self, reached: Event, trials: int) -> None:
        self._reached = reached
        self._left = trials

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        self._check()

    def advance(self, trials: int, best: float | None) -> None:
        self._left -= trials
        self._check()

    def end(self) -> None:
        self._reached.set()

    def _check(self) -> None:
        if self._left <= 0:
            self._reached.set()


def _drive(uri: str, resume: str | None, reached: Event, trials: int) -> None:
    """Run a sweep; a process of the test does nothing else."""
    observer = _Telling(reached, trials)
    run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, resume=resume, observer=observer, shard_size=10)


def _check_what_is_there(uri: str, undisturbed: SweepResult) -> int:
    """Check that each recorded trial is there once, with the undisturbed sweep's figures; return their number."""
    store = Store(uri)
    expected = undisturbed.table.set_index("trial")
    trials = [trial for sweep in store.sweeps() for trial in store.trials(sweep)]
    for trial in trials:
        row = expected.loc[trial.tags["gradgrid.trial"]]
        assert trial.outcome == row["outcome"]
        for name, value in trial.metrics.items():
            if not name.startswith("gradient."):
                assert value == row[f"metrics.{name}"] or (math.isnan(value) and math.isnan(row[f"metrics.{name}"]))
    assert len({trial.tags["gradgrid.trial"] for trial in trials}) == len(trials)
    return len(trials)


def test_the_driver_is_killed_again_and_again(tmp_path: Path, undisturbed: SweepResult) -> None:
    """Each round resumes the sweep of the one before, and kills it in the middle of its work or earlier.

    A sweep that is complete is checked, and the next round begins a new one.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["service.run", "service.recording.recorders", __name__])
    uri, recorded, progress = "", 0, 0
    for number in range(_ROUNDS):
        if not uri:
            uri, recorded = f"sqlite:///{tmp_path / f'{number}.db'}", 0
            Store(uri, create=True)  # a death while MLflow makes its tables is not our affair
        known = [sweep.sweep for sweep in Store(uri).sweeps()]
        reached = processes.Event()
        trials = random.choice([0, 1, 5, 15, 40])
        driver = processes.Process(target=_drive, args=(uri, known[0] if known else None, reached, trials))
        driver.start()
        reached.wait(random.choice([random.uniform(0.0, 1.5), 120, 120]))
        time.sleep(random.uniform(0.0, 0.3))
        driver.kill()
        driver.join()
        before, recorded = recorded, _check_what_is_there(uri, undisturbed)
        assert recorded >= before
        progress += recorded > before
        if recorded == len(undisturbed.table):
            _check_exact(uri, undisturbed)
            uri = ""
    assert progress > _ROUNDS // 5, "the sweep hardly went on between its deaths"
    if uri and Store(uri).sweeps():
        _check_exact(uri, undisturbed)


@pytest.mark.parametrize("number", range(max(1, _ROUNDS // 20)))
def test_workers_are_killed_and_then_the_driver(
    tmp_path: Path, uri: str, undisturbed: SweepResult, number: int
) -> None:
    """Ray trains a lost worker's shard again; two die, one after another, and then the driver."""
    with _running_sweep(tmp_path, uri) as process:
        for _ in range(2):
            _ray_process(process, "ray::train_tables").kill()
            time.sleep(random.uniform(0.0, 1.5))
    _check_exact(uri, undisturbed)


@pytest.mark.parametrize("number", range(max(1, _ROUNDS // 20)))
def test_recorders_are_killed_and_the_sweep_goes_on(
    tmp_path: Path, uri: str, undisturbed: SweepResult, number: int
) -> None:
    """Two recorders die, one after another, in the middle of a transaction or between two; the driver replaces each."""
    with _running_sweep(tmp_path, uri) as process:
        for _ in range(2):
            recorder = _ray_process(process, "ray::ShardRecorder")
            time.sleep(random.uniform(0.0, 0.2))
            with suppress(psutil.NoSuchProcess):  # the sweep has ended
                recorder.kill()
        assert process.wait(timeout=120) == 0, (tmp_path / "log").read_text(encoding="utf-8")
    _check_exact(uri, undisturbed)
