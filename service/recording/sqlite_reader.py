"""Reading an SQLite store's runs from MLflow's own tables, without MLflow: its import takes longer than the reading.

Nothing depends on it. Where a table is not as expected, or a file is not where its run says, the reader raises
`Unreadable`, and MLflow's client reads the store instead. Tests compare the two.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlparse

_BUSY_SECONDS = 10
_ACTIVE = "r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'"
_RUNS = f"FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id WHERE {_ACTIVE} AND "
_SWEEPS = "r.run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'gradgrid.kind' AND value = 'sweep')"
_TRIALS = "r.experiment_id = ? AND r.run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'gradgrid.trial')"


class Unreadable(Exception):  # noqa: N818 - not an error: MLflow's client is asked instead
    """The store can't be read this way."""


@dataclass(frozen=True)
class StoredRunInfo:
    """As MLflow's RunInfo."""

    run_id: str
    run_name: str
    experiment_id: str
    status: str
    start_time: int


@dataclass(frozen=True)
class StoredRunData:
    """As MLflow's RunData; metrics are the latest of each."""

    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredRun:
    """A run, shaped as MLflow's Run is."""

    info: StoredRunInfo
    data: StoredRunData


class SqliteReader:
    """Reads the store in the file at `path`; each question opens it, for reading alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sweeps(self) -> list[StoredRun]:
        """The run of every sweep."""
        return self._runs(_SWEEPS)

    def trials(self, experiment_id: str) -> list[StoredRun]:
        """Every trial's run of an experiment, whole or not."""
        return self._runs(_TRIALS, int(experiment_id))

    def trial_run_ids(self, experiment_id: str) -> set[str]:
        """The runs of an experiment's trials, without those that were deleted."""
        with self._reading() as connection:
            rows = connection.execute(f"SELECT r.run_uuid {_RUNS}{_TRIALS}", (int(experiment_id),)).fetchall()
        return {str(run_id) for (run_id,) in rows}

    def artifact(self, run_id: str, name: str) -> bytes:
        """An artifact's content, where artifacts are files of this machine."""
        with self._reading() as connection:
            found = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
        place = urlparse(str(found[0])) if found else None
        if place is None or place.scheme not in ("", "file") or place.netloc:
            raise Unreadable("the artifacts are no files of this machine")
        folder = Path(unquote(place.path) if place.scheme else str(found[0]))
        if self._path.absolute().parent not in folder.parents:
            raise Unreadable("the store was moved, or keeps its artifacts elsewhere")
        try:
            return folder.joinpath(name).read_bytes()
        except OSError as error:
            raise Unreadable(str(error)) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if os.environ.get("MLFLOW_ENABLE_WORKSPACES"):
            raise Unreadable("MLflow shows the runs of one workspace only")
        try:
            address = f"file:{quote(str(self._path))}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
                connection.execute("BEGIN")  # all that one question reads is of one moment
                yield connection
        except sqlite3.Error as error:
            raise Unreadable(str(error)) from error

    def _runs(self, condition: str, *values: object) -> list[StoredRun]:
        """The active runs that a condition holds for, in the order of MLflow's own search: the newest first."""
        columns = "r.run_uuid, r.name, r.experiment_id, r.status, r.start_time"
        chosen = f"(SELECT r.run_uuid {_RUNS}{condition})"
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {columns} {_RUNS}{condition} ORDER BY r.start_time DESC, r.run_uuid", values
            ).fetchall()
            runs = {
                str(run_id): StoredRun(
                    StoredRunInfo(str(run_id), str(name or ""), str(experiment), str(status), int(begun or 0)),
                    StoredRunData(),
                )
                for run_id, name, experiment, status, begun in rows
            }
            for table in ("tags", "params"):
                query = f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN {chosen}"
                for run_id, key, value in connection.execute(query, values):
                    getattr(runs[run_id].data, table)[key] = value
            query = f"SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE run_uuid IN {chosen}"
            for run_id, key, value, is_nan in connection.execute(query, values):
                runs[run_id].data.metrics[key] = math.nan if is_nan else float(value)
        return list(runs.values())
