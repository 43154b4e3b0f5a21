"""Write runs into SQLite.

A run has hundreds of rows of metrics, and to bind each value of each row costs more than SQLite's own work. So the
points go into a table in memory, with a column for each curve, and SQLite makes the rows of metrics from that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from service.recording.databases import (
    COLUMNS,
    Row,
    insert_runs,
    insert_statement,
    param_rows,
    restore_runs,
    stored_values,
    tag_rows,
)
from service.recording.run_table import RunTable

_BUSY_SECONDS = 60  # how long a writer waits for another's transaction
_CACHE_KIBIBYTES = 262_144  # the indexes of a long sweep don't fit into SQLite's default of 2 MiB
_LOG_PAGES = 10_000  # 40 MB: to move pages from the log into the file rarely writes each less often
_CURVES_AT_ONCE = 16


class SqliteDatabase:
    """SQLite, in WAL mode, so that the dashboard can read while a sweep writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def write(self, runs: RunTable, experiment_id: int, artifact_location: str) -> None:
        connection = self._connect()
        connection.execute("BEGIN IMMEDIATE")
        try:
            new = insert_runs(connection.execute, runs, experiment_id, artifact_location, "?")
            if not all(new):
                restore_runs(connection.execute, runs.select([not is_new for is_new in new]), experiment_id, "?")
            _insert_dependent_rows(connection, runs if all(new) else runs.select(new))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk ends the transaction by itself
                connection.execute("ROLLBACK")
            raise

    def experiment_name(self, experiment_id: int) -> str | None:
        statement = "SELECT name FROM experiments WHERE experiment_id = ?"
        row = self._connect().execute(statement, (experiment_id,)).fetchone()
        return str(row[0]) if row else None

    def refresh_statistics(self) -> None:
        self._connect().execute("PRAGMA analysis_limit = 1000")
        self._connect().execute("ANALYZE")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")  # fails at once if another process does the same
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
                connection.execute("ATTACH ':memory:' AS shard")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _insert_dependent_rows(connection: sqlite3.Connection, runs: RunTable) -> None:
    """Insert the rows of every table but `runs`."""
    rows: dict[str, Iterable[Row]] = {"params": param_rows(runs), "tags": tag_rows(runs)}
    for table, values in rows.items():
        connection.executemany(insert_statement(table, "?"), values)
    names = runs.curve_names
    for first in range(0, len(names), _CURVES_AT_ONCE):
        _insert_curves(connection, runs, names[first : first + _CURVES_AT_ONCE])
    for name in runs.measure_names:
        _insert_measure(connection, runs, name)


def _insert_measure(connection: sqlite3.Connection, runs: RunTable, name: str) -> None:
    """Insert the point of a metric that has one alone."""
    values = stored_values(runs.measure(name))
    is_nan, last = np.isnan(values), runs.last_points
    columns = (np.where(is_nan, 0.0, values), runs.times[last], runs.steps[last], is_nan.astype(int))
    rows = zip(runs.texts("run_id"), *(column.tolist() for column in columns), strict=True)
    points = [(name, value, time, run_id, step, nan) for run_id, value, time, step, nan in rows]
    for table in ("metrics", "latest_metrics"):
        connection.executemany(insert_statement(table, "?"), points)


def _insert_curves(connection: sqlite3.Connection, runs: RunTable, names: list[str]) -> None:
    """Insert the points of some curves. SQLite takes NaN for NULL, so NULL is a value that is NaN."""
    columns = [f"c{k}" for k in range(len(names))]
    connection.execute("DROP TABLE IF EXISTS shard.points")
    connection.execute("DROP TABLE IF EXISTS shard.curves")
    connection.execute(f"CREATE TABLE shard.points (run, step, time, is_last, {', '.join(columns)})")
    connection.execute("CREATE TABLE shard.curves (position, name)")
    connection.executemany("INSERT INTO shard.curves VALUES (?, ?)", enumerate(names))
    is_last = np.zeros(len(runs.steps), int)
    is_last[runs.last_points] = 1
    ids = chain.from_iterable(map(repeat, runs.texts("run_id"), runs.points.tolist()))
    values = [stored_values(runs.curve(name)).tolist() for name in names]
    marks = ", ".join("?" * (4 + len(names)))
    rows = zip(ids, runs.steps.tolist(), runs.times.tolist(), is_last.tolist(), *values, strict=True)
    connection.executemany(f"INSERT INTO shard.points VALUES ({marks})", rows)
    value = f"CASE position {' '.join(f'WHEN {k} THEN {column}' for k, column in enumerate(columns))} END"
    source = "shard.points CROSS JOIN shard.curves"  # run after run, for which the indexes need less room
    for table, condition in (("metrics", ""), ("latest_metrics", " WHERE is_last")):
        connection.execute(
            f"INSERT INTO {table} ({', '.join(COLUMNS[table].split())}) "
            f"SELECT name, ifnull({value}, 0.0), time, run, step, {value} IS NULL FROM {source}{condition}"
        )
