"""The whole cluster in containers, used from outside. `make test-cluster` runs these."""

import json
import re
import shlex
import socket
import subprocess
from pathlib import Path

import pytest
import requests
from playwright.sync_api import expect

from experiments.spec import load_spec
from service.recording.bulk_recorder import run_id
from service.run import run_sweep
from tests.cluster.compose import MARKS, PASSWORD, ROOT, Cluster
from tests.cluster.outside import export_table, gradgrid, gradgrid_json, recorded_runs
from tests.service.browser import keep_screenshot, open_page
from tests.service.tables import assert_same_trials

pytestmark = MARKS


def test_every_service_becomes_healthy(cluster: Cluster) -> None:
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


def test_the_head_and_the_workers_know_no_database(cluster: Cluster) -> None:
    (worker, _), (head,) = cluster.containers("ray-worker"), cluster.containers("ray-head")
    for container in (worker, head):
        assert not any("a-secret-of-the-tests" in line for line in cluster.inspect(container)["Config"]["Env"])
        script = "import socket; socket.create_connection(('postgres', 5432), timeout=3)"
        done = subprocess.run(["docker", "exec", container, "python3", "-c", script], capture_output=True, check=False)
        assert done.returncode != 0


def test_the_cluster_records_in_bulk_through_the_server(cluster: Cluster, swept: str, tmp_path: Path) -> None:
    """The id of a run that was created alone would be the server's choice."""
    assert "run by run" not in swept
    offer = requests.get(f"{cluster.mlflow}/api/2.0/gradgrid/shards", timeout=30).json()
    assert (offer["formats"], offer["writers"], offer["artifacts"], offer["why_not"]) == ([1], 2, True, "")
    sweep = gradgrid_json(cluster, "show", "breast_cancer")["sweep"]
    table = export_table(cluster, "breast_cancer", tmp_path)
    ids = [run_id(sweep, trial, number) for trial, number in zip(table["trial"], table["number"], strict=True)]
    assert table["run_id"].tolist() == ids


def test_a_ready_sweep_runs_on_both_workers_with_the_results_of_one_outside(
    cluster: Cluster, swept: str, tmp_path: Path
) -> None:
    assert "The best of 280 trials by test_loss" in swept
    assert recorded_runs(cluster, "breast_cancer") == 280
    outside = run_sweep(load_spec("breast_cancer"), tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", inline=True)
    assert_same_trials(export_table(cluster, "breast_cancer", tmp_path), outside.table)
    verified = gradgrid_json(cluster, "verify", "breast_cancer", "--sample", "3")
    assert (verified["trials"], verified["differences"]) == (3, [])
    again = gradgrid_json(cluster, "submit", "experiments/breast_cancer.yaml")
    assert (again["new"], again["status"]) == (False, "SUCCEEDED")
    for kind, arguments in (("sweeps", []), ("jobs", ["--jobs"])):
        known = [found["spec"] for found in gradgrid_json(cluster, "list", *arguments)[kind]]
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
        done = gradgrid(cluster, *shlex.split(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_a_backup_is_taken_and_put_back(cluster: Cluster, swept: str) -> None:
    """The commands are those that the docs print."""
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    docker-compose exec (.*(?:mlflow\.dump|artifacts\.tar))$", text, flags=re.MULTILINE)
    assert len(commands) == 4
    before = recorded_runs(cluster, "breast_cancer")
    for command in commands[:2]:
        cluster.shell(f"exec {command}")
    assert gradgrid(cluster, "delete", "breast_cancer", "--yes").returncode == 0
    assert recorded_runs(cluster, "breast_cancer") == 0
    for command in commands[2:]:
        cluster.shell(f"exec {command}")
    assert recorded_runs(cluster, "breast_cancer") == before == 280
    assert gradgrid_json(cluster, "verify", "breast_cancer", "--sample", "2")["differences"] == []


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
    done = gradgrid(cluster, "submit", str(tmp_path / "own.yaml"), "--set", "steps=20", "--follow", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "SUCCEEDED"
    assert len(gradgrid_json(cluster, "top", "own")["top"]) == 4
    assert gradgrid_json(cluster, "promote", "own", "--name", "own")["version"] == 1


def test_the_launcher_sweeps_inside_the_network(cluster: Cluster) -> None:
    done = cluster.run("run", "--rm", "-T", "launcher", "sweep", "xor", "--set", "name=inside", "--json")
    values = json.loads(done.stdout[done.stdout.index("{") :])
    assert values["trials"] == values["finished"] > 0
    assert recorded_runs(cluster, "inside") == values["trials"]


def test_without_the_token_nothing_is_done(cluster: Cluster) -> None:
    refused = gradgrid(cluster, "submit", "xor", RAY_AUTH_TOKEN="")
    assert (refused.returncode, "asks for a token" in refused.stderr) == (1, True)
    wrong = gradgrid(cluster, "submit", "xor", RAY_AUTH_TOKEN="wrong")
    assert (wrong.returncode, "refused the token" in wrong.stderr) == (1, True)
    for path in ("/api/jobs/", "/api/version", "/nodes?view=summary", "/api/v0/actors"):
        assert requests.get(f"{cluster.ray}{path}", timeout=10).status_code in (401, 403), path
    body = {"entrypoint": "touch /tmp/taken"}
    assert requests.post(f"{cluster.ray}/api/jobs/", json=body, timeout=10).status_code in (401, 403)


def test_doctor_looks_at_the_cluster(cluster: Cluster) -> None:
    findings = {f["subject"]: f for f in gradgrid_json(cluster, "doctor", "--cluster")["findings"]}
    assert all(finding["ok"] for finding in findings.values())
    assert findings["workers"]["detail"] == "2 that train, 2 cores in all"
    refused = gradgrid(cluster, "doctor", "--cluster", RAY_AUTH_TOKEN="wrong")
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


@pytest.mark.usefixtures("swept")
def test_mlflow_with_accounts_refuses_users_without_one(cluster: Cluster) -> None:
    cluster.write_secrets(auth=True)
    try:
        cluster.run("up", "-d", "--scale", "ray-worker=2")
        cluster.wait_until_healthy()
        body = {"max_results": 100}
        place = f"{cluster.mlflow}/api/2.0/mlflow/experiments/search"
        assert requests.post(place, json=body, timeout=30).status_code == 401
        assert requests.post(place, json=body, auth=("admin", "wrong"), timeout=30).status_code == 401
        found = requests.post(place, json=body, auth=("admin", PASSWORD), timeout=30)
        assert "breast_cancer" in {e["name"] for e in found.json()["experiments"]}
        refused = gradgrid(cluster, "list")
        assert (refused.returncode, "not authenticated" in refused.stderr) == (1, True)
        account = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        done = gradgrid(cluster, "submit", "notebook", "--follow", **account)
        assert done.returncode == 0, done.stderr + done.stdout
        assert json.loads(gradgrid(cluster, "top", "notebook", "--json", **account).stdout)["top"]
    finally:
        cluster.write_secrets()
