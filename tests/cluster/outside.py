"""The cluster from outside: the `gradgrid` command on this machine, and the runs in the cluster's store."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import requests

from tests.cluster.compose import ROOT, Cluster


def gradgrid(cluster: Cluster, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command from outside the cluster. changes: variables of its environment."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=cluster.environment(**changes), capture_output=True, text=True, check=False
    )


def gradgrid_json(cluster: Cluster, *arguments: str) -> Any:
    """Return what a command prints with --json."""
    done = gradgrid(cluster, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def export_table(cluster: Cluster, sweep: str, folder: Path) -> pd.DataFrame:
    """Export a sweep and return its table of trials."""
    file = folder / f"{sweep}.parquet"
    done = gradgrid(cluster, "export", sweep, "-o", str(file))
    assert done.returncode == 0, done.stderr
    return pd.read_parquet(file)


def recorded_runs(cluster: Cluster, name: str) -> int:
    """Return how many trials of a sweep have a run, by the database itself."""
    statement = (
        "select count(*) from runs join experiments using (experiment_id) "
        f"where experiments.name like '{name}/%' and runs.lifecycle_stage = 'active'"
    )
    psql = ["psql", "-U", "mlflow", "-d", "mlflow", "-h", "127.0.0.1", "-tA", "-c", statement]
    done = cluster.run("exec", "-T", "-e", "PGPASSWORD=a-secret-of-the-tests", "postgres", *psql)
    return int(done.stdout.strip())


def training_hosts(cluster: Cluster, name: str) -> set[str]:
    """Return the names of the containers that trained a sweep's trials."""
    experiment = requests.get(
        f"{cluster.mlflow}/api/2.0/mlflow/experiments/get-by-name",
        params={"experiment_name": f"{name}/{gradgrid_json(cluster, 'show', name)['sweep']}"},
        timeout=30,
    ).json()["experiment"]["experiment_id"]
    body: Any = {"experiment_ids": [experiment], "max_results": 1000}
    runs = requests.post(f"{cluster.mlflow}/api/2.0/mlflow/runs/search", json=body, timeout=60).json()["runs"]
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
    return {tag["gradgrid.host"] for tag in tags}


def wait_for(what: str, reached: Callable[[], bool], seconds: float = 300) -> None:
    """Wait until something is reached. what: its name, for the AssertionError after these seconds."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.3)


def assert_succeeded(cluster: Cluster, job: str, seconds: float = 300) -> None:
    """Wait for a job's end. Raises AssertionError with its output unless it has succeeded."""
    wait_for(job, lambda: gradgrid_json(cluster, "status", job)["status"] not in ("PENDING", "RUNNING"), seconds)
    found = gradgrid_json(cluster, "status", job)
    assert found["status"] == "SUCCEEDED", gradgrid(cluster, "logs", job).stdout


def bring_up(cluster: Cluster) -> None:
    """Start what does not run. Wait until all is healthy, and Ray has two workers and has forgotten lost ones."""
    cluster.run("up", "-d", "--scale", "ray-worker=2")
    cluster.wait_until_healthy()
    wait_for("two workers", lambda: "2 that train" in gradgrid(cluster, "doctor", "--cluster").stdout)
