"""Runs per second into MLflow's store: by gradgrid, MlflowClient, a plain fluent loop, and raw requests.

    python benchmarks/recording.py [--rounds 3] [--only SQLite|PostgreSQL|HTTP]

The programs take turns to write the same trials (6 curves of 25 points: 150 metric rows; params, tags and final
weights) into new stores of one kind. So do the databases' own means for many rows, with rows that are ready. Figures
are medians. The benchmark starts a PostgreSQL, if one is installed, and an `mlflow server`; beside PostgreSQL itself
one more, with gradgrid's app, on a database there.

It needs adbc-driver-sqlite: `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).absolute().parent.parent)  # else engine.py of this folder would hide the engine

import numpy as np  # noqa: E402
import requests  # noqa: E402

from benchmarks.folders import new_folder  # noqa: E402
from engine.tensors import Tensor  # noqa: E402
from service.recording.connection import sqlite_path  # noqa: E402
from service.recording.run_table import RunTable  # noqa: E402
from service.recording.store import Store  # noqa: E402
from service.recording.threaded_map import ThreadedMap  # noqa: E402
from tests.service.postgres import binaries, new_database, running_postgres  # noqa: E402
from tests.service.tracking import TrackingServer, running_server  # noqa: E402

_CURVES, _POINTS, _SHARD = 6, 25, 500

Way = Callable[[str, RunTable], float | None]
"""Records runs in a store. Returns its seconds if it also does what is not to be measured."""


def _runs(count: int) -> RunTable:
    rng = np.random.default_rng(0)
    began = time.time_ns() // 1_000_000
    points = np.arange(_POINTS)
    return RunTable.from_columns(
        {
            "number": np.arange(count),
            "trial": [uuid.uuid4().hex for _ in range(count)],
            "run_id": [f"{n:08x}{uuid.uuid4().hex[:24]}" for n in range(count)],  # rising, as a sweep's
            "name": [f"relu, 0.1, {n}" for n in range(count)],
            "status": ["FINISHED"] * count,
            "start_time": np.full(count, began),
            "end_time": np.full(count, began + _POINTS),
        },
        params={f"param{k}": [str(k)] * count for k in range(10)},
        tags={"gradgrid.trial": list(map(str, range(count))), "gradgrid.outcome": ["finished"] * count},
        points=np.full(count, _POINTS),
        step=np.tile(12 * points, count),
        time=np.tile(began + points, count),
        curves={f"curve{c}": rng.random(count * _POINTS) for c in range(_CURVES)},
        measures={},
        weights=rng.random((count, 3)),
        tensors=[Tensor("layer1.weight", (1, 3))],
    )


def _gradgrid(*, weights: bool, backend: str | None = None) -> Way:
    def write(uri: str, runs: RunTable) -> None:
        store = Store(uri, create=True, backend_uri=backend)
        sweep = store.begin(uuid.uuid4().hex[:8], f"s{uuid.uuid4().hex[:8]}", {}, {}, {})
        recipe = store.recorder(sweep, weights=weights)
        assert not recipe.note, recipe.note
        with closing(recipe.open()) as recorder:
            for first in range(0, len(runs), _SHARD):
                assert recorder.record(runs.slice(first, _SHARD))
            recorder.finish()

    return write


def _client(uri: str, runs: RunTable) -> None:
    from mlflow import MlflowClient

    from service.recording.client_recorder import ClientRecorder

    client = MlflowClient(uri)
    experiment = client.create_experiment(uuid.uuid4().hex)
    assert ClientRecorder(client, experiment, uri).record(runs)


def _fluent(uri: str, runs: RunTable) -> None:
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(uuid.uuid4().hex)
    for record in runs.records():
        with mlflow.start_run(run_name=record.name):
            mlflow.log_params(dict(record.params))
            for point in range(_POINTS):
                step = next(iter(record.curves.values()))[point][0]
                mlflow.log_metrics({name: points[point][1] for name, points in record.curves.items()}, step=step)
            mlflow.log_dict({"tensors": list(record.weights)}, "final_weights.json")


def _raw(uri: str, runs: RunTable) -> None:
    """Send the least requests of a run, three, as many at once as gradgrid does, and ignore the answers."""
    api = f"{uri}/api/2.0/mlflow"
    session = requests.Session()
    body = {"name": uuid.uuid4().hex}
    experiment = session.post(f"{api}/experiments/create", json=body, timeout=60).json()["experiment_id"]

    def write(record: Any) -> None:
        tags = [{"key": k, "value": v} for k, v in record.tags.items()]
        run = {"experiment_id": experiment, "run_name": record.name, "start_time": record.start_time, "tags": tags}
        created = session.post(f"{api}/runs/create", json=run, timeout=60).json()["run"]["info"]["run_id"]
        params = [{"key": k, "value": v} for k, v in record.params.items()]
        metrics = [
            {"key": key, "value": value, "timestamp": at, "step": step}
            for key, points in record.curves.items()
            for step, value, at in points
        ]
        batch = {"run_id": created, "params": params, "metrics": metrics}
        session.post(f"{api}/runs/log-batch", json=batch, timeout=60).raise_for_status()
        ended = {"run_id": created, "status": "FINISHED", "end_time": record.end_time}
        session.post(f"{api}/runs/update", json=ended, timeout=60).raise_for_status()

    with closing(ThreadedMap()) as threads:
        threads.run(write, list(runs.records()))


def _ready_in_sqlite(uri: str, runs: RunTable) -> float:
    from benchmarks.ready_rows import ingest

    _gradgrid(weights=False)(uri, runs)
    path = sqlite_path(uri)
    assert path is not None
    return ingest(path, shards=len(runs) // _SHARD)


def _ready_in_postgresql(uri: str, runs: RunTable) -> float:
    from benchmarks.ready_rows import copy

    _gradgrid(weights=False)(uri, runs)
    return copy(uri)


_PLAIN = "plain loop: `start_run`, `log_metrics`"
_CLIENT = "MlflowClient: `create_run`, `log_batch`, `set_terminated`"


def _database_ways(runs: int) -> dict[str, tuple[Way, int]]:
    """Return the ways into a database. runs: how many gradgrid writes."""
    return {
        _PLAIN: (_fluent, 30),
        _CLIENT: (_client, 100),
        "gradgrid": (_gradgrid(weights=True), runs),
        "gradgrid, `weights: none`": (_gradgrid(weights=False), runs),
    }


def _server_ways(server: TrackingServer) -> dict[str, tuple[Way, int]]:
    return {
        _PLAIN: (_fluent, 20),
        _CLIENT: (_client, 60),
        "three raw requests for each run, eight at once": (_raw, 300),
        "gradgrid, `weights: none`": (_gradgrid(weights=False), 300),
        "gradgrid": (_gradgrid(weights=True), 300),
        "gradgrid with `--backend-store-uri`": (_gradgrid(weights=True, backend=server.store), 1_000),
    }


def _through(server: TrackingServer) -> Way:
    """Return the way through a server, whatever the store's own address."""
    record = _gradgrid(weights=True)
    return lambda _, runs: record(server.uri, runs)


@contextmanager
def _sqlite() -> Iterator[str]:
    folder = new_folder()
    os.chdir(folder)
    yield f"sqlite:///{folder}/mlflow.db"
    os.chdir("/")


@contextmanager
def _postgres(address: str) -> Iterator[str]:
    os.chdir(new_folder())  # for artifacts
    yield new_database(address)
    os.chdir("/")


@contextmanager
def _app_server(address: str) -> Iterator[TrackingServer]:
    folder, store = Path(new_folder()), new_database(address)
    with running_server(folder, store=store, app=True, workers=2) as server:
        yield server


def _measure(kind: str, ways: dict[str, tuple[Way, int]], place: Callable[[], object], rounds: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (write, count) in ways.items():
            with place() as uri:  # type: ignore[attr-defined]
                Store(uri, create=True)  # creates the tables outside the measurement
                runs = _runs(count)
                began = time.perf_counter()
                seconds = write(uri, runs) or time.perf_counter() - began
                rates[name].append(count / seconds)
        print(f"{kind}: " + ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in rates.items()), file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"| {kind} | {name} | {rate:,.0f} | {rate / medians[_CLIENT]:,.1f} |", flush=True)


@contextmanager
def _same(uri: str) -> Iterator[str]:
    yield uri


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["SQLite", "PostgreSQL", "HTTP"])
    arguments = parser.parse_args()
    wanted = [arguments.only] if arguments.only else ["SQLite", "PostgreSQL", "HTTP"]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| store | program | runs per second (median) | relative to MlflowClient |\n|---|---|---|---|")
    if "SQLite" in wanted:
        ways = {**_database_ways(9_000), "the same rows, ready, by ADBC's ingest of Arrow": (_ready_in_sqlite, 9_000)}
        _measure("SQLite", ways, _sqlite, arguments.rounds)
    if "PostgreSQL" in wanted and binaries():
        with running_postgres() as postgres, _app_server(postgres.address) as server:
            ways = {
                **_database_ways(3_000),
                "the same rows, ready, by COPY through psql": (_ready_in_postgresql, 3_000),
                "gradgrid, through a server with its app": (_through(server), 3_000),
            }
            _measure("PostgreSQL", ways, lambda: _postgres(postgres.address), arguments.rounds)
    if "HTTP" in wanted:
        with running_server(Path(new_folder())) as server:
            _measure("HTTP", _server_ways(server), lambda: _same(server.uri), arguments.rounds)


if __name__ == "__main__":
    main()
