"""Stores that are away for a while: each sweep ends complete, every trial once, or says how it is resumed."""

import functools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from experiments.errors import StoreError, StoreUnavailableError, SweepInterruptedError
from service.execution.observer import NullObserver
from service.execution.result import SweepResult
from service.execution.retry import Retry
from service.recording import sqlite_database
from service.recording.bulk_recorder import BulkRecorder
from service.recording.rest_recorder import RestRecorder
from service.recording.sqlite_database import SqliteDatabase
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import SPEC, Recorded, run_command, write_spec
from tests.service.postgres import binaries, new_database, running_postgres
from tests.service.tables import assert_same_trials
from tests.service.tracking import PASSWORD, TrackingServer, flaky, running_server
from tests.service.trial_records import RECORDS, begin_sweep, make_record, tables, write


class _Watch(NullObserver):
    """An observer that strikes after a number of trials, and repairs once the store has been waited for."""

    def __init__(self, after: int, strike: Callable[[], object], repair: Callable[[], object]) -> None:
        self.left, self.strike, self.repair = after, strike, repair
        self.reasons: list[str] = []
        self.returned = 0

    def advance(self, trials: int, best: float | None) -> None:
        self.left -= trials
        if self.left == 0:
            self.strike()

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        self.reasons.append(why)
        if len(self.reasons) == 3:
            self.repair()

    def back(self) -> None:
        self.returned += 1


def _assert_complete(result: SweepResult, recorded: Recorded) -> None:
    """Raise AssertionError unless table and store hold each trial once, with the figures of an undisturbed sweep."""
    assert_same_trials(result.table, recorded.result.table)
    store = Store(result.tracking_uri)
    trials = [t.tags["gradgrid.trial"] for t in store.trials(store.find_sweep(result.sweep))]
    assert sorted(trials) == sorted(recorded.result.table["trial"])


def _sweep(recorded: Recorded, uri: str, watch: _Watch, **options: Any) -> SweepResult:
    return run_sweep(recorded.resolved, tracking_uri=uri, inline=True, observer=watch, shard_size=1, **options)


def test_postgresql_stops_and_starts_in_the_middle_of_a_sweep(recorded: Recorded) -> None:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed; .ci/run installs it")
    with running_postgres() as server:
        watch = _Watch(4, server.stop, server.start)
        result = _sweep(recorded, new_database(server.address), watch)
        _assert_complete(result, recorded)
    assert watch.returned == 1
    assert "the database failed" in watch.reasons[0]


@pytest.mark.slow
@pytest.mark.parametrize("app", [False, True])
def test_the_server_is_killed_and_started_in_the_middle_of_a_sweep(
    recorded: Recorded, tmp_path: Path, app: bool
) -> None:
    with running_server(tmp_path, app=app) as server:
        watch = _Watch(4, server.stop, server.start)
        _assert_complete(_sweep(recorded, server.uri, watch), recorded)
    assert watch.returned == 1


@pytest.fixture
def lock(uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Another user's connection to the store, which can lock it. Recorders wait for it only a moment."""
    monkeypatch.setattr(sqlite_database, "_BUSY_SECONDS", 0.05)
    with closing(
        sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    ) as lock:
        yield lock


def test_sqlite_is_locked_by_another_for_a_while(recorded: Recorded, uri: str, lock: sqlite3.Connection) -> None:
    watch = _Watch(4, lambda: lock.execute("BEGIN IMMEDIATE"), lambda: lock.execute("ROLLBACK"))
    _assert_complete(_sweep(recorded, uri, watch), recorded)
    assert "database is locked" in watch.reasons[0]


def test_sqlite_is_locked_while_the_recorder_opens_it(
    recorded: Recorded, uri: str, lock: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another sweep, which gives the new store its log, may lock it at that moment."""
    watch = _Watch(-1, lambda: None, lambda: None)
    connect = SqliteDatabase._connect

    def connect_while_locked(database: SqliteDatabase) -> sqlite3.Connection:
        if watch.reasons:
            return connect(database)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            return connect(database)
        finally:
            lock.execute("ROLLBACK")

    monkeypatch.setattr(SqliteDatabase, "_connect", connect_while_locked)
    _assert_complete(_sweep(recorded, uri, watch), recorded)
    assert "database is locked" in watch.reasons[0]


def test_a_store_that_stays_away_ends_the_sweep_which_can_be_resumed(
    recorded: Recorded, uri: str, lock: sqlite3.Connection
) -> None:
    unlock = threading.Timer(5, lambda: lock.execute("ROLLBACK"))  # long after the store timeout

    def strike() -> None:
        lock.execute("BEGIN IMMEDIATE")
        unlock.start()

    watch = _Watch(4, strike, lambda: None)
    with pytest.raises(StoreError, match=r"(?s)database is locked.*gave up after waiting \d+ s.*gradgrid resume"):
        _sweep(recorded, uri, watch, store_timeout=1.0)
    unlock.join()
    (sweep,) = Store(uri).sweeps()
    assert len(list(Store(uri).trials(sweep))) == 4
    _assert_complete(run_sweep(recorded.resolved, tracking_uri=uri, inline=True, resume=sweep.sweep), recorded)


def test_an_interruption_ends_the_waiting(recorded: Recorded, uri: str, lock: sqlite3.Connection) -> None:
    def interrupt() -> None:
        lock.execute("ROLLBACK")
        raise KeyboardInterrupt

    watch = _Watch(4, lambda: lock.execute("BEGIN IMMEDIATE"), interrupt)
    began = time.monotonic()
    with pytest.raises(SweepInterruptedError, match="4 of 12 trials are recorded"):
        _sweep(recorded, uri, watch)
    assert time.monotonic() - began < 30


def test_a_full_disk_is_waited_for_and_leaves_no_half_written_batch(uri: str) -> None:
    store, sweep = begin_sweep(uri)
    records = [make_record(n) for n in range(200)]
    with closing(store.recorder(sweep).open()) as recorder:
        assert isinstance(recorder, BulkRecorder)
        database = recorder._database
        assert isinstance(database, SqliteDatabase)
        (pages,) = database._connect().execute("PRAGMA page_count").fetchone()
        database._connect().execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to run out of room
        with pytest.raises(StoreUnavailableError, match="database or disk is full"):
            write(recorder, sweep, records)
        assert list(store.trials(sweep)) == []
        database._connect().execute("PRAGMA max_page_count = 1000000")
        assert len(write(recorder, sweep, records)) == len(records)
    assert len(list(store.trials(sweep))) == len(records)


@pytest.mark.parametrize("what", ["refuse", "swallow"])
@pytest.mark.parametrize("call", ["create", "log-batch", "update", "final_weights.json"])
def test_every_trial_is_written_once_if_requests_fail_or_answers_are_lost(
    tracking_server: TrackingServer, call: str, what: str
) -> None:
    """Every second request of the kind fails. A run whose creation got no answer is found, not created again."""
    count, lock = 0, threading.Lock()

    def fault(path: str) -> str:
        nonlocal count
        if not path.partition("?")[0].endswith(call):
            return "pass"
        with lock:
            count += 1
            return what if count % 2 else "pass"

    with flaky(tracking_server, fault) as uri:
        _, sweep = begin_sweep(tracking_server.uri)
        recorder = Store(uri).recorder(sweep).open()
        assert isinstance(recorder, RestRecorder)
        retry = Retry(60, NullObserver())
        done: list[str] = []
        with closing(recorder):
            for table in tables(sweep, RECORDS):
                done += retry.call(functools.partial(recorder.record, table))
            recorder.finish()
    client = MlflowClient(tracking_server.uri)
    runs = client.search_runs([sweep.experiment_id])
    assert sorted(run.data.tags["gradgrid.trial"] for run in runs) == [r.trial for r in RECORDS]
    assert {run.info.status for run in runs} == {"FINISHED", "FAILED"}
    assert {run.info.run_id for run in runs} == set(done)
    assert count >= len(RECORDS)


def test_a_run_that_was_created_twice_is_deleted_in_the_end(tracking_server: TrackingServer) -> None:
    """A request without an answer may be carried out after the run was looked for."""
    store, sweep = begin_sweep(tracking_server.uri)
    recorder = store.recorder(sweep).open()
    assert isinstance(recorder, RestRecorder)
    with closing(recorder):
        first = write(recorder, sweep, RECORDS[:2])
        recorder._doubtful.add(RECORDS[0].trial)
        late = recorder._create(RECORDS[0])
        recorder.finish()
    runs = MlflowClient(tracking_server.uri).search_runs([sweep.experiment_id])
    assert late not in {run.info.run_id for run in runs}
    assert {run.info.run_id for run in runs} == set(first.values())


@pytest.mark.slow
def test_a_server_that_asks_for_a_password_gets_the_one_of_mlflows_variables(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_spec(tmp_path, SPEC)
    with running_server(tmp_path, auth=True) as server:
        refused = run_command("sweep", spec, "--inline", "--tracking-uri", server.uri)
        assert refused.exit_code == 1
        assert "not authenticated" in refused.stderr
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        _assert_complete(run_sweep(recorded.resolved, tracking_uri=server.uri, inline=True), recorded)


def test_a_backend_store_of_another_server_is_refused(tracking_server: TrackingServer, uri: str) -> None:
    Store(uri, create=True)
    store, sweep = begin_sweep(tracking_server.uri, backend=uri)
    with pytest.raises(StoreError, match=r"is not the one behind http://127\.0\.0\.1"):
        store.recorder(sweep).open()
