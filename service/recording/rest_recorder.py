"""Record through a tracking server's REST interface: three requests a run, several runs at once.

The server may have carried out a request although no answer came. To log the same points twice, or to end a run twice,
does no harm; to create a run twice does. So after a lost answer the recorder searches the trial's run before it creates
another. At the end it deletes runs that were created twice.
"""

from __future__ import annotations

import math

import requests

from service.recording.artifact_writers import ArtifactWriter
from service.recording.connection import TRANSIENT_STATUSES, translated_errors
from service.recording.rest_client import Server
from service.recording.run_table import RunTable
from service.recording.tags import Tag
from service.recording.threaded_map import ThreadedMap
from service.recording.trial_record import TrialRecord
from service.recording.weights import weights_path, weights_text

_MAX_METRICS = 1_000  # in one log-batch
_MAX_PARAMS = 100
_PAGE = 1_000


class RestRecorder:
    """Writes several runs at once.

    weights: writes below the experiment's artifact location; None if weights are not recorded.
    uri: the store's, for messages.
    """

    def __init__(self, server: Server, experiment_id: str, weights: ArtifactWriter | None, uri: str) -> None:
        self._server = server
        self._experiment_id = experiment_id
        self._weights = weights
        self._uri = uri
        self._threads = ThreadedMap()
        self._begun: dict[str, str] = {}  # trial -> run id, of runs in progress
        self._doubtful: set[str] = set()  # trials whose run may exist: the answer was lost
        self._recorded: dict[str, str] = {}  # trial -> run id, of complete runs

    def record(self, runs: RunTable, *, again: bool = False) -> list[str]:
        trials = runs.texts("trial")
        if again:
            self._doubtful.update(trials)
        kept = self._doubtful.union(trials)
        self._recorded = {trial: run_id for trial, run_id in self._recorded.items() if trial in kept}
        with translated_errors(self._uri):
            self._threads.run(self._write, list(runs.records()))
        return [self._recorded[trial] for trial in trials]

    def _write(self, record: TrialRecord) -> None:
        if record.trial not in self._recorded:
            self._recorded[record.trial] = self._write_run(record)
            self._begun.pop(record.trial)

    def _write_run(self, record: TrialRecord) -> str:
        run_id = self._begin_run(record)
        params = [{"key": key, "value": value} for key, value in record.params.items()]
        metrics = [
            {"key": key, "value": _number(value), "timestamp": time, "step": step}
            for key, points in record.curves.items()
            for step, value, time in points
        ]
        while params or metrics:
            first, params = params[:_MAX_PARAMS], params[_MAX_PARAMS:]
            room = _MAX_METRICS - len(first)
            points, metrics = metrics[:room], metrics[room:]
            self._server.post("runs/log-batch", {"run_id": run_id, "params": first, "metrics": points})
        if self._weights:
            self._weights.write([(weights_path(run_id), weights_text(record.weights).encode())])
        self._server.post("runs/update", {"run_id": run_id, "status": record.status, "end_time": record.end_time})
        return run_id

    def _begin_run(self, record: TrialRecord) -> str:
        """Return the id of the trial's run; create the run if there is none."""
        if record.trial not in self._begun:
            run_ids = self._runs_of(record.trial) if record.trial in self._doubtful else []
            self._begun[record.trial] = run_ids[0] if run_ids else self._create(record)
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
        """Delete runs that exist twice: a lost request may create its run after the recorder has searched for it."""
        with translated_errors(self._uri):
            for trial in sorted(self._doubtful):
                for run_id in self._runs_of(trial):
                    if run_id != self._recorded.get(trial):
                        self._server.post("runs/delete", {"run_id": run_id})

    def close(self) -> None:
        self._threads.close()
        if self._weights:
            self._weights.close()


def _number(value: float) -> float | str:
    """Return a number for JSON, which has neither infinity nor NaN: MLflow's protocol spells them."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
