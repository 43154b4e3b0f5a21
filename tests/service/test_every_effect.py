"""Each effect of a small sweep fails once, or ends the process, before or after it took place; then it is resumed.

An effect is whatever another process can see: a transaction, a file, a call of MLflow's client, a request. After the
resumption each trial is there exactly once, with the bits of a sweep that met no trouble. `make slow` takes every
twentieth effect, `make kill` every one.
"""

from __future__ import annotations

import errno
import functools
import multiprocessing
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any
from unittest.mock import patch

import pytest
from mlflow import MlflowClient
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from experiments.errors import GradgridError
from experiments.spec import load_spec
from service.execution.result import SweepResult
from service.recording.artifact_writers import LocalArtifactWriter
from service.recording.postgres_database import PostgresDatabase
from service.recording.rest_client import Server
from service.recording.sqlite_database import SqliteDatabase
from service.recording.store import Store
from service.run import run_sweep
from tests.service.tables import assert_same_trials
from tests.service.tracking import TrackingServer

pytestmark = pytest.mark.slow

_STRIDE = 1 if int(os.environ.get("GRADGRID_KILL_ROUNDS", "0")) >= 200 else 20  # `make kill` takes every effect

_SPEC: dict[str, Any] = {
    "name": "small",
    "dataset": {"name": "moons", "samples": 40},
    "steps": 20,
    "grid": {"learning_rate": [0.1, 1e30], "seed": {"range": 2}},
    "record": {"points": 3, "curves": "file"},
}
_CLIENT_CALLS = ("create_experiment", "create_run", "log_batch", "set_tag", "set_experiment_tag", "set_terminated")
_EFFECTS: list[tuple[type, str]] = [
    *((MlflowClient, call) for call in (*_CLIENT_CALLS, "update_run", "delete_run")),
    (LocalArtifactRepository, "log_artifact"),
    (LocalArtifactRepository, "delete_artifacts"),
    (LocalArtifactWriter, "write_file"),
    (SqliteDatabase, "write"),
    (PostgresDatabase, "write"),
    (Server, "post"),
    (Server, "put"),
    (Server, "send"),
]


class _Trouble:
    """Counts effects, and lets one of them go wrong. number: of that effect, from 0; -1 for none."""

    def __init__(self, number: int, when: str, how: str) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._number, self._when, self._how = number, when, how

    def around(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(effect)
        def troubled(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                number, self.count = self.count, self.count + 1
            self._strike(number, "before")
            result = effect(*arguments, **options)
            self._strike(number, "after")
            return result

        return troubled

    def _strike(self, number: int, when: str) -> None:
        if (number, when) == (self._number, self._when):
            if self._how == "dies":
                os._exit(9)
            raise OSError(errno.ENOSPC, "no space left on device")

    @contextmanager
    def __call__(self) -> Iterator[None]:
        patches = [patch.object(owner, name, self.around(getattr(owner, name))) for owner, name in _EFFECTS]
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()


def _drive(uri: str, name: str, number: int, when: str, how: str, answer: Connection) -> None:
    """Run the sweep with one trouble, and send the number of effects. A process of the test does nothing else."""
    trouble = _Trouble(number, when, how)
    try:
        with trouble():
            run_sweep(load_spec({**_SPEC, "name": name}), tracking_uri=uri, inline=True, shard_size=2, store_timeout=20)
    except (GradgridError, OSError):
        pass
    answer.send(trouble.count)


def _troubled_sweep(uri: str, number: int, when: str, how: str, name: str = "small") -> int | None:
    """Run the sweep in a process; return the number of its effects, None if it died."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["service.run", "service.recording.recorders", __name__])
    receiver, sender = processes.Pipe(duplex=False)
    driver = processes.Process(target=_drive, args=(uri, name, number, when, how, sender))
    driver.start()
    sender.close()
    try:
        return int(receiver.recv())
    except EOFError:
        return None
    finally:
        driver.join()


def _resumed(uri: str, name: str = "small") -> SweepResult:
    """Resume the sweep, or begin it if it had not begun; return the result."""
    sweeps = [sweep for sweep in Store(uri, create=True).sweeps() if sweep.spec == name]
    resume = sweeps[0].sweep if sweeps else None
    return run_sweep(load_spec({**_SPEC, "name": name}), tracking_uri=uri, inline=True, resume=resume)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    uri = f"sqlite:///{tmp_path_factory.mktemp('undisturbed') / 'mlflow.db'}"
    return run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True)


def _check_exact(uri: str, result: SweepResult, undisturbed: SweepResult) -> None:
    assert_same_trials(result.table, undisturbed.table)
    store = Store(uri)
    sweep = store.find_sweep(result.sweep)
    runs = MlflowClient(uri).search_runs([sweep.experiment_id])
    assert sorted(run.data.tags["gradgrid.trial"] for run in runs) == sorted(undisturbed.table["trial"])
    assert {run.info.status for run in runs} <= {"FINISHED", "FAILED"}
    for run in runs:
        assert len(store.curve(run.info.run_id, "loss")) <= 3
        assert store.final_weights(run.info.run_id)
    curves = store.curves(sweep)
    assert len(curves) == len(curves.drop_duplicates(["number", "step"]))
    assert set(curves["number"]) == {0, 1, 2, 3}


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def make_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """A function that makes a new, empty store in a database."""
    name = "make_uri" if request.param == "SQLite" else "make_postgres_store"
    make: Callable[[], str] = request.getfixturevalue(name)
    return make


@pytest.mark.parametrize("how", ["fails", "dies"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_every_effect_on_a_database(
    make_database: Callable[[], str], undisturbed: SweepResult, when: str, how: str
) -> None:
    effects = _troubled_sweep(make_database(), -1, when, how)
    assert effects is not None
    assert effects > 15
    for number in range(random.randrange(_STRIDE), effects, _STRIDE):
        uri = make_database()
        _troubled_sweep(uri, number, when, how)
        _check_exact(uri, _resumed(uri), undisturbed)


@pytest.mark.parametrize("how", ["fails", "dies"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_every_effect_through_a_server_with_the_app(
    app_server: TrackingServer, undisturbed: SweepResult, when: str, how: str
) -> None:
    effects = _troubled_sweep(app_server.uri, -1, when, how, f"all-{when}-{how}")
    assert effects is not None
    assert effects > 15
    for number in range(random.randrange(_STRIDE), effects, _STRIDE):
        name = f"effect-{when}-{how}-{number}"
        _troubled_sweep(app_server.uri, number, when, how, name)
        _check_exact(app_server.uri, _resumed(app_server.uri, name), undisturbed)
