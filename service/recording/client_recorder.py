"""Record through MLflow's public client, run after run. It works with every store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from mlflow.entities import Metric, Param

from service.recording.connection import translated_errors
from service.recording.trial_record import RecordedTrial, TrialRecord
from service.recording.weights import WEIGHTS_FILE, weights_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MAX_METRICS = 1_000  # in one log_batch
_Item = TypeVar("_Item")


class ClientRecorder:
    """Writes one trial after another."""

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        uri: str,
        *,
        weights: bool = True,
        note: str = "",
    ) -> None:
        self.note = note
        self._weights = weights
        self._client = client
        self._experiment_id = experiment_id
        self._uri = uri
        self._recorded: dict[str, str] = {}  # trial -> run id

    def record(self, records: Sequence[TrialRecord]) -> Iterator[RecordedTrial]:
        for record in records:
            if record.trial not in self._recorded:
                with translated_errors(self._uri):
                    self._recorded[record.trial] = self._write(record)
            yield RecordedTrial(record.trial, self._recorded[record.trial])

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _write(self, record: TrialRecord) -> str:
        run = self._client.create_run(
            self._experiment_id, start_time=record.start_time, tags=dict(record.tags), run_name=record.name
        )
        run_id = str(run.info.run_id)
        params = [Param(key, value) for key, value in record.params.items()]
        for batch in _batches(list(_metrics(record)), _MAX_METRICS - len(params)):
            self._client.log_batch(run_id, metrics=batch, params=params)
            params = []
        if self._weights:
            self._client.log_text(run_id, weights_text(record), WEIGHTS_FILE)
        self._client.set_terminated(run_id, record.status, record.end_time)
        return run_id


def _metrics(record: TrialRecord) -> Iterator[Metric]:
    for name, points in record.curves.items():
        for step, value, time in points:
            yield Metric(name, value, time, step)


def _batches(items: list[_Item], size: int) -> Iterator[list[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
