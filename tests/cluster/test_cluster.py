"""The whole cluster in containers: brought up, used from outside, struck by faults. `make test-cluster` runs these.

Every sweep here has the same trials under another name, and must come to the figures of one that ran outside,
undisturbed.
"""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from playwright.sync_api import expect

from experiments.spec import load_spec
from service.execution.plan import make_plan
from service.run import run_sweep
from tests.cluster.compose import PASSWORD, PROJECT, ROOT, Cluster, compose_command, running_cluster
from tests.cluster.gate import Gate, running_gate
from tests.service.browser import keep_screenshot, open_page
from tests.service.tables import assert_same_trials

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(compose_command() is None, reason="there is no Docker Engine")]

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
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, float]]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), workers=2) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: tuple[Cluster, float]) -> Cluster:
    """The cluster, healthy and with two workers, also after a test that broke it."""
    found, _ = started
    _complete(found)
    return found


def _complete(cluster: Cluster) -> None:
    """Wait until all is healthy, and Ray has two workers and has forgotten those that a fault took."""
    cluster.run("up", "-d", "--scale", "ray-worker=2")
    cluster.wait_until_healthy(300)
    _wait("two workers", lambda: "2 that train" in _gradgrid(cluster, "doctor", "--cluster").stdout)


@pytest.fixture(scope="module")
def swept(started: tuple[Cluster, float]) -> str:
    """The output of the command that ran the ready sweep breast_cancer on the cluster."""
    cluster, _ = started
    _complete(cluster)
    done = _gradgrid(cluster, "submit", "experiments/breast_cancer.yaml", "--follow")
    assert done.returncode == 0, done.stderr
    workers = {c[:12] for c in cluster.containers("ray-worker")}
    assert _hosts(cluster, "breast_cancer") == workers  # both of them
    return done.stdout


@pytest.fixture(scope="module")
def gate(started: tuple[Cluster, float]) -> Iterator[Gate]:
    """The gate at which sweeps of the fault tests wait until the test lets them go on."""
    with running_gate(started[0].gateway) as gate:
        yield gate


@pytest.fixture(scope="module")
def undisturbed(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of a sweep on this machine, without containers."""
    file = _write_spec("fault", gate, tmp_path_factory.mktemp("undisturbed"))
    resolved = load_spec(file)
    shards = make_plan(resolved).shards(workers=2)
    assert max(shard.trials for shard in shards) == _LARGEST_SHARD
    return run_sweep(resolved, tracking_uri=f"sqlite:///{file.parent / 'mlflow.db'}").table


def _gradgrid(cluster: Cluster, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=cluster.environment(**changes), capture_output=True, text=True, check=False
    )


def _json(cluster: Cluster, *arguments: str) -> Any:
    done = _gradgrid(cluster, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _table(cluster: Cluster, sweep: str, folder: Path) -> pd.DataFrame:
    file = folder / f"{sweep}.parquet"
    done = _gradgrid(cluster, "export", sweep, "-o", str(file))
    assert done.returncode == 0, done.stderr
    return pd.read_parquet(file)


def _count(cluster: Cluster, statement: str) -> int:
    psql = ["psql", "-U", "mlflow", "-d", "mlflow", "-h", "127.0.0.1", "-tA", "-c", statement]
    done = cluster.run("exec", "-T", "-e", "PGPASSWORD=a-secret-of-the-tests", "postgres", *psql)
    return int(done.stdout.strip())


def _runs(cluster: Cluster, name: str) -> int:
    return _count(
        cluster,
        "select count(*) from runs join experiments using (experiment_id) "
        f"where experiments.name like '{name}/%' and runs.lifecycle_stage = 'active'",
    )


def _write_spec(name: str, gate: Gate, folder: Path) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps({**_SPEC, "name": name}), encoding="utf-8")
    (folder / "gated.py").write_text(gate.parts, encoding="utf-8")
    return file


def _submit(cluster: Cluster, name: str, gate: Gate, folder: Path) -> str:
    return str(_json(cluster, "submit", str(_write_spec(name, gate, folder)))["job"])


def _submit_until_the_middle(cluster: Cluster, name: str, gate: Gate, folder: Path) -> str:
    """Submit a sweep, and return its job once some trials are recorded and the rest wait at the gate."""
    gate.close(allowed=5 * _LARGEST_SHARD // 2)
    job = _submit(cluster, name, gate, folder)
    _wait(f"{name} under way", lambda: _runs(cluster, name) > 0)
    return job


def _wait(what: str, reached: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.3)


def _succeeded(cluster: Cluster, job: str, seconds: float = 300) -> None:
    _wait(job, lambda: _json(cluster, "status", job)["status"] not in ("PENDING", "RUNNING"), seconds)
    found = _json(cluster, "status", job)
    assert found["status"] == "SUCCEEDED", _gradgrid(cluster, "logs", job).stdout


def _hosts(cluster: Cluster, name: str) -> set[str]:
    """Return the names of the containers that trained a sweep's trials."""
    experiment = requests.get(
        f"{cluster.mlflow}/api/2.0/mlflow/experiments/get-by-name",
        params={"experiment_name": f"{name}/{_json(cluster, 'show', name)['sweep']}"},
        timeout=30,
    ).json()["experiment"]["experiment_id"]
    body: Any = {"experiment_ids": [experiment], "max_results": 1000}
    runs = requests.post(f"{cluster.mlflow}/api/2.0/mlflow/runs/search", json=body, timeout=60).json()["runs"]
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
    return {tag["gradgrid.host"] for tag in tags}


def _exact(cluster: Cluster, name: str, folder: Path, undisturbed: pd.DataFrame) -> None:
    """Raise AssertionError unless every trial is there once, with the figures of the undisturbed sweep."""
    assert _runs(cluster, name) == _TRIALS
    assert_same_trials(_table(cluster, name, folder), undisturbed)


def test_every_service_becomes_healthy(started: tuple[Cluster, float]) -> None:
    cluster, _ = started
    assert len(cluster.run("ps", "-q").stdout.split()) == 5


@pytest.mark.parametrize("missing", ["POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"])
def test_a_missing_secret_stops_the_start_and_is_named(cluster: Cluster, tmp_path: Path, missing: str) -> None:
    text = (cluster.folder / ".env").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(missing)]
    other = Cluster(tmp_path, cluster.compose)
    (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
    done = other.run("config", check=False)
    assert done.returncode != 0
    assert f"{missing}" in done.stderr
    assert "is missing in .env; openssl rand -hex 24 makes one" in done.stderr


def test_only_the_documented_ports_listen_and_only_on_loopback(cluster: Cluster) -> None:
    published: set[tuple[str, int]] = set()
    for container in cluster.run("ps", "-q").stdout.split():
        for bindings in cluster.inspect(container)["NetworkSettings"]["Ports"].values():
            published.update((b["HostIp"], int(b["HostPort"])) for b in bindings or [])
    assert published == {("127.0.0.1", cluster.mlflow_port), ("127.0.0.1", cluster.ray_port)}
    address = socket.gethostbyname(socket.gethostname())
    if not address.startswith("127."):
        for port in (cluster.mlflow_port, cluster.ray_port):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, port), timeout=5)


def test_workers_know_no_database(cluster: Cluster) -> None:
    (worker, _) = cluster.containers("ray-worker")
    assert not any("a-secret-of-the-tests" in line for line in cluster.inspect(worker)["Config"]["Env"])
    script = "import socket; socket.create_connection(('postgres', 5432), timeout=3)"
    done = subprocess.run(["docker", "exec", worker, "python3", "-c", script], capture_output=True, check=False)
    assert done.returncode != 0


def test_a_ready_sweep_runs_on_both_workers_with_the_results_of_one_outside(
    cluster: Cluster, swept: str, tmp_path: Path
) -> None:
    assert "The best of 280 trials by test_loss" in swept
    assert _runs(cluster, "breast_cancer") == 280
    outside = run_sweep(load_spec("breast_cancer"), tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", inline=True)
    assert_same_trials(_table(cluster, "breast_cancer", tmp_path), outside.table)
    verified = _json(cluster, "verify", "breast_cancer", "--sample", "3")
    assert (verified["trials"], verified["differences"]) == (3, [])
    again = _json(cluster, "submit", "experiments/breast_cancer.yaml")
    assert (again["new"], again["status"]) == (False, "SUCCEEDED")
    for kind, arguments in (("sweeps", []), ("jobs", ["--jobs"])):
        known = [found["spec"] for found in _json(cluster, "list", *arguments)[kind]]
        assert known.count("breast_cancer") == 1


@pytest.mark.parametrize("page", ["cluster.md", "command.md"])
@pytest.mark.usefixtures("swept")
def test_the_commands_that_the_docs_print_work(cluster: Cluster, page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    commands = re.findall(r"^    gradgrid (.*)$", text, flags=re.MULTILINE)
    if page == "command.md":
        commands = [c for c in commands if c.split()[0] in ("submit", "status", "logs", "cancel")]
    assert len(commands) >= 4
    for command in commands:
        done = _gradgrid(cluster, *shlex.split(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_a_backup_is_taken_and_put_back(cluster: Cluster, swept: str) -> None:
    """The commands are those that the docs print."""
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    docker-compose exec (.*(?:mlflow\.dump|artifacts\.tar))$", text, flags=re.MULTILINE)
    assert len(commands) == 4
    before = _runs(cluster, "breast_cancer")
    for command in commands[:2]:
        cluster.shell(f"exec {command}")
    assert _gradgrid(cluster, "delete", "breast_cancer", "--yes").returncode == 0
    assert _runs(cluster, "breast_cancer") == 0
    for command in commands[2:]:
        cluster.shell(f"exec {command}")
    assert _runs(cluster, "breast_cancer") == before == 280
    assert _json(cluster, "verify", "breast_cancer", "--sample", "2")["differences"] == []


def test_data_and_parts_files_are_sent_along(cluster: Cluster, tmp_path: Path) -> None:
    """A trained network is promoted from outside, where the data is not."""
    (tmp_path / "data").mkdir()
    rows = ["x,y,kind", *(f"{n % 7},{n % 5},{'a' if n % 3 else 'b'}" for n in range(60))]
    (tmp_path / "data" / "own.csv").write_text("\n".join(rows), encoding="utf-8")
    text = "from engine.operations import sin\nfrom engine.parts import activation, initializer\n\n\n"
    text += "@activation\ndef snake(x):\n    return x + sin(x) ** 2\n\n\n"
    text += "@initializer\ndef halves(rng, shape):\n    return rng.choice([-0.5, 0.5], size=shape)\n"
    (tmp_path / "own.py").write_text(text, encoding="utf-8")
    spec = {
        "name": "own",
        "parts": "own.py",
        "dataset": {"path": "data/own.csv", "target": "kind"},
        "model": {"hidden": [3], "activation": "snake", "initializer": "halves"},
        "grid": {"seed": {"range": 4}},
    }
    (tmp_path / "own.yaml").write_text(json.dumps(spec), encoding="utf-8")
    done = _gradgrid(cluster, "submit", str(tmp_path / "own.yaml"), "--set", "steps=20", "--follow", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "SUCCEEDED"
    assert len(_json(cluster, "top", "own")["top"]) == 4
    assert _json(cluster, "promote", "own", "--name", "own")["version"] == 1


def test_the_launcher_sweeps_inside_the_network(cluster: Cluster) -> None:
    done = cluster.run("run", "--rm", "-T", "launcher", "sweep", "xor", "--set", "name=inside", "--json")
    values = json.loads(done.stdout[done.stdout.index("{") :])
    assert values["trials"] == values["finished"] > 0
    assert _runs(cluster, "inside") == values["trials"]


def test_without_the_token_nothing_is_done(cluster: Cluster) -> None:
    refused = _gradgrid(cluster, "submit", "xor", RAY_AUTH_TOKEN="")
    assert (refused.returncode, "asks for a token" in refused.stderr) == (1, True)
    wrong = _gradgrid(cluster, "submit", "xor", RAY_AUTH_TOKEN="wrong")
    assert (wrong.returncode, "refused the token" in wrong.stderr) == (1, True)
    for path in ("/api/jobs/", "/api/version", "/nodes?view=summary", "/api/v0/actors"):
        assert requests.get(f"{cluster.ray}{path}", timeout=10).status_code in (401, 403), path
    body = {"entrypoint": "touch /tmp/taken"}
    assert requests.post(f"{cluster.ray}/api/jobs/", json=body, timeout=10).status_code in (401, 403)


def test_doctor_looks_at_the_cluster(cluster: Cluster) -> None:
    findings = {f["subject"]: f for f in _json(cluster, "doctor", "--cluster")["findings"]}
    assert all(finding["ok"] for finding in findings.values())
    assert findings["workers"]["detail"] == "2 that train, 2 cores in all"
    refused = _gradgrid(cluster, "doctor", "--cluster", RAY_AUTH_TOKEN="wrong")
    assert refused.returncode == 1
    assert "set RAY_AUTH_TOKEN" in refused.stderr


@pytest.mark.usefixtures("swept")
def test_the_dashboards_open_from_outside_rays_only_with_the_token(cluster: Cluster) -> None:
    with open_page() as page:
        page.goto(cluster.mlflow)
        expect(page.get_by_text("mlflow", exact=False).first).to_be_attached()
        page.goto(f"{cluster.mlflow}/#/experiments")
        expect(page.get_by_text("breast_cancer", exact=True).first).to_be_visible()
        keep_screenshot(page, "cluster-mlflow")
        page.goto(cluster.ray)
        field = page.get_by_placeholder("Enter your authentication token")
        expect(field).to_be_visible()
        expect(page.get_by_text("Authentication Token Required").first).to_be_visible()
        keep_screenshot(page, "cluster-ray-asks")
        field.fill(cluster.token)
        page.get_by_role("button", name="Submit").click()
        page.goto(f"{cluster.ray}/#/cluster")
        expect(page.get_by_text("ALIVE").first).to_be_visible()
        keep_screenshot(page, "cluster-ray")


def test_a_cancelled_job_goes_on_when_it_is_submitted_again(
    cluster: Cluster, gate: Gate, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    job = _submit_until_the_middle(cluster, "cancelled", gate, tmp_path)
    done = _gradgrid(cluster, "cancel", job)
    assert (done.returncode, "stopped" in done.stderr) == (0, True)
    (sweep,) = [s for s in _json(cluster, "list")["sweeps"] if s["spec"] == "cancelled"]
    assert sweep["status"] == "KILLED"
    assert 0 < _runs(cluster, "cancelled") < _TRIALS
    gate.open()
    assert _submit(cluster, "cancelled", gate, tmp_path) == job
    _succeeded(cluster, job)
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
    _wait("three workers", lambda: "3 that train" in _gradgrid(cluster, "doctor", "--cluster").stdout)
    assert _runs(cluster, "worker") < _TRIALS
    gate.open()
    cluster.run("restart", "-t", "1", "postgres", "mlflow")
    _succeeded(cluster, job)
    _exact(cluster, "worker", tmp_path, undisturbed)
    assert _hosts(cluster, "worker") & added, "the added workers got no work"


def test_the_network_between_a_worker_and_the_head_is_cut_in_the_middle(
    cluster: Cluster, gate: Gate, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    job = _submit_until_the_middle(cluster, "network", gate, tmp_path)
    (cut, _) = cluster.containers("ray-worker")
    subprocess.run(["docker", "network", "disconnect", f"{PROJECT}_cluster", cut], check=True, capture_output=True)
    assert _runs(cluster, "network") < _TRIALS
    gate.open()
    _succeeded(cluster, job)
    subprocess.run(["docker", "rm", "-f", cut], check=True, capture_output=True)
    _exact(cluster, "network", tmp_path, undisturbed)


def test_the_head_restarts_in_the_middle_and_the_sweep_is_resumed(
    cluster: Cluster, gate: Gate, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    job = _submit_until_the_middle(cluster, "head", gate, tmp_path)
    cluster.run("kill", "ray-head")
    cluster.run("up", "-d", "--scale", "ray-worker=2")
    cluster.wait_until_healthy(300)
    assert 0 < _runs(cluster, "head") < _TRIALS
    gate.open()
    assert _submit(cluster, "head", gate, tmp_path) == job
    _succeeded(cluster, job)
    _exact(cluster, "head", tmp_path, undisturbed)


@pytest.mark.usefixtures("swept")
def test_mlflow_with_accounts_refuses_users_without_one(cluster: Cluster) -> None:
    cluster.write_secrets(auth=True)
    try:
        cluster.run("up", "-d", "--scale", "ray-worker=2")
        cluster.wait_until_healthy(300)
        body = {"max_results": 100}
        place = f"{cluster.mlflow}/api/2.0/mlflow/experiments/search"
        assert requests.post(place, json=body, timeout=30).status_code == 401
        assert requests.post(place, json=body, auth=("admin", "wrong"), timeout=30).status_code == 401
        found = requests.post(place, json=body, auth=("admin", PASSWORD), timeout=30)
        assert "breast_cancer" in {e["name"] for e in found.json()["experiments"]}
        refused = _gradgrid(cluster, "list")
        assert (refused.returncode, "not authenticated" in refused.stderr) == (1, True)
        account = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        done = _gradgrid(cluster, "submit", "notebook", "--follow", **account)
        assert done.returncode == 0, done.stderr + done.stdout
        assert json.loads(_gradgrid(cluster, "top", "notebook", "--json", **account).stdout)["top"]
    finally:
        cluster.write_secrets()
