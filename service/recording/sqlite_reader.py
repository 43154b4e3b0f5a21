"""Read an SQLite store's runs from MLflow's tables, without MLflow, whose import takes longer than the reading.

This is a shortcut. If a table is not as expected, or an artifact is not where its run says, the reader raises
`Unreadable`, and MLflow's client reads the store instead. Tests compare the two.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlparse

if TYPE_CHECKING:
    from engine.arrays import Array

_BUSY_SECONDS = 10
_ACTIVE = "r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'"
_RUNS = f"FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id WHERE {_ACTIVE} AND "
_SWEEPS = "r.run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'gradgrid.kind' AND value = 'sweep')"
_LISTED = "r.run_uuid IN (SELECT value FROM json_each(?))"
_NEWEST_FIRST = "ORDER BY r.start_time DESC, r.run_uuid"
_RUN_ID = "S32"  # MLflow's column has 32 characters
_PAGE = 10_000  # runs
_TRIALS = "r.experiment_id = ? AND r.run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'gradgrid.trial')"


class Unreadable(Exception):  # noqa: N818 - not an error: MLflow's client is asked instead
    """The store can't be read this way."""


@dataclass(frozen=True)
class StoredRunInfo:
    """The fields of MLflow's RunInfo that are used. start_time: milliseconds since 1970."""

    run_id: str
    run_name: str
    experiment_id: str
    status: str
    start_time: int


@dataclass(frozen=True)
class StoredRunData:
    """The fields of MLflow's RunData. metrics: the last value of each."""

    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredRun:
    """A run, with the fields of MLflow's Run."""

    info: StoredRunInfo
    data: StoredRunData


class SqliteReader:
    """Reads the store in the file at `path`. Each method opens the file, read-only. Raises Unreadable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sweeps(self) -> list[StoredRun]:
        """Return the run of every sweep."""
        return self._runs(_SWEEPS)

    def trials(self, experiment_id: str) -> Iterator[StoredRun]:
        """Yield the runs of an experiment's trials, complete or not. They are read some at a time."""
        run_ids = self._trial_run_ids(experiment_id)
        for start in range(0, len(run_ids), _PAGE):
            page = [run_id.decode() for run_id in run_ids[start : start + _PAGE].tolist()]
            yield from self._runs(_LISTED, json.dumps(page))

    def lost_runs(self, experiment_id: str, run_ids: Collection[str]) -> set[str]:
        """Return those of the runs of an experiment's trials that were deleted, or are gone for good."""
        import numpy as np

        given = np.fromiter((run_id.encode() for run_id in run_ids), dtype=_RUN_ID, count=len(run_ids))
        return {run_id.decode() for run_id in np.setdiff1d(given, self._trial_run_ids(experiment_id)).tolist()}

    def _trial_run_ids(self, experiment_id: str) -> Array:
        """Return the ids of the runs of an experiment's trials, newest first, as MLflow's search does."""
        import numpy as np  # `gradgrid list` does without it

        with self._reading() as connection:
            query = f"SELECT r.run_uuid {_RUNS}{_TRIALS} {_NEWEST_FIRST}"
            rows = connection.execute(query, (int(experiment_id),))
            return np.fromiter((str(run_id).encode() for (run_id,) in rows), dtype=_RUN_ID)

    def artifact(self, run_id: str, name: str) -> Path:
        """Return the path of an artifact, if artifacts are files on this machine."""
        with self._reading() as connection:
            row = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
        uri = urlparse(str(row[0])) if row else None
        if uri is None or uri.scheme not in ("", "file") or uri.netloc:
            raise Unreadable("the artifacts are not files on this machine")
        folder = Path(unquote(uri.path) if uri.scheme else str(row[0]))
        if self._path.absolute().parent not in folder.parents:
            raise Unreadable("the store was moved, or keeps its artifacts elsewhere")
        if not folder.joinpath(name).is_file():
            raise Unreadable(f"there is no {folder / name}")
        return folder / name

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if os.environ.get("MLFLOW_ENABLE_WORKSPACES"):
            raise Unreadable("MLflow shows the runs of one workspace only")
        try:
            address = f"file:{quote(str(self._path))}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
                connection.execute("BEGIN")  # one snapshot for all that a method reads
                yield connection
        except sqlite3.Error as error:
            raise Unreadable(str(error)) from error

    def _runs(self, condition: str, *values: object) -> list[StoredRun]:
        """Return the active runs that meet a condition, newest first. condition: SQL."""
        columns = "r.run_uuid, r.name, r.experiment_id, r.status, r.start_time"
        run_ids = f"(SELECT r.run_uuid {_RUNS}{condition})"
        with self._reading() as connection:
            rows = connection.execute(f"SELECT {columns} {_RUNS}{condition} {_NEWEST_FIRST}", values).fetchall()
            runs = {
                str(run_id): StoredRun(
                    StoredRunInfo(str(run_id), str(name or ""), str(experiment), str(status), int(start_time or 0)),
                    StoredRunData(),
                )
                for run_id, name, experiment, status, start_time in rows
            }
            for table in ("tags", "params"):
                query = f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN {run_ids}"
                for run_id, key, value in connection.execute(query, values):
                    getattr(runs[run_id].data, table)[key] = value
            query = f"SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE run_uuid IN {run_ids}"
            for run_id, key, value, is_nan in connection.execute(query, values):
                runs[run_id].data.metrics[key] = math.nan if is_nan else float(value)
        return list(runs.values())
