"""The command in other processes: signals, servers, a running Ray."""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from service.recording.store import Store
from tests.ports import free_port
from tests.service.conftest import LONG, SPEC, TINY, Recorded, run_command, run_for_json, write_spec
from tests.service.processes import recorded_trials, start_command, wait_until


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_sweep_cleanly_and_it_can_be_resumed(tmp_path: Path, uri: str, number: int) -> None:
    process = start_command("sweep", write_spec(tmp_path, LONG), "--workers", "1", "--tracking-uri", uri, cwd=tmp_path)
    try:
        wait_until(lambda: recorded_trials(uri) >= 5, process)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    match = re.search(
        r"(\d+) of 400 trials are recorded; `gradgrid resume (\S+) --tracking-uri \S+` trains the rest", stderr
    )
    assert match is not None, stderr
    store = Store(uri)
    trials = list(store.trials(store.find_sweep(match[2])))
    assert 5 <= len(trials) == int(match[1]) < 400
    values = run_for_json("resume", match[2], "--inline", "--tracking-uri", uri)
    assert values["trials"] == 400
    trials = list(store.trials(store.find_sweep(match[2])))
    assert len({t.tags["gradgrid.trial"] for t in trials}) == len(trials) == 400


@pytest.mark.slow
def test_several_sweeps_begin_at_once_in_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    spec = write_spec(tmp_path, {**TINY, "steps": 20, "grid": {"seed": {"range": 300}}})
    processes = [
        start_command("sweep", spec, "--inline", "--json", "--tracking-uri", uri, cwd=tmp_path) for _ in range(3)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]  # of all: none is left running
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    results = [json.loads(stdout) for stdout, _ in outputs]
    assert len({result["sweep"] for result in results}) == 3
    store = Store(uri)
    for result in results:
        assert len(list(store.trials(store.find_sweep(result["sweep"])))) == 300
        assert result["best"]["metrics"] == results[0]["best"]["metrics"]


@pytest.mark.slow
def test_the_dashboard_serves_the_store_and_is_a_tracking_server(tmp_path: Path, uri: str) -> None:
    spec, port = write_spec(tmp_path, TINY), free_port()
    sweep = run_for_json("sweep", spec, "--inline", "--tracking-uri", uri)
    server = f"http://127.0.0.1:{port}"
    process = start_command("dashboard", "--port", str(port), "--tracking-uri", uri, cwd=tmp_path)
    try:
        assert process.stdout is not None
        assert server in process.stdout.readline()
        query = {"experiment_ids": [sweep["experiment_id"]]}
        found = requests.post(f"{server}/api/2.0/mlflow/runs/search", json=query, timeout=10)
        assert len(found.json()["runs"]) == 3
        assert "MLflow" in requests.get(server, timeout=10).text
        taken = run_command("dashboard", "--port", str(port), "--tracking-uri", uri)
        assert (taken.exit_code, "choose another with --port" in taken.stderr) == (1, True)
        through = run_command("sweep", spec, "--inline", "--json", "--tracking-uri", server)
        assert through.exit_code == 0, through.stderr
        second = json.loads(through.stdout)
        assert second["best"]["metrics"] == sweep["best"]["metrics"]
        assert len(run_for_json("top", second["sweep"], "--tracking-uri", server)["top"]) == 3
        assert run_for_json("verify", second["sweep"], "--tracking-uri", server)["differences"] == []
    finally:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in stderr


@pytest.fixture
def running_ray() -> Iterator[str]:
    """The address of a Ray head with two cores, in a folder whose name is short enough for its sockets."""
    address = f"127.0.0.1:{free_port()}"
    ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
    options = [
        "--head",
        "--port",
        address.partition(":")[2],
        "--num-cpus",
        "2",
        "--include-dashboard",
        "false",
        "--block",
    ]
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        head = subprocess.Popen(
            [*ray, "start", *options, "--temp-dir", folder],
            env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            health = [*ray, "health-check", "--address", address]
            deadline = time.monotonic() + 60
            while subprocess.run(health, capture_output=True, check=False).returncode != 0:
                assert time.monotonic() < deadline, "Ray did not start"
            yield address
        finally:
            head.send_signal(signal.SIGTERM)
            head.wait(timeout=30)


@pytest.mark.slow
def test_a_sweep_on_a_running_ray(recorded: Recorded, running_ray: str, tmp_path: Path, uri: str) -> None:
    arguments = ("sweep", write_spec(tmp_path, SPEC), "--address", running_ray, "--json", "--tracking-uri", uri)
    process = start_command(*arguments, cwd=tmp_path)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    best = recorded.result.best
    assert best is not None
    assert json.loads(stdout)["best"]["metrics"] == best["metrics"]


@pytest.mark.slow
def test_an_interrupted_sweep_leaves_no_task_on_a_running_ray(running_ray: str, tmp_path: Path, uri: str) -> None:
    arguments = ("sweep", write_spec(tmp_path, LONG), "--address", running_ray, "--tracking-uri", uri)
    process = start_command(*arguments, cwd=tmp_path)
    try:
        wait_until(lambda: recorded_trials(uri) >= 5, process)
        assert _tasks_of(running_ray)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    deadline = time.monotonic() + 30
    while _tasks_of(running_ray):
        assert time.monotonic() < deadline, "a task still trains"
        time.sleep(0.1)


def _tasks_of(address: str) -> list[str]:
    """Return the titles of the processes that train for the Ray head at an address."""
    titles, port = [], address.rpartition(":")[2]
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            (title, *_), parent = process.cmdline() or [""], process.parent()
            if "train_tables" in title and parent is not None:
                titles += [title for word in parent.cmdline() if re.fullmatch(rf"--gcs-address=\S+:{port}", word)]
    return titles


def test_an_address_that_is_not_rays_is_refused_soon() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    began = time.monotonic()
    try:
        result = run_command("sweep", "moons", "--address", f"127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert time.monotonic() - began < 60  # Ray itself tries for minutes
    assert result.exit_code == 1
    assert "does not answer as a Ray head" in result.stderr
