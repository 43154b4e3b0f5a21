"""gradgrid's app for an MLflow server: who may record through it, how much at once, and what it refuses."""

import functools
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

from experiments.errors import StoreError
from experiments.spec import load_spec
from service.execution.observer import NullObserver
from service.execution.retry import Retry
from service.recording import plugin_recorder, shard_protocol
from service.recording.bulk_recorder import run_id
from service.recording.infos import SweepInfo
from service.recording.plugin_recorder import PluginRecorder
from service.recording.rest_recorder import RestRecorder
from service.recording.shard_protocol import CONTENT_TYPE, FORMAT_HEADER, SHARDS_PATH, STATISTICS_PATH
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import MAX_SHARD_BYTES, SPEC, Recorded
from tests.service.tables import assert_same_trials
from tests.service.tracking import PASSWORD, TrackingServer, flaky, running_server
from tests.service.trial_records import BEGAN, RECORDS, begin_sweep, make_record, run_table, tables, write

_HEADERS = {"Content-Type": CONTENT_TYPE, FORMAT_HEADER: "1"}


def _plugin(store: Store, sweep: SweepInfo) -> PluginRecorder:
    recorder = store.recorder(sweep).open()
    assert isinstance(recorder, PluginRecorder)
    return recorder


@pytest.mark.parametrize("changes", [{}, {"dtype": "float32", "record": {"curves": "none"}}])
def test_a_sweep_through_the_app_has_the_figures_of_any_other(
    recorded: Recorded, app_server: TrackingServer, changes: dict[str, Any]
) -> None:
    resolved = load_spec({**SPEC, **changes})
    result = run_sweep(resolved, tracking_uri=app_server.uri, inline=True)
    if not changes:
        assert_same_trials(result.table, recorded.result.table)
    store = Store(app_server.uri)
    sweep = store.find_sweep(result.sweep)
    runs = {trial.trial: trial.run_id for trial in store.trials(sweep)}
    assert len(runs) == len(recorded.result.table)
    assert all(run_id(sweep.sweep, t.trial, t.number) == t.run_id for t in store.trials(sweep))
    assert all(store.final_weights(run) for run in runs.values())


@pytest.mark.parametrize("what", ["refuse", "swallow"])
def test_every_run_is_written_once_if_requests_fail_or_answers_are_lost(app_server: TrackingServer, what: str) -> None:
    """Every second request fails."""
    paths, lock = list[str](), threading.Lock()

    def fault(path: str) -> str:
        with lock:
            if path.startswith((SHARDS_PATH + "?", STATISTICS_PATH)):
                paths.append(path)
                return what if len(paths) % 2 else "pass"
        return "pass"

    with flaky(app_server, fault) as uri:
        _, sweep = begin_sweep(app_server.uri)
        retry = Retry(60, NullObserver())
        with closing(_plugin(Store(uri), sweep)) as recorder:
            for table in tables(sweep, RECORDS):
                retry.call(functools.partial(recorder.record, table))
            retry.call(recorder.finish)
    runs = MlflowClient(app_server.uri).search_runs([sweep.experiment_id])
    assert {run.info.run_id for run in runs} == {run_id(sweep.sweep, r.trial, r.number) for r in RECORDS}
    assert len(runs) == len(RECORDS)
    assert len(MlflowClient(app_server.uri).get_metric_history(runs[0].info.run_id, "loss")) in (2, 3)
    assert len(paths) == 2 * (len(list(tables(sweep, RECORDS))) + 1)


def test_a_large_shard_goes_in_parts_that_the_server_takes(app_server: TrackingServer) -> None:
    """A proxy may take less than the server: then the answer tells it."""
    paths: list[str] = []

    def fault(path: str) -> str:
        paths.append(path)
        return "pass"

    with flaky(app_server, fault) as uri:
        store = Store(uri)
        for limit, refused in ((MAX_SHARD_BYTES, 0), (10 * MAX_SHARD_BYTES, 1)):
            _, sweep = begin_sweep(app_server.uri)
            table = run_table(sweep, [make_record(n) for n in range(200)])
            recorder = _plugin(store, sweep)
            recorder._max_bytes = limit
            parts = -(-len(table.to_bytes()) // MAX_SHARD_BYTES)
            paths.clear()
            with closing(recorder):
                assert recorder.record(table) == table.texts("run_id")
            assert parts <= len(paths) - refused <= 4 * parts
            assert len(list(store.trials(sweep))) == 200


def test_a_run_that_is_too_large_alone_is_refused_with_what_to_do(app_server: TrackingServer) -> None:
    store, sweep = begin_sweep(app_server.uri)
    points = [(step, 1.0, BEGAN) for step in range(2_000)]
    table = run_table(sweep, [make_record(n, curves={"loss": points}) for n in range(2)])
    with closing(_plugin(store, sweep)) as recorder:
        with pytest.raises(StoreError, match=r"at most 20,000 bytes in a request, and one trial has .* let the"):
            recorder.record(table)
        assert len(write(recorder, sweep, RECORDS)) == len(RECORDS)


def test_a_large_request_is_refused_before_its_body_is_read(app_server: TrackingServer) -> None:
    for header, value, status in (
        ("Content-Length", str(10**12), 413),
        ("Content-Length", str(MAX_SHARD_BYTES + 1), 413),
        ("Transfer-Encoding", "chunked", 411),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", app_server.port, timeout=30)
        connection.putrequest("POST", f"{SHARDS_PATH}?experiment_id=0")
        connection.putheader(header, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == status
        assert "send" in json.loads(answer.read())["message"]
        connection.close()


@pytest.mark.parametrize(
    ("query", "headers", "status", "message"),
    [
        ("", {}, 400, "names no experiment"),
        ("?experiment_id=1/2", {}, 400, "names no experiment"),
        ("?experiment_id=99999999999", {}, 400, "names no experiment"),
        ("?experiment_id=987654", {}, 404, "No Experiment with id=987654"),
        ("?experiment_id=0", {FORMAT_HEADER: ""}, 400, "reads format 1 of runs, and the request has format none"),
        ("?experiment_id=0", {"Content-Encoding": "gzip"}, 415, "not encoded"),
        ("?experiment_id=0", {"Content-Type": "application/json"}, 415, "not application/vnd"),
        ("?experiment_id=0", {}, 400, "not a table of runs"),
        ("?experiment_id=0", {"Origin": "http://elsewhere.example"}, 403, "Cross-origin"),
        ("?experiment_id=0", {"Host": "elsewhere.example"}, 403, "Invalid Host"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_words(
    app_server: TrackingServer, query: str, headers: dict[str, str], status: int, message: str
) -> None:
    content = b"no Arrow"
    if status == 404:
        _, sweep = begin_sweep(app_server.uri)
        content = run_table(sweep, RECORDS[:1]).to_bytes()
    answer = requests.post(
        f"{app_server.uri}{SHARDS_PATH}{query}", content, headers={**_HEADERS, **headers}, timeout=30
    )
    assert (answer.status_code, message in answer.text) == (status, True), answer.text


def test_a_client_of_another_format_records_run_by_run_and_says_why(
    app_server: TrackingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sweep = begin_sweep(app_server.uri)
    before = _plugin(store, sweep)
    monkeypatch.setattr(shard_protocol, "FORMAT", 2)
    recipe = store.recorder(sweep)
    assert "reads format 1, while this gradgrid sends format 2; install the same gradgrid on both" in recipe.note
    with closing(recipe.open()) as recorder:
        assert isinstance(recorder, RestRecorder)
        write(recorder, sweep, RECORDS[:1])
    assert len(list(store.trials(sweep))) == 1
    monkeypatch.setattr(plugin_recorder, "FORMAT", 2)  # the server was replaced in the middle of a sweep
    with closing(before), pytest.raises(StoreError, match="the request has format 2: install the same gradgrid"):
        write(before, sweep, RECORDS[1:2])


def test_weights_that_the_server_does_not_serve_are_written_by_the_client(
    app_server: TrackingServer, tmp_path: Path
) -> None:
    store, sweep = begin_sweep(app_server.uri)
    client = MlflowClient(app_server.uri)
    experiment = client.create_experiment(sweep.sweep, artifact_location=str(tmp_path / "here"))
    recipe = store.recorder(sweep)
    assert recipe.artifact_location.startswith("mlflow-artifacts:/")
    here = str(tmp_path / "here")
    elsewhere = replace(recipe, experiment_id=experiment, artifact_location=here, folder=here)
    table = run_table(sweep, RECORDS[:2])
    with closing(elsewhere.open()) as recorder:
        assert isinstance(recorder, PluginRecorder)
        runs = recorder.record(table)
    for run in runs:
        assert Path(client.download_artifacts(run, "final_weights.json", str(tmp_path))).exists()
        assert (tmp_path / "here" / run / "artifacts" / "final_weights.json").exists()
    url = f"{app_server.uri}{SHARDS_PATH}?experiment_id={experiment}"
    refused = requests.post(url, table.to_bytes(), headers=_HEADERS, timeout=30)
    assert (refused.status_code, "send the runs without weights" in refused.text) == (400, True)


def test_runs_of_another_experiment_are_not_touched(app_server: TrackingServer) -> None:
    store, sweep = begin_sweep(app_server.uri)
    with closing(_plugin(store, sweep)) as recorder:
        run = write(recorder, sweep, RECORDS[:1])["trial0000"]
    client = MlflowClient(app_server.uri)
    client.delete_run(run)
    _, other = begin_sweep(app_server.uri)
    with closing(_plugin(store, other)) as recorder, pytest.raises(StoreError, match=f"{run} belongs to another"):
        recorder.record(run_table(sweep, RECORDS[:1]))
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert list(store.trials(other)) == []


def test_weights_are_not_written_into_another_experiments_folder(app_server: TrackingServer) -> None:
    """Whoever makes an experiment chooses where its artifacts are, and may name another one's place."""
    store, sweep = begin_sweep(app_server.uri)
    with closing(_plugin(store, sweep)) as recorder:
        run = write(recorder, sweep, RECORDS[:1])["trial0000"]
    before = store.final_weights(run)
    client = MlflowClient(app_server.uri)
    there = f"mlflow-artifacts:/{sweep.experiment_id}"
    other = client.create_experiment(f"{sweep.sweep}/other", artifact_location=there)
    table = run_table(sweep, [make_record(0, weights=[{"name": "w", "shape": [1, 2], "values": [6.0, 6.0]}])])
    url = f"{app_server.uri}{SHARDS_PATH}?experiment_id={other}"
    refused = requests.post(url, table.to_bytes(), headers=_HEADERS, timeout=30)
    assert (refused.status_code, "are not this experiment's" in refused.text) == (400, True)
    assert store.final_weights(run) == before


def test_nothing_is_recorded_into_a_deleted_experiment(app_server: TrackingServer) -> None:
    store, sweep = begin_sweep(app_server.uri)
    with closing(_plugin(store, sweep)) as recorder:
        MlflowClient(app_server.uri).delete_experiment(sweep.experiment_id)
        with pytest.raises(StoreError, match="was deleted"):
            write(recorder, sweep, RECORDS)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[TrackingServer]:
    """A server with the app and the cluster's accounts, behind a path, that denies what it does not know."""
    folder = tmp_path_factory.mktemp("guarded")
    accounts = (root / "docker" / "auth.ini").read_text(encoding="utf-8")
    (folder / "auth.ini").write_text(accounts.replace("/artifacts", str(folder)), encoding="utf-8")
    settings = {"MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true", "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini")}
    with running_server(folder, app=True, auth=True, prefix="/team", settings=settings) as server:
        yield server


@pytest.mark.slow
def test_accounts_decide_who_may_record(guarded: TrackingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def be(user: str, password: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)

    be("admin", PASSWORD)
    store, sweep = begin_sweep(guarded.uri)
    with closing(_plugin(store, sweep)) as recorder:
        assert len(write(recorder, sweep, RECORDS[:2])) == 2
        recorder.finish()
    admin = ("admin", PASSWORD)
    for user in ("reader", "writer"):
        body = {"username": user, "password": PASSWORD}
        requests.post(
            f"{guarded.uri}/api/2.0/mlflow/users/create", json=body, auth=admin, timeout=60
        ).raise_for_status()
    grant = {"username": "writer", "resource_type": "experiment", "resource_id": sweep.experiment_id}
    grant["permission"] = "EDIT"
    place = f"{guarded.uri}/api/3.0/mlflow/users/permissions/grant"
    requests.post(place, json=grant, auth=admin, timeout=60).raise_for_status()

    url = f"{guarded.uri}{SHARDS_PATH}"
    content = run_table(sweep, RECORDS[2:4]).to_bytes()

    def post(url: str, who: tuple[str, str] | None) -> int:
        return requests.post(url, content, headers=_HEADERS, auth=who, timeout=60).status_code

    assert requests.get(url, timeout=60).status_code == 401
    reader, writer = ("reader", PASSWORD), ("writer", PASSWORD)
    assert post(f"{url}?experiment_id={sweep.experiment_id}", None) == 401
    assert post(f"{url}?experiment_id={sweep.experiment_id}", ("admin", "wrong")) == 401
    for query in (sweep.experiment_id, f"0{sweep.experiment_id}"):
        assert post(f"{url}?experiment_id={query}", reader) == 403
    assert post(f"{guarded.uri}{STATISTICS_PATH}?experiment_id={sweep.experiment_id}", reader) == 403
    headers = {**_HEADERS, "Content-Type": "application/json"}
    forged = json.dumps({"experiment_id": sweep.experiment_id})
    answer = requests.post(f"{url}?experiment_id=0", forged, headers=headers, auth=writer, timeout=60)
    assert answer.status_code == 403
    assert len(list(store.trials(sweep))) == 2

    be(*reader)
    with (
        closing(_plugin(store, sweep)) as recorder,
        pytest.raises(StoreError, match="403 Forbidden: Permission denied"),
    ):
        write(recorder, sweep, RECORDS[2:4])
    be(*writer)
    with closing(_plugin(store, sweep)) as recorder:
        assert len(write(recorder, sweep, RECORDS[2:4])) == 2
    be("admin", PASSWORD)
    assert len(list(store.trials(sweep))) == 4


_OTHER_SERVERS = """
import json, sys
from service.recording.server_app import create_app
app = create_app()
client = app.test_client()
offer = client.get("/api/2.0/gradgrid/shards")
large = client.post("/api/2.0/gradgrid/shards?experiment_id=0", data=b"x" * 101,
    headers={"Content-Type": "application/vnd.apache.arrow.stream", "Gradgrid-Format": "1"})
print(json.dumps([type(app).__name__, offer.get_json(), large.status_code]))
"""


@pytest.fixture
def offered(tmp_path: Path) -> Callable[[str], list[Any]]:
    """A function that makes the app as gunicorn and waitress would, on a database; return what it answers."""

    def ask(store: str) -> list[Any]:
        settings = {
            "_MLFLOW_SERVER_FILE_STORE": store,
            "GRADGRID_MAX_SHARD_BYTES": "100",
            "_MLFLOW_SGI_NAME": "gunicorn",
        }
        done = subprocess.run(
            [sys.executable, "-c", _OTHER_SERVERS],
            cwd=tmp_path,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=True,
        )
        return list(json.loads(done.stdout.splitlines()[-1]))

    return ask


@pytest.mark.slow
def test_the_app_is_made_for_other_servers_than_uvicorn_too(uri: str, offered: Callable[[str], list[Any]]) -> None:
    kind, offer, large = offered(uri)
    assert (kind, large) == ("Flask", 413)
    assert (offer["formats"], offer["max_bytes"], offer["writers"], offer["why_not"]) == ([1], 100, 1, "")
    assert offer["artifacts"] is False


@pytest.mark.slow
def test_a_server_that_can_not_write_in_bulk_says_why(
    tmp_path: Path, uri: str, offered: Callable[[str], list[Any]]
) -> None:
    import sqlite3

    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT ''")
        connection.execute("ALTER TABLE params RENAME COLUMN value TO text")
        connection.commit()
    _, offer, _ = offered(uri)
    assert offer["why_not"] == "its table params has no column value"
    assert shard_protocol.Offer.from_json(offer).misfit == offer["why_not"]
