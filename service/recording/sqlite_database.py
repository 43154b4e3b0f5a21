"""Write runs into SQLite.

A run has hundreds of rows, and to bind each value of each row costs more than SQLite's own work. So the texts and the
points of runs go into tables in memory, with a column for each param, tag and curve, and SQLite makes the rows of its
tables from those.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from service.recording.checkpoints import Checkpoints
from service.recording.databases import (
    COLUMNS,
    insert_runs,
    insert_statement,
    nothing,
    restore_runs,
    stored_values,
    tag_texts,
)
from service.recording.run_table import RunTable

_BUSY_SECONDS = 60  # how long a writer waits for another's transaction
_CACHE_KIBIBYTES = 262_144  # the indexes of a long sweep don't fit into SQLite's default of 2 MiB
_COLUMNS_AT_ONCE = 16


class SqliteDatabase:
    """SQLite, in WAL mode, so that the dashboard can read while a sweep writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._checkpoints: Checkpoints | None = None

    def write(
        self, runs: RunTable, experiment_id: int, artifact_location: str, before_commit: Callable[[], object] = nothing
    ) -> None:
        connection = self._connect()
        self._checkpoints = self._checkpoints or Checkpoints(self._path)
        self._checkpoints.catch_up()
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._checkpoints.begin()
            new = insert_runs(connection.execute, runs, experiment_id, artifact_location, "?")
            if not all(new):
                restore_runs(connection.execute, runs.select([not is_new for is_new in new]), experiment_id, "?")
            _insert_dependent_rows(connection, runs if all(new) else runs.select(new))
            before_commit()
            self._checkpoints.wait()
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
        if self._checkpoints is not None:
            self._checkpoints.close()
            self._checkpoints = None
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
                connection.execute("PRAGMA wal_autocheckpoint = 0")  # see Checkpoints
                connection.execute("ATTACH ':memory:' AS shard")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _insert_dependent_rows(connection: sqlite3.Connection, runs: RunTable) -> None:
    """Insert the rows of every table but `runs`."""
    for table, texts in (("params", runs.params), ("tags", tag_texts(runs))):
        names = list(texts)
        for first in range(0, len(names), _COLUMNS_AT_ONCE):
            part = {name: texts[name] for name in names[first : first + _COLUMNS_AT_ONCE]}
            _insert_texts(connection, table, runs.texts("run_id"), part)
    names = runs.curve_names
    for first in range(0, len(names), _COLUMNS_AT_ONCE):
        _insert_curves(connection, runs, names[first : first + _COLUMNS_AT_ONCE])
    for name in runs.measure_names:
        _insert_measure(connection, runs, name)


def _insert_texts(
    connection: sqlite3.Connection, table: str, ids: Sequence[str], texts: Mapping[str, Sequence[str]]
) -> None:
    """Insert the rows of `params` or `tags`. texts: name -> (runs,)."""
    value = _fill(connection, "texts", ["run"], list(texts), zip(ids, *texts.values(), strict=True))
    connection.execute(
        f"INSERT INTO {table} (key, value, run_uuid) "
        f"SELECT name, {value}, run FROM shard.texts_names CROSS JOIN shard.texts"  # sorted as the primary key is
    )


def _fill(
    connection: sqlite3.Connection, table: str, fixed: list[str], names: list[str], rows: Iterable[tuple[object, ...]]
) -> str:
    """Fill a table in memory with rows, and another, TABLE_names, with the names of its columns but the fixed ones.

    Return the expression for a row's value in the column that a row of TABLE_names names.
    """
    columns = [f"c{k}" for k in range(len(names))]
    for name in (table, f"{table}_names"):
        connection.execute(f"DROP TABLE IF EXISTS shard.{name}")
    connection.execute(f"CREATE TABLE shard.{table} ({', '.join([*fixed, *columns])})")
    connection.execute(f"CREATE TABLE shard.{table}_names (position, name)")
    connection.executemany(f"INSERT INTO shard.{table}_names VALUES (?, ?)", enumerate(names))
    marks = ", ".join("?" * (len(fixed) + len(names)))
    connection.executemany(f"INSERT INTO shard.{table} VALUES ({marks})", rows)
    return f"CASE position {' '.join(f'WHEN {k} THEN {column}' for k, column in enumerate(columns))} END"


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
    is_last = np.zeros(len(runs.steps), int)
    is_last[runs.last_points] = 1
    ids = chain.from_iterable(map(repeat, runs.texts("run_id"), runs.points.tolist()))
    values = [stored_values(runs.curve(name)).tolist() for name in names]
    rows = zip(ids, runs.steps.tolist(), runs.times.tolist(), is_last.tolist(), *values, strict=True)
    value = _fill(connection, "points", ["run", "step", "time", "is_last"], names, rows)
    source = "shard.points CROSS JOIN shard.points_names"  # run after run, for which the indexes need less room
    for table, condition in (("metrics", ""), ("latest_metrics", " WHERE is_last")):
        connection.execute(
            f"INSERT INTO {table} ({', '.join(COLUMNS[table].split())}) "
            f"SELECT name, ifnull({value}, 0.0), time, run, step, {value} IS NULL FROM {source}{condition}"
        )
