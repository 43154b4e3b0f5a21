"""Record at the database's speed: write many runs in one transaction, straight into MLflow's tables.

MLflow has no call that writes many runs, and its client takes tens of milliseconds for each. MLflow may change its
tables, so this recorder is used only if they have the expected shape (see schema.py), and MLflow's client otherwise.
Both write the same rows; tests compare them. A run's id is derived from sweep and trial, so a trial can't be written
twice.
"""

from __future__ import annotations

import math
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence

from service.recording.connection import translated_errors
from service.recording.databases import Database, Row, Rows
from service.recording.threaded_map import ThreadedMap
from service.recording.trial_record import RecordedTrial, TrialRecord
from service.recording.weights import Weights

_NAMESPACE = uuid.UUID("6f5c9a54-3c0e-5d0f-9a53-6f1b5d7f4f2e")
_NUMBERS = 16**6  # more than the trials of a sweep
_BATCH = 250  # runs a transaction: other writers get a turn between two, and progress is visible
_BATCHES = 2  # at once
_LARGEST = sys.float_info.max


def run_id(sweep: str, trial: str, number: int) -> str:
    """Return the id of a trial's run: 32 hexadecimal digits.

    Two digits come from the sweep, six are the trial's number, 24 are a hash of both. Ids that rise from run to run
    keep the ends of the indexes in memory, which halves SQLite's time. Eight digits are enough to name a sweep's run.
    """
    sweep_digits = uuid.uuid5(_NAMESPACE, sweep).hex[:2]
    return f"{sweep_digits}{number % _NUMBERS:06x}{uuid.uuid5(_NAMESPACE, f'{sweep}/{trial}').hex[:24]}"


class BulkRecorder:
    """Writes each batch of records in one transaction, and prepares the next batch meanwhile."""

    note = ""

    def __init__(
        self,
        database: Database,
        experiment_id: str,
        artifact_location: str,
        weights: Weights,
        sweep: str,
        uri: str,
    ) -> None:
        self._database = database
        self._experiment_id = int(experiment_id)
        self._artifact_location = artifact_location.rstrip("/")
        self._weights = weights
        self._sweep = sweep
        self._uri = uri
        self._threads = ThreadedMap(_BATCHES)

    def record(self, records: Sequence[TrialRecord]) -> Iterator[RecordedTrial]:
        batches = [records[start : start + _BATCH] for start in range(0, len(records), _BATCH)]
        with translated_errors(self._uri):
            for recorded in self._threads.map_unordered(self._write, batches):
                yield from recorded

    def _write(self, records: Sequence[TrialRecord]) -> list[RecordedTrial]:
        by_run_id = {run_id(self._sweep, record.trial, record.number): record for record in records}
        self._weights.write(by_run_id)  # first, so that a run in the database has its weights
        runs = [self._run(identity, record) for identity, record in by_run_id.items()]
        self._database.write(runs, lambda new: _dependent_rows({i: by_run_id[i] for i in by_run_id if i in new}))
        return [RecordedTrial(record.trial, identity) for identity, record in by_run_id.items()]

    def finish(self) -> None:
        with translated_errors(self._uri):
            self._database.refresh_statistics()

    def close(self) -> None:
        self._threads.close()
        self._database.close()
        self._weights.close()

    def _run(self, identity: str, record: TrialRecord) -> Row:
        times = (record.start_time, record.end_time)
        artifacts = f"{self._artifact_location}/{identity}/artifacts"
        source = ("UNKNOWN", "", "", "unknown")
        return (identity, record.name, *source, record.status, *times, "", "active", artifacts, self._experiment_id)


def _dependent_rows(records: Mapping[str, TrialRecord]) -> Rows:
    rows: Rows = {"metrics": [], "latest_metrics": [], "params": [], "tags": []}
    for identity, record in records.items():
        for key, points in record.curves.items():
            metrics = [_metric(key, value, time, identity, step) for step, value, time in points]
            rows["metrics"].extend(metrics)
            rows["latest_metrics"].append(metrics[-1])  # steps rise
        rows["params"].extend((key, value, identity) for key, value in record.params.items())
        rows["tags"].extend((key, value, identity) for key, value in record.tags.items())
        rows["tags"].append(("mlflow.runName", record.name, identity))
    return rows


def _metric(key: str, value: float, time: int, identity: str, step: int) -> Row:
    if math.isfinite(value):
        return (key, value, time, identity, step, False)
    if math.isnan(value):
        return (key, 0.0, time, identity, step, True)
    return (key, math.copysign(_LARGEST, value), time, identity, step, False)
