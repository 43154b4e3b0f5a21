"""Write runs into PostgreSQL by COPY, which is several times as fast as INSERT.

Rows of metrics go in COPY's binary format (PostgreSQL's manual, COPY, "Binary Format"). All rows of one curve have the
same length there, so NumPy makes them as an array of records.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arrays import Array, Floats, Integers
from experiments.errors import StoreError, StoreUnavailableError
from service.recording.databases import (
    COLUMNS,
    insert_runs,
    nothing,
    param_rows,
    restore_runs,
    stored_values,
    tag_rows,
)
from service.recording.redaction import redacted
from service.recording.run_table import RunTable

if TYPE_CHECKING:
    import psycopg

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_ID_LENGTH = 32
_CONNECTION: dict[str, Any] = {  # a server that has gone without a word is noticed within a minute
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "client_encoding": "utf8",  # of the texts in binary COPY
}


class PostgresDatabase:
    """PostgreSQL. address: as psycopg takes it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: psycopg.Connection[Any] | None = None

    def write(
        self, runs: RunTable, experiment_id: int, artifact_location: str, before_commit: Callable[[], object] = nothing
    ) -> None:
        def write(connection: psycopg.Connection[Any]) -> None:
            new = insert_runs(connection.execute, runs, experiment_id, artifact_location, "%s")
            if not all(new):
                restore_runs(connection.execute, runs.select([not is_new for is_new in new]), experiment_id, "%s")
            _copy_dependent_rows(connection, runs if all(new) else runs.select(new))
            before_commit()

        self._in_transaction(write)

    def experiment_name(self, experiment_id: int) -> str | None:
        statement = "SELECT name FROM experiments WHERE experiment_id = %s"
        row = self._in_transaction(lambda c: c.execute(statement, (experiment_id,)).fetchone())
        return str(row[0]) if row else None

    def refresh_statistics(self) -> None:
        self._in_transaction(lambda c: c.execute("ANALYZE runs, metrics, latest_metrics, params, tags"))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _in_transaction(self, work: Callable[[psycopg.Connection[Any]], Any]) -> Any:
        import psycopg

        try:
            self._connection = self._connection or psycopg.connect(self._address, **_CONNECTION)
            try:
                with self._connection.transaction():
                    return work(self._connection)
            except BaseException:
                self.close()  # the next attempt opens another connection
                raise
        except psycopg.Error as error:
            kind = StoreUnavailableError if isinstance(error, psycopg.OperationalError) else StoreError
            raise kind(f"the database failed: {redacted(str(error).strip())}") from None


def _copy_dependent_rows(connection: psycopg.Connection[Any], runs: RunTable) -> None:
    """Copy the rows of every table but `runs`."""
    if not len(runs):
        return
    for table, rows in (("params", param_rows(runs)), ("tags", tag_rows(runs))):
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({_columns(table)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    last = runs.last_points
    for table in ("metrics", "latest_metrics"):
        statement = f"COPY {table} ({_columns(table)}) FROM STDIN (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(_HEADER)
            for name in runs.curve_names:
                points = metric_rows(runs, name)
                copy.write((points if table == "metrics" else points[last]).tobytes())
            for name in runs.measure_names:
                copy.write(measure_rows(runs, name).tobytes())
            copy.write(_TRAILER)


def _columns(table: str) -> str:
    return ", ".join(COLUMNS[table].split())


def metric_rows(runs: RunTable, name: str) -> Array:
    """Return a curve's rows of table `metrics` in COPY's binary format, (points,)."""
    ids = np.repeat(np.array(runs.texts("run_id"), f"S{_ID_LENGTH}"), runs.points)
    return _binary_rows(name, runs.curve(name), runs.times, runs.steps, ids)


def measure_rows(runs: RunTable, name: str) -> Array:
    """Return the rows of a metric that has a last point alone, (runs,)."""
    last, ids = runs.last_points, np.array(runs.texts("run_id"), f"S{_ID_LENGTH}")
    return _binary_rows(name, runs.measure(name), runs.times[last], runs.steps[last], ids)


def _binary_rows(name: str, values: Floats, times: Integers, steps: Integers, ids: Array) -> Array:
    """Return rows of table `metrics` in COPY's binary format, (rows,).

    A row is the number of its fields, and for each field its length in bytes and its bytes, all big-endian.
    """
    key = name.encode()
    fields = [("key", f"S{len(key)}"), ("value", ">f8"), ("time", ">i8"), ("run", f"S{_ID_LENGTH}"), ("step", ">i8")]
    fields.append(("is_nan", "u1"))
    layout = [("fields", ">i2")]
    for field, kind in fields:
        layout += [(f"{field} length", ">i4"), (field, kind)]
    rows = np.zeros(len(steps), np.dtype(layout))
    rows["fields"] = len(fields)
    for field, _ in fields:
        rows[f"{field} length"] = rows.dtype[field].itemsize
    value = stored_values(values)
    rows["key"] = key
    rows["is_nan"] = np.isnan(value)
    rows["value"] = np.where(np.isnan(value), 0.0, value)
    rows["time"] = times
    rows["step"] = steps
    rows["run"] = ids
    return rows
