"""Recording at the database's speed: a shard's runs in one transaction, straight into MLflow's own tables.

MLflow has no call that writes many runs, and its client takes tens of milliseconds for each. Its tables are its own
affair, so this is done only where the schema is one that is known here; elsewhere the client does the work. What is
written can't be told from what the client writes; tests compare the two. A run's id is derived from sweep and trial, so
that a trial can't be there twice, whoever writes it again.
"""

from __future__ import annotations

import math
import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from experiments.errors import StoreError
from service.interrupts import deferred_interrupts
from service.recording.store import translated_errors
from service.records import TrialRecord

KNOWN_SCHEMAS = frozenset({"dc11669786a5"})  # MLflow 3.17

_NAMESPACE = uuid.UUID("6f5c9a54-3c0e-5d0f-9a53-6f1b5d7f4f2e")
_BUSY_SECONDS = 60  # how long a writer waits for another one's transaction
_RUNS_A_STATEMENT = 500
_LARGEST = sys.float_info.max

_COLUMNS = {
    "runs": "run_uuid name source_type source_name entry_point_name user_id status start_time end_time source_version "
    "lifecycle_stage artifact_uri experiment_id",
    "metrics": "key value timestamp run_uuid step is_nan",
    "latest_metrics": "key value timestamp run_uuid step is_nan",
    "params": "key value run_uuid",
    "tags": "key value run_uuid",
}
Rows = dict[str, list[tuple[Any, ...]]]
Children = Callable[[frozenset[str]], Rows]
"""The rows of every table but `runs`, for the runs of these ids."""


class Database(Protocol):
    """The few things that differ from one database to another."""

    def write(self, runs: Sequence[tuple[Any, ...]], children: Children) -> None:
        """In one transaction: the runs that aren't there yet, and the children of those. Raises StoreError."""
        ...

    def refresh_statistics(self) -> None:
        """Let the database know how large its tables have become, so that MLflow's UI sorts fast."""
        ...


def run_id(sweep: str, trial: str) -> str:
    """The id of a trial's run: 32 hexadecimal digits that sweep and trial determine."""
    return uuid.uuid5(_NAMESPACE, f"{sweep}/{trial}").hex


class BulkRecorder:
    """Writes each batch of records in one transaction."""

    note = ""

    def __init__(
        self,
        database: Database,
        experiment_id: str,
        artifact_location: str,
        keep_weights: Callable[[str, TrialRecord], None],
        sweep: str,
        uri: str,
        runs: dict[str, str],
    ) -> None:
        self._database = database
        self._experiment_id = int(experiment_id)
        self._artifact_location = artifact_location.rstrip("/")
        self._keep_weights = keep_weights
        self._sweep = sweep
        self._uri = uri
        self.runs = runs

    def record(self, records: Iterable[TrialRecord]) -> Iterator[str]:
        everything = list(records)
        fresh = {run_id(self._sweep, r.trial): r for r in everything if r.trial not in self.runs}
        with translated_errors(self._uri), deferred_interrupts():
            for identity, record in fresh.items():
                self._keep_weights(identity, record)  # first: a run that is there has its weights
            runs = [self._run(identity, record) for identity, record in fresh.items()]
            self._database.write(runs, lambda new: _children({i: fresh[i] for i in fresh if i in new}))
            self.runs.update({record.trial: identity for identity, record in fresh.items()})
        for record in everything:
            yield record.trial

    def close(self) -> None:
        with translated_errors(self._uri):
            self._database.refresh_statistics()

    def _run(self, identity: str, record: TrialRecord) -> tuple[Any, ...]:
        times = (record.start_time, record.end_time)
        artifacts = f"{self._artifact_location}/{identity}/artifacts"
        source = ("UNKNOWN", "", "", "unknown")
        return (identity, record.name, *source, record.status, *times, "", "active", artifacts, self._experiment_id)


def _children(records: dict[str, TrialRecord]) -> Rows:
    rows: Rows = {"metrics": [], "latest_metrics": [], "params": [], "tags": []}
    for identity, record in records.items():
        for key, points in record.curves.items():
            own = [_metric(key, value, time, identity, step) for step, value, time in points]
            rows["metrics"].extend(own)
            rows["latest_metrics"].append(own[-1])  # steps rise
        rows["params"].extend((key, value, identity) for key, value in record.params.items())
        rows["tags"].extend((key, value, identity) for key, value in record.tags.items())
        rows["tags"].append(("mlflow.runName", record.name, identity))
    return rows


def _metric(key: str, value: float, time: int, identity: str, step: int) -> tuple[Any, ...]:
    if math.isfinite(value):
        return (key, value, time, identity, step, False)
    if math.isnan(value):
        return (key, 0.0, time, identity, step, True)
    return (key, math.copysign(_LARGEST, value), time, identity, step, False)


def _insert(table: str, mark: str, count: int = 1) -> str:
    columns = _COLUMNS[table].split()
    row = f"({', '.join([mark] * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)}"


def _insert_runs(
    execute: Callable[[str, list[Any]], Any], runs: Sequence[tuple[Any, ...]], mark: str
) -> frozenset[str]:
    """Insert the runs that aren't there; returns the ids of those that were inserted."""
    new: set[str] = set()
    for start in range(0, len(runs), _RUNS_A_STATEMENT):
        part = runs[start : start + _RUNS_A_STATEMENT]
        statement = f"{_insert('runs', mark, len(part))} ON CONFLICT DO NOTHING RETURNING run_uuid"
        new.update(row[0] for row in execute(statement, [value for run in part for value in run]).fetchall())
    return frozenset(new)


class SqliteDatabase:
    """MLflow's embedded default. In WAL, so that the UI reads while a sweep writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, runs: Sequence[tuple[Any, ...]], children: Children) -> None:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                new = _insert_runs(connection.execute, runs, "?")
                for table, rows in children(new).items():
                    connection.executemany(_insert(table, "?"), rows)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def refresh_statistics(self) -> None:
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA analysis_limit = 1000")
            connection.execute("ANALYZE")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


class PostgresDatabase:
    """By COPY, which is several times as fast as INSERT."""

    def __init__(self, address: str) -> None:
        self._address = address

    def write(self, runs: Sequence[tuple[Any, ...]], children: Children) -> None:
        def write(connection: Any) -> None:
            new = _insert_runs(connection.execute, runs, "%s")
            for table, rows in children(new).items():
                columns = ", ".join(_COLUMNS[table].split())
                with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)

        self._in_transaction(write)

    def refresh_statistics(self) -> None:
        self._in_transaction(
            lambda connection: connection.execute("ANALYZE runs, metrics, latest_metrics, params, tags")
        )

    def _in_transaction(self, work: Callable[[Any], object]) -> None:
        import psycopg

        try:
            with psycopg.connect(self._address) as connection:
                work(connection)
        except psycopg.Error as error:
            raise StoreError(f"the database failed: {str(error).strip()}") from error
