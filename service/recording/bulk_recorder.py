"""Record at the database's speed: write many runs in one transaction, straight into MLflow's tables.

MLflow has no call that writes many runs, and its client takes tens of milliseconds for each. MLflow may change its
tables, so this recorder is used only if they have the expected shape (see schema.py), and MLflow's client otherwise.
Both write the same rows; tests compare them. A run's id is derived from sweep and trial, so a trial can't be written
twice, by however many recorders.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from service.recording.artifact_writers import ArtifactWriter, LocalArtifactWriter
from service.recording.connection import translated_errors
from service.recording.databases import Database
from service.recording.run_table import RunTable
from service.recording.weights import weights_files

_NAMESPACE = uuid.UUID("6f5c9a54-3c0e-5d0f-9a53-6f1b5d7f4f2e")
_NUMBERS = 16**6


def run_id(sweep: str, trial: str, number: int) -> str:
    """Return the id of a trial's run: 32 hexadecimal digits.

    Two digits come from the sweep, six are the end of the trial's number, 24 are a hash of both. Ids that rise from run
    to run keep the ends of the indexes in memory, which halves SQLite's time. Eight digits name a sweep's run.
    """
    return f"{_sweep_digits(sweep)}{number % _NUMBERS:06x}{uuid.uuid5(_NAMESPACE, f'{sweep}/{trial}').hex[:24]}"


@lru_cache(maxsize=16)
def _sweep_digits(sweep: str) -> str:
    return uuid.uuid5(_NAMESPACE, sweep).hex[:2]


class BulkRecorder:
    """Writes a table of runs in one transaction.

    artifact_location: the experiment's.
    weights: writes below that location; None if weights are not recorded.
    uri: the store's, for messages.
    """

    def __init__(
        self, database: Database, experiment_id: str, artifact_location: str, weights: ArtifactWriter | None, uri: str
    ) -> None:
        self._database = database
        self._experiment_id = int(experiment_id)
        self._artifact_location = artifact_location.rstrip("/")
        self._weights = weights
        self._uri = uri

    def record(self, runs: RunTable, *, again: bool = False) -> list[str]:
        with translated_errors(self._uri):
            if isinstance(self._weights, LocalArtifactWriter):
                self._write_both(runs, self._weights)
            else:
                if self._weights:
                    self._weights.write(weights_files(runs))  # first: no transaction waits for uploads
                self._database.write(runs, self._experiment_id, self._artifact_location)
        return runs.texts("run_id")

    def _write_both(self, runs: RunTable, weights: LocalArtifactWriter) -> None:
        """Write weights in a thread and rows here. The rows wait for the weights: a run in the database has its own."""
        with ThreadPoolExecutor(1) as thread:
            written = thread.submit(weights.write, weights_files(runs))
            self._database.write(runs, self._experiment_id, self._artifact_location, written.result)

    def finish(self) -> None:
        with translated_errors(self._uri):
            self._database.refresh_statistics()

    def close(self) -> None:
        self._database.close()
        if self._weights:
            self._weights.close()
