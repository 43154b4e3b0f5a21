"""Faults in the middle of a sweep: every trial is there once in the end, with the figures of an undisturbed sweep.

Every sweep here has the same trials under another name.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.spec import load_spec
from service.execution.plan import make_plan
from service.run import run_sweep
from tests.cluster.compose import MARKS, PROJECT, Cluster
from tests.cluster.gate import Gate, running_gate
from tests.cluster.outside import (
    assert_succeeded,
    export_table,
    gradgrid,
    gradgrid_json,
    recorded_runs,
    training_hosts,
    wait_for,
)
from tests.service.tables import assert_same_trials

pytestmark = MARKS

_SPEC: dict[str, Any] = {
    "name": "fault",
    "dataset": {"name": "moons", "samples": 60},
    "parts": "gated.py",
    "model": {"hidden": [4], "initializer": "gated"},
    "loss": "mean_squared_error",
    "steps": 60_000,
    "grid": {"activation": ["relu", "tanh"], "learning_rate": [0.1, 1e30], "seed": {"range": 150}},
    "record": {"points": 4},
}
_TRIALS = 600
_LARGEST_SHARD = 100
"""Trials, each of which draws once. Two and a half such shards may pass the gate before a fault: two workers have
one of them recorded at least, and most trials are left.
"""


@pytest.fixture(scope="module")
def gate(running: Cluster) -> Iterator[Gate]:
    """The gate at which sweeps of the fault tests wait until the test lets them go on."""
    with running_gate(running.gateway) as gate:
        yield gate


@pytest.fixture(scope="module")
def undisturbed(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of a sweep on this machine, without containers."""
    file = _write_spec("fault", gate, tmp_path_factory.mktemp("undisturbed"))
    resolved = load_spec(file)
    shards = list(make_plan(resolved).shards(workers=2))
    assert max(shard.trials for shard in shards) == _LARGEST_SHARD
    return run_sweep(resolved, tracking_uri=f"sqlite:///{file.parent / 'mlflow.db'}").table


def _write_spec(name: str, gate: Gate, folder: Path) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps({**_SPEC, "name": name}), encoding="utf-8")
    (folder / "gated.py").write_text(gate.parts, encoding="utf-8")
    return file


def _submit(cluster: Cluster, name: str, gate: Gate, folder: Path) -> str:
    return str(gradgrid_json(cluster, "submit", str(_write_spec(name, gate, folder)))["job"])


def _submit_until_the_middle(cluster: Cluster, name: str, gate: Gate, folder: Path) -> str:
    """Submit a sweep, and return its job once some trials are recorded and the rest wait at the gate."""
    gate.close(allowed=5 * _LARGEST_SHARD // 2)
    job = _submit(cluster, name, gate, folder)
    wait_for(f"{name} under way", lambda: recorded_runs(cluster, name) > 0)
    return job


def _exact(cluster: Cluster, name: str, folder: Path, undisturbed: pd.DataFrame) -> None:
    """Raise AssertionError unless every trial is there once, with the figures of the undisturbed sweep."""
    assert recorded_runs(cluster, name) == _TRIALS
    assert_same_trials(export_table(cluster, name, folder), undisturbed)


def test_every_worker_trains(cluster: Cluster, gate: Gate, tmp_path: Path) -> None:
    gate.close(allowed=0)
    job = _submit(cluster, "spread", gate, tmp_path)
    wait_for("two workers at the gate", lambda: len(gate.waiting) == 2)
    gate.open()
    assert_succeeded(cluster, job)
    assert training_hosts(cluster, "spread") == {c[:12] for c in cluster.containers("ray-worker")}


def test_a_cancelled_job_goes_on_when_it_is_submitted_again(
    cluster: Cluster, gate: Gate, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    job = _submit_until_the_middle(cluster, "cancelled", gate, tmp_path)
    done = gradgrid(cluster, "cancel", job)
    assert (done.returncode, "stopped" in done.stderr) == (0, True)
    (sweep,) = [s for s in gradgrid_json(cluster, "list")["sweeps"] if s["spec"] == "cancelled"]
    assert sweep["status"] == "KILLED"
    assert 0 < recorded_runs(cluster, "cancelled") < _TRIALS
    gate.open()
    assert _submit(cluster, "cancelled", gate, tmp_path) == job
    assert_succeeded(cluster, job)
    _exact(cluster, "cancelled", tmp_path, undisturbed)


def test_a_worker_is_killed_and_others_added_and_mlflow_and_postgresql_restart_in_the_middle(
    cluster: Cluster, gate: Gate, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    job = _submit_until_the_middle(cluster, "worker", gate, tmp_path)
    killed, left = cluster.containers("ray-worker")
    subprocess.run(["docker", "rm", "-f", killed], check=True, capture_output=True)
    cluster.run("up", "-d", "--no-recreate", "--scale", "ray-worker=3")
    added = {c[:12] for c in cluster.containers("ray-worker")} - {left[:12]}
    assert len(added) == 2
    wait_for("three workers", lambda: "3 that train" in gradgrid(cluster, "doctor", "--cluster").stdout)
    assert recorded_runs(cluster, "worker") < _TRIALS
    gate.open()
    cluster.run("restart", "-t", "1", "postgres", "mlflow")
    assert_succeeded(cluster, job)
    _exact(cluster, "worker", tmp_path, undisturbed)
    assert training_hosts(cluster, "worker") & added, "the added workers got no work"


def test_the_network_between_a_worker_and_the_head_is_cut_in_the_middle(
    cluster: Cluster, gate: Gate, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    job = _submit_until_the_middle(cluster, "network", gate, tmp_path)
    (cut, _) = cluster.containers("ray-worker")
    subprocess.run(["docker", "network", "disconnect", f"{PROJECT}_cluster", cut], check=True, capture_output=True)
    assert recorded_runs(cluster, "network") < _TRIALS
    gate.open()
    assert_succeeded(cluster, job)
    subprocess.run(["docker", "rm", "-f", cut], check=True, capture_output=True)
    _exact(cluster, "network", tmp_path, undisturbed)


def test_the_head_restarts_in_the_middle_and_the_sweep_is_resumed(
    cluster: Cluster, gate: Gate, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    job = _submit_until_the_middle(cluster, "head", gate, tmp_path)
    cluster.run("kill", "ray-head")
    cluster.run("up", "-d", "--scale", "ray-worker=2")
    cluster.wait_until_healthy()
    assert 0 < recorded_runs(cluster, "head") < _TRIALS
    gate.open()
    assert _submit(cluster, "head", gate, tmp_path) == job
    assert_succeeded(cluster, job)
    _exact(cluster, "head", tmp_path, undisturbed)
