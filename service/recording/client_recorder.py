"""Record through MLflow's public client, run after run. It works with every store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from mlflow.entities import Metric, Param

from service.recording.connection import translated_errors
from service.recording.run_table import RunTable
from service.recording.runs import WHOLE, Runs
from service.recording.tags import Tag
from service.recording.trial_record import TrialRecord
from service.recording.weights import WEIGHTS_FILE, weights_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MAX_METRICS = 1_000  # in one log_batch
_Item = TypeVar("_Item")


class ClientRecorder:
    """Writes one trial after another.

    weights: whether to record the final weights.
    uri: the store's, for messages.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, uri: str, *, weights: bool = True) -> None:
        self._weights = weights
        self._client = client
        self._experiment_id = experiment_id
        self._uri = uri
        self._begun: dict[str, str] = {}  # trial -> run id, of runs in progress
        self._recorded: dict[str, str] = {}  # trial -> run id, of complete runs

    def record(self, runs: RunTable, *, again: bool = False) -> list[str]:
        with translated_errors(self._uri):
            for record in runs.records():
                if again and record.trial not in self._recorded:
                    self._find(record.trial)
                if record.trial not in self._recorded:
                    self._recorded[record.trial] = self._write(record)
                    self._begun.pop(record.trial, None)
        return [self._recorded[trial] for trial in runs.texts("trial")]

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _find(self, trial: str) -> None:
        """Find the run that another recorder has made for a trial, complete or not."""
        for run in Runs(self._client).of([self._experiment_id], f"tags.`{Tag.TRIAL}` = '{trial}'"):
            known = self._recorded if run.info.status in WHOLE else self._begun
            known.setdefault(trial, str(run.info.run_id))

    def _write(self, record: TrialRecord) -> str:
        run_id = self._begun.get(record.trial)
        if run_id is None:
            run = self._client.create_run(
                self._experiment_id, start_time=record.start_time, tags=dict(record.tags), run_name=record.name
            )
            run_id = self._begun[record.trial] = str(run.info.run_id)
        params = [Param(key, value) for key, value in record.params.items()]
        for batch in _batches(list(_metrics(record)), _MAX_METRICS - len(params)):
            self._client.log_batch(run_id, metrics=batch, params=params)
            params = []
        if self._weights:
            self._client.log_text(run_id, weights_text(record.weights), WEIGHTS_FILE)
        self._client.set_terminated(run_id, record.status, record.end_time)
        return run_id


def _metrics(record: TrialRecord) -> Iterator[Metric]:
    for name, points in record.curves.items():
        for step, value, time in points:
            yield Metric(name, value, time, step)


def _batches(items: list[_Item], size: int) -> Iterator[list[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
