"""Recording through a tracking server's REST interface: three requests a run, several runs at once.

A request that was sent may have been carried out although no answer came. Logging the same points again and ending a
run again are harmless; creating a run again is not. So after a doubtful answer the run is looked for, by its trial,
before it is created again, and in the end whatever was created twice is deleted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import requests

from service.recording.connection import TRANSIENT_STATUSES, translated_errors
from service.recording.rest_client import Server
from service.recording.tags import Tag
from service.recording.threaded_map import ThreadedMap
from service.recording.trial_record import RecordedTrial, TrialRecord
from service.recording.weights import Weights

_MAX_METRICS = 1_000  # of one log-batch
_MAX_PARAMS = 100
_PAGE = 1_000


class RestRecorder:
    """Writes a run a trial."""

    def __init__(self, server: Server, experiment_id: str, weights: Weights, uri: str, note: str = "") -> None:
        self.note = note
        self._server = server
        self._experiment_id = experiment_id
        self._weights = weights
        self._uri = uri
        self._threads = ThreadedMap()
        self._begun: dict[str, str] = {}  # trial -> run id, of runs that aren't whole
        self._doubtful: set[str] = set()  # trials whose run may have been created without our knowing
        self._recorded: dict[str, str] = {}  # trial -> run id, of runs that are whole

    def record(self, records: Sequence[TrialRecord]) -> Iterator[RecordedTrial]:
        with translated_errors(self._uri):
            yield from self._threads.map_unordered(self._write, records)

    def _write(self, record: TrialRecord) -> RecordedTrial:
        if record.trial not in self._recorded:
            self._recorded[record.trial] = self._write_run(record)
        return RecordedTrial(record.trial, self._recorded[record.trial])

    def _write_run(self, record: TrialRecord) -> str:
        run_id = self._created(record)
        params = [{"key": key, "value": value} for key, value in record.params.items()]
        metrics = [
            {"key": key, "value": _number(value), "timestamp": time, "step": step}
            for key, points in record.curves.items()
            for step, value, time in points
        ]
        while params or metrics:
            some, params = params[:_MAX_PARAMS], params[_MAX_PARAMS:]
            room = _MAX_METRICS - len(some)
            points, metrics = metrics[:room], metrics[room:]
            self._server.post("runs/log-batch", {"run_id": run_id, "params": some, "metrics": points})
        self._weights.write({run_id: record})
        self._server.post("runs/update", {"run_id": run_id, "status": record.status, "end_time": record.end_time})
        return run_id

    def _created(self, record: TrialRecord) -> str:
        """The trial's run, created unless it was before."""
        if record.trial not in self._begun:
            found = self._runs_of(record.trial) if record.trial in self._doubtful else []
            self._begun[record.trial] = found[0] if found else self._create(record)
        return self._begun[record.trial]

    def _create(self, record: TrialRecord) -> str:
        body = {
            "experiment_id": self._experiment_id,
            "user_id": "unknown",
            "run_name": record.name,
            "start_time": record.start_time,
            "tags": [{"key": key, "value": value} for key, value in record.tags.items()],
        }
        try:
            return str(self._server.post("runs/create", body)["run"]["info"]["run_id"])
        except requests.RequestException as error:
            if error.response is None or error.response.status_code in TRANSIENT_STATUSES:
                self._doubtful.add(record.trial)
            raise

    def _runs_of(self, trial: str) -> list[str]:
        body = {
            "experiment_ids": [self._experiment_id],
            "filter": f"tags.`{Tag.TRIAL}` = '{trial}'",
            "max_results": _PAGE,
        }
        return [str(run["info"]["run_id"]) for run in self._server.post("runs/search", body).get("runs", [])]

    def finish(self) -> None:
        """Delete what was created twice: by a request whose answer never came, carried out after it was looked for."""
        with translated_errors(self._uri):
            for trial in sorted(self._doubtful):
                for run_id in self._runs_of(trial):
                    if run_id != self._recorded.get(trial):
                        self._server.post("runs/delete", {"run_id": run_id})

    def close(self) -> None:
        self._threads.close()
        self._weights.close()


def _number(value: float) -> float | str:
    """JSON has neither infinity nor NaN; MLflow's protocol spells them."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
