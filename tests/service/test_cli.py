"""The command, as a user meets it: what it prints, where, and its exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from experiments.datasets import BUILTINS
from service.cli import main
from service.recording.sweeps import Store, TrialInfo
from tests.ports import free_port
from tests.service.conftest import SPEC, Recorded

_TINY = {"name": "tiny", "dataset": {"name": "xor"}, "steps": 5, "grid": {"seed": {"range": 3}}}


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def _json(*arguments: str) -> Any:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def _spec(folder: Path, spec: dict[str, Any]) -> str:
    file = folder / f"{spec['name']}.yaml"
    file.write_text(json.dumps(spec), encoding="utf-8")  # JSON is YAML
    return str(file)


def test_sweep_prints_one_json_object_with_the_contracts_keys(tmp_path: Path, uri: str) -> None:
    values = _json("sweep", _spec(tmp_path, _TINY), "--inline", "--tracking-uri", uri)
    assert set(values) == {
        "sweep", "sweep_run_id", "experiment_id", "tracking_uri", "trials", "finished", "diverged", "seconds", "best",
    }  # fmt: skip
    assert (values["trials"], values["finished"], values["diverged"], values["tracking_uri"]) == (3, 3, 0, uri)
    assert set(values["best"]) == {"run_id", "params", "metrics"}
    assert Store(uri).find_sweep(values["sweep"]).run_id == values["sweep_run_id"]


def test_sweep_shows_a_leaderboard_on_stdout_and_notes_on_stderr(tmp_path: Path, uri: str) -> None:
    result = _run("sweep", _spec(tmp_path, _TINY), "--inline", "--tracking-uri", uri)
    assert "The best of 3 trials by loss" in result.stdout
    assert re.search(r"^sweep \S+: 3 trials of 1 program on 1 worker$", result.stderr, re.MULTILINE)
    assert "3 trials finished, 0 diverged" in result.stderr
    assert f"gradgrid dashboard --tracking-uri {uri}" in result.stderr
    run = re.search(r"gradgrid show (\w{8})", result.stderr)
    assert run is not None
    assert _run("show", run[1], "--tracking-uri", uri).exit_code == 0


def test_the_store_is_mlflows_default_in_the_folder_or_the_environments(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec(tmp_path, _TINY)
    assert _run("sweep", spec, "--inline").exit_code == 0
    assert Path("mlflow.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert _json("sweep", spec, "--inline")["tracking_uri"] == uri


def test_a_dry_run_tells_the_size_and_makes_nothing(tmp_path: Path) -> None:
    result = _run("sweep", "moons", "--dry-run", "--workers", "2")
    assert "1,000 trials (4 activation x 25 learning_rate x 10 seed)" in result.stdout
    assert "275,000 metric rows" in result.stdout
    values = _json("sweep", _spec(tmp_path, _TINY), "--dry-run", "--set", "grid.seed.range=7")
    assert (values["trials"], values["programs"], values["shards"]) == (7, 1, 1)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sweep"], 2, "Missing argument 'SPEC': a sweep file, or a ready sweep: breast_cancer, moons"),
        (["sweep", "moonz"], 2, "did you mean 'moons'"),
        (["sweep", "moons", "--set", "steps=-1"], 2, "--set steps=-1: steps: must be from 1"),
        (["sweep", "moons", "--set", "grid.seed.range=1000000000"], 2, "the grid has 100,000,000,000 trials"),
        (["sweep", "moons", "--set", "dataset.name=moonz"], 2, "--set dataset.name=moonz: dataset: no data set"),
        (["sweep", "moons", "--inline", "--address", "auto"], 2, "--inline trains without Ray"),
        (["sweep", "moons", "--workers", "0"], 2, "0 is not in the range"),
        (["sweep", "moons", "--address", "127.0.0.1:1"], 1, "nobody listens at 127.0.0.1:1"),
        (["sweep", "moons", "--address", "somewhere"], 1, "'somewhere' is no Ray address; write host:port"),
        (
            ["sweep", "moons", "--inline", "--tracking-uri", "sqlite:////nowhere/m.db"],
            1,
            "/nowhere of the store does not",
        ),
        (["sweep", "moons", "--inline", "--tracking-uri", "http://127.0.0.1:1"], 1, "no MLflow server answers at"),
        (["sweep", "moons", "--inline", "--tracking-uri", "gopher://x"], 1, "MLflow's store at gopher://x failed"),
        (["top", "moons"], 1, "there is no MLflow store at"),
        (["list"], 1, "run a sweep first, or name one with --tracking-uri"),
        (["show", "abc"], 1, "there is no MLflow store at"),
        (["dashboard"], 1, "there is no MLflow store at"),
        (["sweep", "--resume", "abc"], 1, "there is no MLflow store at"),
    ],
)
def test_a_mistake_gets_one_message_and_its_exit_code(arguments: list[str], code: int, message: str) -> None:
    began = time.monotonic()
    result = _run(*arguments)
    assert time.monotonic() - began < 15
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(Path.cwd().iterdir()) == []  # nothing half-made


def test_a_store_that_cannot_be_written_or_is_of_another_version(tmp_path: Path) -> None:
    import sqlite3

    def with_table(name: str, *statements: str) -> str:
        with sqlite3.connect(tmp_path / name) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        return f"sqlite:///{tmp_path / name}"

    version = "create table alembic_version (version_num varchar(32))"
    older = with_table("older.db", version, "insert into alembic_version values ('451aebb31d03')")
    newer = with_table("newer.db", version, "insert into alembic_version values ('ffffffffffff')")
    other = with_table("other.db", "create table recipes (name text)")
    (tmp_path / "text.db").write_text("no database at all, but long enough to be looked at as one", encoding="utf-8")
    for uri, message in (
        (older, "made by another MLflow version: its schema is 451aebb31d03.* back it up and run `mlflow db upgrade"),
        (newer, "made by another MLflow version: its schema is ffffffffffff.* install the MLflow that made it"),
        (other, "is no MLflow store; name another"),
        (f"sqlite:///{tmp_path / 'text.db'}", "can't be opened: .*file is not a database"),
        (f"sqlite:///{tmp_path}", "can't be written"),
    ):
        result = _run("sweep", "moons", "--inline", "--tracking-uri", uri)
        assert result.exit_code == 1
        assert re.search(message, result.stderr), result.stderr
        assert result.stderr.count("\n") == 1


def test_bad_data_gets_its_place_and_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,y\n1,0\n,1\n", encoding="utf-8")
    file = tmp_path / "own.yaml"
    file.write_text("name: own\ndataset:\n  path: d.csv\n  target: y\n", encoding="utf-8")
    result = _run("sweep", str(file), "--inline")
    assert result.exit_code == 2
    assert result.stderr.startswith("gradgrid: own.yaml:3: dataset: d.csv, line 3: column 'x' is empty or NaN")
    assert list(Path.cwd().iterdir()) == []


def test_top_ranks_by_any_metric(recorded: Recorded) -> None:
    by_loss = _json("top", "small", "-n", "3", "--tracking-uri", recorded.uri)
    losses = [trial["metrics"]["test_loss"] for trial in by_loss["top"]]
    assert by_loss["by"] == "test_loss"
    assert losses == sorted(losses)
    assert len(losses) == 3
    best = recorded.result.best
    assert best is not None
    assert by_loss["top"][0]["run_id"] == best["run_id"]
    everything = _json("top", recorded.result.sweep, "--by", "accuracy", "-n", "99", "--tracking-uri", recorded.uri)
    accuracies = [trial["metrics"]["accuracy"] for trial in everything["top"]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert len(accuracies) == 6  # those that diverged are not ranked
    result = _run("top", "small", "--by", "acuracy", "--tracking-uri", recorded.uri)
    assert result.exit_code == 2
    assert "have no metric 'acuracy'; did you mean 'accuracy'" in result.stderr
    text = _run("top", "small", "--tracking-uri", recorded.uri).stdout
    assert best["run_id"][:8] in text


def test_show_a_sweep_and_a_trial(recorded: Recorded) -> None:
    text = _run("show", "small", "--tracking-uri", recorded.uri).stdout
    assert f"small/{recorded.result.sweep}: finished" in text
    assert "relu, tanh" in text
    best = recorded.result.best
    assert best is not None
    trial = _run("show", best["run_id"][:10], "--tracking-uri", recorded.uri).stdout
    assert best["run_id"] in trial
    assert "finished after 20 steps; kernel reference 1" in trial
    assert "layer1.weight [3, 2]: " in trial
    values = _json("show", best["run_id"], "--tracking-uri", recorded.uri)
    assert values["metrics"] == pytest.approx(best["metrics"])
    assert [len(tensor["values"]) for tensor in values["final_weights"]] == [6, 3, 3, 1]
    assert _json("show", "small", "--tracking-uri", recorded.uri)["metrics"]["trials"] == 12
    result = _run("show", "zzz", "--tracking-uri", recorded.uri)
    assert (result.exit_code, "has no sweep 'zzz'" in result.stderr) == (2, True)


def test_list_shows_the_sweeps(recorded: Recorded, uri: str) -> None:
    assert recorded.result.sweep in _run("list", "--tracking-uri", recorded.uri).stdout
    (sweep,) = _json("list", "--tracking-uri", recorded.uri)["sweeps"]
    assert (sweep["spec"], sweep["status"], sweep["metrics"]["diverged"]) == ("small", "FINISHED", 6)
    Store(uri, create=True)
    empty = _run("list", "--tracking-uri", uri)
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "no sweeps yet" in empty.stderr


@pytest.mark.parametrize(
    ("ending", "read"), [("parquet", pd.read_parquet), ("csv", pd.read_csv), ("json", pd.read_json)]
)
def test_export_writes_every_trial(recorded: Recorded, ending: str, read: Any) -> None:
    values = _json("export", "small", "-o", f"t.{ending}", "--tracking-uri", recorded.uri)
    assert values == {"sweep": recorded.result.sweep, "file": f"t.{ending}", "trials": 12}
    table = read(f"t.{ending}")
    assert list(table.columns) == list(recorded.result.table.columns)
    finished = table["outcome"] == "finished"
    assert table.loc[finished, "metrics.loss"].to_numpy() == pytest.approx(
        recorded.result.table.loc[finished.to_numpy(), "metrics.loss"].to_numpy(), rel=1e-14
    )
    assert [file.name for file in Path.cwd().iterdir()] == [f"t.{ending}"]


def test_verify_finds_every_figure_equal(recorded: Recorded) -> None:
    result = _run("verify", "small", "--tracking-uri", recorded.uri)
    assert result.exit_code == 0
    figures = re.search(
        r"^12 trials trained again, ([\d,]+) figures compared: \1 equal to the last bit$", result.stdout
    )
    assert figures is not None, result.stdout
    points = sum(len(recorded.store.curve(t.run_id, name)) for t in _trials(recorded) for name in t.metrics)
    assert int(figures[1].replace(",", "")) == points + 12 * 13
    sampled = _json("verify", "small", "--sample", "4", "--tracking-uri", recorded.uri)
    assert (sampled["trials"], sampled["differences"]) == (4, [])
    run = _trials(recorded)[0].run_id
    assert _json("verify", run, "--tracking-uri", recorded.uri)["trials"] == 1


def _trials(recorded: Recorded) -> list[TrialInfo]:
    return list(recorded.store.trials(recorded.store.find_sweep("small")))


@pytest.mark.parametrize("what", ["a point", "a weight", "a missing point"])
def test_verify_finds_what_was_changed(tmp_path: Path, uri: str, what: str) -> None:
    import sqlite3

    sweep = _json("sweep", _spec(tmp_path, _TINY), "--inline", "--tracking-uri", uri)
    run = sweep["best"]["run_id"]
    if what == "a weight":
        (file,) = Path.cwd().rglob(f"{run}/artifacts/final_weights.json")
        content = json.loads(file.read_text(encoding="utf-8"))
        content["tensors"][0]["values"][1] += 1e-6
        file.write_text(json.dumps(content), encoding="utf-8")
    else:
        change = "delete from metrics" if what == "a missing point" else "update metrics set value = value * (1 + 1e-8)"
        with sqlite3.connect(tmp_path / "mlflow.db") as connection:
            connection.execute(f"{change} where run_uuid = ? and key = 'loss' and step = 2", [run])
        connection.close()
    result = _run("verify", "tiny", "--tracking-uri", uri)
    assert result.exit_code == 1
    assert "1 DIFFERENT" in result.stdout
    assert ("layer1.weight[1]" if what == "a weight" else "loss at step 2") in result.stdout


def test_export_says_what_it_cannot_do(recorded: Recorded) -> None:
    wrong = _run("export", "small", "-o", "t.xlsx", "--tracking-uri", recorded.uri)
    assert (wrong.exit_code, "end it in .parquet, .csv, .json" in wrong.stderr) == (2, True)
    nowhere = _run("export", "small", "-o", "nowhere/t.csv", "--tracking-uri", recorded.uri)
    assert (nowhere.exit_code, "nowhere/t.csv can't be written" in nowhere.stderr) == (1, True)


def test_a_deleted_sweep_is_gone_until_mlflow_restores_it(tmp_path: Path, uri: str) -> None:
    sweep = _json("sweep", _spec(tmp_path, _TINY), "--inline", "--tracking-uri", uri)
    refused = CliRunner().invoke(main, ["delete", "tiny", "--tracking-uri", uri], input="n\n")
    assert refused.exit_code == 1
    assert len(_json("list", "--tracking-uri", uri)["sweeps"]) == 1
    assert _run("delete", "tiny", "--yes", "--tracking-uri", uri).exit_code == 0
    assert _json("list", "--tracking-uri", uri)["sweeps"] == []
    client = MlflowClient(uri)
    client.restore_run(sweep["sweep_run_id"])
    client.restore_experiment(sweep["experiment_id"])
    assert len(_json("top", "tiny", "--tracking-uri", uri)["top"]) == 3


def test_the_lists_of_what_there_is() -> None:
    assert [row["name"] for row in _json("datasets")["datasets"]] == list(BUILTINS)
    assert {"relu", "gelu", "mish"} <= {row["name"] for row in _json("activations")["activations"]}
    optimizers = {row["name"]: row["hyperparameters"] for row in _json("optimizers")["optimizers"]}
    assert optimizers["adam"] == {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    for command in ("datasets", "activations", "optimizers"):
        assert _run(command).exit_code == 0


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(recorded: Recorded) -> None:
    well = _run("doctor", "--tracking-uri", recorded.uri)
    assert well.exit_code == 0, well.stdout
    assert "1 sweep" in well.stdout
    assert "starts on this machine" in well.stdout
    ill = _run("doctor", "--tracking-uri", "sqlite:////nowhere/m.db", "--address", "127.0.0.1:1")
    assert ill.exit_code == 1
    assert ill.stdout.count("WRONG") == 2
    assert "store: " in ill.stderr
    assert "ray: start Ray there" in ill.stderr
    findings = _json("doctor", "--tracking-uri", recorded.uri)["findings"]
    assert {"python", "ray", "mlflow", "store", "cores"} <= {finding["subject"] for finding in findings}


# ------------------------------------------------------------------------------------------------- real processes


def _start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_sweep_cleanly_and_it_can_be_resumed(tmp_path: Path, uri: str, number: int) -> None:
    spec = {**SPEC, "steps": 1200, "grid": {"activation": ["relu", "tanh"], "seed": {"range": 300}}}
    process = _start("sweep", _spec(tmp_path, spec), "--workers", "1", "--tracking-uri", uri, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _recorded_count(uri) < 5:
        time.sleep(0.1)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    told = re.search(r"(\d+) of 600 trials are recorded; `gradgrid sweep --resume (\S+)` trains the rest", stderr)
    assert told is not None, stderr
    store = Store(uri)
    trials = list(store.trials(store.find_sweep(told[2])))
    assert 5 <= len(trials) == int(told[1]) < 600
    values = _json("sweep", "--resume", told[2], "--inline", "--tracking-uri", uri)
    assert values["trials"] == 600
    trials = list(store.trials(store.find_sweep(told[2])))
    assert len({t.tags["gradgrid.trial"] for t in trials}) == len(trials) == 600


def _recorded_count(uri: str) -> int:
    import sqlite3

    path = Path(uri.removeprefix("sqlite:///"))
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            count = connection.execute("select count(*) from runs where status = 'FINISHED'").fetchone()[0]
        connection.close()
    except sqlite3.OperationalError:
        return 0
    return int(count)


def test_the_dashboard_serves_the_store_and_is_a_tracking_server(tmp_path: Path, uri: str) -> None:
    spec, port = _spec(tmp_path, _TINY), free_port()
    sweep = _json("sweep", spec, "--inline", "--tracking-uri", uri)
    server = f"http://127.0.0.1:{port}"
    process = _start("dashboard", "--port", str(port), "--tracking-uri", uri, cwd=tmp_path)
    try:
        assert process.stdout is not None
        assert server in process.stdout.readline()
        query = {"experiment_ids": [sweep["experiment_id"]]}
        found = requests.post(f"{server}/api/2.0/mlflow/runs/search", json=query, timeout=10)
        assert len(found.json()["runs"]) == 3
        assert "MLflow" in requests.get(server, timeout=10).text
        taken = _run("dashboard", "--port", str(port), "--tracking-uri", uri)
        assert (taken.exit_code, "choose another with --port" in taken.stderr) == (1, True)
        through = _run("sweep", spec, "--inline", "--json", "--tracking-uri", server)
        assert through.exit_code == 0, through.stderr
        assert "recording through MLflow's client, run by run" in through.stderr
        second = json.loads(through.stdout)
        assert second["best"]["metrics"] == sweep["best"]["metrics"]
        assert len(_json("top", second["sweep"], "--tracking-uri", server)["top"]) == 3
        assert _json("verify", second["sweep"], "--tracking-uri", server)["differences"] == []
    finally:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in stderr


@pytest.fixture
def running_ray() -> Iterator[str]:
    """The address of a Ray head of two cores, in a folder whose name is short enough for its sockets."""
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


def test_a_sweep_on_a_running_ray(recorded: Recorded, running_ray: str, tmp_path: Path, uri: str) -> None:
    arguments = ("sweep", _spec(tmp_path, SPEC), "--address", running_ray, "--json", "--tracking-uri", uri)
    process = _start(*arguments, cwd=tmp_path)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    best = recorded.result.best
    assert best is not None
    assert json.loads(stdout)["best"]["metrics"] == best["metrics"]


def test_something_that_is_no_ray_is_told_within_fifteen_seconds() -> None:
    import http.server
    import threading

    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    began = time.monotonic()
    try:
        result = _run("sweep", "moons", "--address", f"127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert time.monotonic() - began < 15
    assert result.exit_code == 1
    assert "does not answer as a Ray head" in result.stderr
