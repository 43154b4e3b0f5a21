"""Write many runs into MLflow's tables in one transaction, in SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from experiments.errors import StoreError, StoreUnavailableError
from service.recording.redaction import redacted

if TYPE_CHECKING:
    import psycopg

_BUSY_SECONDS = 60  # how long a writer waits for another's transaction
_RUNS_A_STATEMENT = 500
_VALUES_A_STATEMENT = 6_000  # long statements cost less a row, and let other threads run meanwhile
_CACHE_KIBIBYTES = 65_536  # the indexes of a long sweep don't fit into SQLite's default of 2 MiB

_COLUMNS = {
    "runs": "run_uuid name source_type source_name entry_point_name user_id status start_time end_time source_version "
    "lifecycle_stage artifact_uri experiment_id",
    "metrics": "key value timestamp run_uuid step is_nan",
    "latest_metrics": "key value timestamp run_uuid step is_nan",
    "params": "key value run_uuid",
    "tags": "key value run_uuid",
}

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]
DependentRows = Callable[[frozenset[str]], Rows]
"""Returns the rows of every table but `runs`, given run ids."""


class Database(Protocol):
    """A database with MLflow's tables. Several threads may use it."""

    def write(self, runs: Sequence[Row], dependent_rows: DependentRows) -> None:
        """Write the runs that are missing, and their rows of other tables, in one transaction. Raises StoreError.

        A run that is there, but deleted or unfinished, is restored and completed.
        """
        ...

    def experiment_name(self, experiment_id: int) -> str | None:
        """Return the name of an experiment; None if there is none with this id. Raises StoreError."""
        ...

    def refresh_statistics(self) -> None:
        """Update the database's statistics on its tables, so that MLflow's pages sort fast."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def _insert(table: str, mark: str, count: int = 1) -> str:
    columns = _COLUMNS[table].split()
    row = f"({', '.join([mark] * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)}"


def _insert_runs(execute: Callable[[str, list[Any]], Any], runs: Sequence[Row], mark: str) -> frozenset[str]:
    """Insert the runs that are missing; return their ids."""
    new: set[str] = set()
    for batch in _batches(runs, _RUNS_A_STATEMENT):
        statement = f"{_insert('runs', mark, len(batch))} ON CONFLICT DO NOTHING RETURNING run_uuid"
        new.update(row[0] for row in execute(statement, list(chain.from_iterable(batch))).fetchall())
    return frozenset(new)


def _restore(execute: Callable[[str, Any], Any], runs: Sequence[Row], dependent_rows: DependentRows, mark: str) -> None:
    """Make existing runs active and complete. Their curves exist: one transaction wrote both."""
    values = [dict(zip(_COLUMNS["runs"].split(), run, strict=True)) for run in runs]
    update = (
        f"UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL, status = {mark}, end_time = {mark} "
        f"WHERE run_uuid = {mark} AND (lifecycle_stage <> 'active' OR status NOT IN ('FINISHED', 'FAILED'))"
    )
    for run in values:
        execute(update, [run["status"], run["end_time"], run["run_uuid"]])
    rows = dependent_rows(frozenset(run["run_uuid"] for run in values))
    for table in ("params", "tags"):
        for row in rows[table]:
            execute(f"{_insert(table, mark)} ON CONFLICT DO NOTHING", row)


def _batches(rows: Sequence[Row], size: int) -> Iterable[Sequence[Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


class SqliteDatabase:
    """SQLite, in WAL mode, so that the dashboard can read while a sweep writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()  # one connection: SQLite has one writer at a time

    def write(self, runs: Sequence[Row], dependent_rows: DependentRows) -> None:
        with self._lock:
            self._write(self._connect(), runs, dependent_rows)

    def _write(self, connection: sqlite3.Connection, runs: Sequence[Row], dependent_rows: DependentRows) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            new = _insert_runs(connection.execute, runs, "?")
            for table, rows in dependent_rows(new).items():
                self._insert_all(connection, table, rows)
            if len(new) < len(runs):
                _restore(connection.execute, [run for run in runs if run[0] not in new], dependent_rows, "?")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk ends the transaction by itself
                connection.execute("ROLLBACK")
            raise

    def _insert_all(self, connection: sqlite3.Connection, table: str, rows: list[Row]) -> None:
        width = len(_COLUMNS[table].split())
        limit = min(_VALUES_A_STATEMENT, connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER))
        for batch in _batches(rows, limit // width):
            connection.execute(_insert(table, "?", len(batch)), list(chain.from_iterable(batch)))

    def experiment_name(self, experiment_id: int) -> str | None:
        statement = "SELECT name FROM experiments WHERE experiment_id = ?"
        row = self._connect().execute(statement, (experiment_id,)).fetchone()
        return str(row[0]) if row else None

    def refresh_statistics(self) -> None:
        connection = self._connect()
        connection.execute("PRAGMA analysis_limit = 1000")
        connection.execute("ANALYZE")

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
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection


class PostgresDatabase:
    """PostgreSQL, by COPY, which is several times as fast as INSERT."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._idle: list[psycopg.Connection[Any]] = []

    def write(self, runs: Sequence[Row], dependent_rows: DependentRows) -> None:
        def write(connection: psycopg.Connection[Any]) -> None:
            new = _insert_runs(connection.execute, runs, "%s")
            for table, rows in dependent_rows(new).items():
                columns = ", ".join(_COLUMNS[table].split())
                with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            if len(new) < len(runs):
                _restore(connection.execute, [run for run in runs if run[0] not in new], dependent_rows, "%s")

        self._in_transaction(write)

    def experiment_name(self, experiment_id: int) -> str | None:
        statement = "SELECT name FROM experiments WHERE experiment_id = %s"
        row = self._in_transaction(lambda c: c.execute(statement, (experiment_id,)).fetchone())
        return str(row[0]) if row else None

    def refresh_statistics(self) -> None:
        self._in_transaction(lambda c: c.execute("ANALYZE runs, metrics, latest_metrics, params, tags"))

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _in_transaction(self, work: Callable[[psycopg.Connection[Any]], Any]) -> Any:
        import psycopg

        try:
            connection = self._idle.pop() if self._idle else psycopg.connect(self._address)
            try:
                with connection.transaction():
                    result = work(connection)
            except BaseException:
                connection.close()  # the next attempt opens another
                raise
            self._idle.append(connection)
            return result
        except psycopg.Error as error:
            kind = StoreUnavailableError if isinstance(error, psycopg.OperationalError) else StoreError
            raise kind(f"the database failed: {redacted(str(error).strip())}") from None
