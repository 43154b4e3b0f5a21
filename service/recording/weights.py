"""Where a trial's final weights go: an artifact of its run, or nowhere."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from service.recording.threaded_map import ThreadedMap
from service.recording.trial_record import TrialRecord

if TYPE_CHECKING:
    from service.recording.rest_client import Server

WEIGHTS_FILE = "final_weights.json"


class Weights(Protocol):
    """Keeps final weights."""

    def write(self, records: Mapping[str, TrialRecord]) -> None:
        """Write the final weights of these runs, run id -> record; again if need be. Raises what MLflow raises."""
        ...

    def close(self) -> None: ...


def weights_text(record: TrialRecord) -> str:
    """What stands in a trial's final_weights.json."""
    return json.dumps({"tensors": list(record.weights)})


class NoWeights:
    """For `record: {weights: none}`."""

    def write(self, records: Mapping[str, TrialRecord]) -> None:
        pass

    def close(self) -> None:
        pass


class LocalWeights:
    """Files, where the store's artifacts are in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, records: Mapping[str, TrialRecord]) -> None:
        for run_id, record in records.items():
            place = f"{self._folder}/{run_id}"
            for folder in (place, f"{place}/artifacts"):
                with suppress(FileExistsError):
                    os.mkdir(folder)  # noqa: PTH102 - pathlib takes as long as the disk does
            with open(f"{place}/artifacts/{WEIGHTS_FILE}", "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(weights_text(record))

    def close(self) -> None:
        pass


class ServedWeights:
    """Requests to a tracking server that takes artifacts itself, several at once. `path`: of the experiment's."""

    def __init__(self, server: Server, path: str) -> None:
        self._server = server
        self._path = path.rstrip("/")
        self._threads = ThreadedMap()

    def write(self, records: Mapping[str, TrialRecord]) -> None:
        def put(run_id: str) -> None:
            self._server.put(f"{self._path}/{run_id}/artifacts/{WEIGHTS_FILE}", weights_text(records[run_id]).encode())

        self._threads.run(put, list(records))

    def close(self) -> None:
        self._threads.close()


class UploadedWeights:
    """Any other artifact store, by MLflow's own way to it, several files at once."""

    def __init__(self, location: str) -> None:
        self._location = location.rstrip("/")
        self._threads = ThreadedMap()

    def write(self, records: Mapping[str, TrialRecord]) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        def upload(run_id: str) -> None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / WEIGHTS_FILE
                file.write_text(weights_text(records[run_id]), encoding="utf-8")
                place = get_artifact_repository(f"{self._location}/{run_id}/artifacts")
                place.log_artifact(str(file))  # type: ignore[no-untyped-call]

        self._threads.run(upload, list(records))

    def close(self) -> None:
        self._threads.close()
