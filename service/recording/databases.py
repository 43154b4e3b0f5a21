"""What writing runs straight into MLflow's tables has in common in SQLite and PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Protocol

import numpy as np

from engine.arrays import Floats
from experiments.errors import StoreError
from service.recording.run_table import RunTable

COLUMNS = {
    "runs": "run_uuid name source_type source_name entry_point_name user_id status start_time end_time source_version "
    "lifecycle_stage artifact_uri experiment_id",
    "metrics": "key value timestamp run_uuid step is_nan",
    "latest_metrics": "key value timestamp run_uuid step is_nan",
    "params": "key value run_uuid",
    "tags": "key value run_uuid",
}
"""Table of MLflow's -> the columns that are written."""

_RUNS_A_STATEMENT = 500
_LARGEST = sys.float_info.max

Row = tuple[Any, ...]
Execute = Callable[[str, list[Any]], Any]


def nothing() -> None:
    """Do nothing before a commit."""


class Database(Protocol):
    """A database with MLflow's tables. One thread at a time uses it."""

    def write(
        self, runs: RunTable, experiment_id: int, artifact_location: str, before_commit: Callable[[], object] = nothing
    ) -> None:
        """Write the runs that are missing, with their rows of other tables, in one transaction.

        artifact_location: the experiment's.
        before_commit: is called at the transaction's end. If it raises an error, nothing is written.
        A run that is there, but deleted or unfinished, is restored and completed. Raises StoreError.
        """
        ...

    def experiment_name(self, experiment_id: int) -> str | None:
        """Return the name of an experiment; None if there is none with this id. Raises StoreError."""
        ...

    def refresh_statistics(self) -> None:
        """Update the database's statistics on its tables, so that MLflow's pages sort fast."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def insert_statement(table: str, mark: str, rows: int = 1) -> str:
    """Return the statement that inserts rows of values. mark: the driver's sign for a value."""
    columns = COLUMNS[table].split()
    row = f"({', '.join([mark] * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"


def insert_runs(execute: Execute, runs: RunTable, experiment_id: int, artifact_location: str, mark: str) -> list[bool]:
    """Insert the rows of table `runs` that are missing; return for each run whether it was."""
    rows = list(_run_rows(runs, experiment_id, artifact_location))
    new: set[str] = set()
    for start in range(0, len(rows), _RUNS_A_STATEMENT):
        batch = rows[start : start + _RUNS_A_STATEMENT]
        statement = f"{insert_statement('runs', mark, len(batch))} ON CONFLICT DO NOTHING RETURNING run_uuid"
        new.update(row[0] for row in execute(statement, list(chain.from_iterable(batch))).fetchall())
    return [row[0] in new for row in rows]


def _run_rows(runs: RunTable, experiment_id: int, artifact_location: str) -> Iterator[Row]:
    ids, names, statuses = (runs.texts(column) for column in ("run_id", "name", "status"))
    starts, ends = (runs.integers(column).tolist() for column in ("start_time", "end_time"))
    for run_id, name, status, start, end in zip(ids, names, statuses, starts, ends, strict=True):
        artifacts = f"{artifact_location}/{run_id}/artifacts"
        source = ("UNKNOWN", "", "", "unknown")
        yield (run_id, name, *source, status, start, end, "", "active", artifacts, experiment_id)


def restore_runs(execute: Execute, runs: RunTable, experiment_id: int, mark: str) -> None:
    """Make existing runs active and complete. Their curves exist: one transaction wrote both.

    Raises StoreError if a run belongs to another experiment.
    """
    _check_experiment(execute, runs.texts("run_id"), experiment_id, mark)
    update = (
        f"UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL, status = {mark}, end_time = {mark} "
        f"WHERE run_uuid = {mark} AND (lifecycle_stage <> 'active' OR status NOT IN ('FINISHED', 'FAILED'))"
    )
    ends = runs.integers("end_time").tolist()
    for status, end, run_id in zip(runs.texts("status"), ends, runs.texts("run_id"), strict=True):
        execute(update, [status, end, run_id])
    for table, rows in (("params", param_rows(runs)), ("tags", tag_rows(runs))):
        for row in rows:
            execute(f"{insert_statement(table, mark)} ON CONFLICT DO NOTHING", list(row))


def _check_experiment(execute: Execute, run_ids: list[str], experiment_id: int, mark: str) -> None:
    """Raise StoreError unless these runs are in the experiment: a client may have named the runs of another."""
    for start in range(0, len(run_ids), _RUNS_A_STATEMENT):
        part = run_ids[start : start + _RUNS_A_STATEMENT]
        statement = (
            f"SELECT run_uuid FROM runs WHERE experiment_id <> {mark} AND run_uuid IN ({', '.join([mark] * len(part))})"
        )
        foreign = execute(statement, [experiment_id, *part]).fetchone()
        if foreign:
            raise StoreError(f"the run {foreign[0]} belongs to another experiment than {experiment_id}")


def param_rows(runs: RunTable) -> Iterator[Row]:
    """Yield the rows of table `params`."""
    return _text_rows(runs.params, runs.texts("run_id"))


def tag_rows(runs: RunTable) -> Iterator[Row]:
    """Yield the rows of table `tags`."""
    return _text_rows(tag_texts(runs), runs.texts("run_id"))


def tag_texts(runs: RunTable) -> dict[str, list[str]]:
    """Return tag -> its text for each run, the tag for the run's name too."""
    return {**runs.tags, "mlflow.runName": runs.texts("name")}


def _text_rows(columns: dict[str, list[str]], ids: Sequence[str]) -> Iterator[Row]:
    for name, texts in columns.items():
        yield from zip(repeat(name), texts, ids, strict=False)


def stored_values(values: Floats) -> Floats:
    """Return metrics as MLflow stores them: infinity as the largest float, NaN as it is. values: (points,)."""
    return np.clip(values.astype(np.float64), -_LARGEST, _LARGEST)
