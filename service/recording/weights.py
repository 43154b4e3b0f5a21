"""Write trials' final weights as artifacts of their runs."""

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
    """Writes final weights."""

    def write(self, records: Mapping[str, TrialRecord]) -> None:
        """Write the final weights of these runs, again if they are there. Raises MLflow's errors.

        records: run id -> record.
        """
        ...

    def close(self) -> None: ...


def weights_text(record: TrialRecord) -> str:
    """Return the content of a trial's final_weights.json."""
    return json.dumps({"tensors": list(record.weights)})


class NoWeights:
    """Writes nothing, for `record: {weights: none}`."""

    def write(self, records: Mapping[str, TrialRecord]) -> None:
        pass

    def close(self) -> None:
        pass


class LocalWeights:
    """Writes files, if the store's artifacts are in a folder on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, records: Mapping[str, TrialRecord]) -> None:
        for run_id, record in records.items():
            run_folder = f"{self._folder}/{run_id}"
            for folder in (run_folder, f"{run_folder}/artifacts"):
                with suppress(FileExistsError):
                    os.mkdir(folder)  # noqa: PTH102 - pathlib takes as long as the disk
            with open(f"{run_folder}/artifacts/{WEIGHTS_FILE}", "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(weights_text(record))

    def close(self) -> None:
        pass


class ServedWeights:
    """Sends weights to a tracking server that stores artifacts, several at once.

    path: of the experiment's artifacts on the server.
    """

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
    """Uploads weights to any other artifact store with MLflow's client, several at once."""

    def __init__(self, location: str) -> None:
        self._location = location.rstrip("/")
        self._threads = ThreadedMap()

    def write(self, records: Mapping[str, TrialRecord]) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        def upload(run_id: str) -> None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / WEIGHTS_FILE
                file.write_text(weights_text(records[run_id]), encoding="utf-8")
                repository = get_artifact_repository(f"{self._location}/{run_id}/artifacts")
                repository.log_artifact(str(file))  # type: ignore[no-untyped-call]

        self._threads.run(upload, list(records))

    def close(self) -> None:
        self._threads.close()
