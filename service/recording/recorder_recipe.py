"""What a process needs to open the recorder of a sweep's trials."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlparse

from service.recording.artifact_writers import ArtifactWriter, open_artifact_writer
from service.recording.artifacts import local_folder
from service.recording.bulk_recorder import BulkRecorder
from service.recording.connection import sqlite_path
from service.recording.direct_database import database_writers, open_database
from service.recording.recorder import Recorder
from service.recording.redaction import remember
from service.recording.shard_protocol import Offer

_BATCH = {"bulk": 500, "plugin": 500, "server": 40, "client": 20}


@dataclass(frozen=True)
class RecorderRecipe:
    """All that a process needs to open the recorder of a sweep's trials.

    kind: `bulk` into a database, `plugin` in bulk to a server with gradgrid's app, `server` run by run over HTTP,
        `client` run by run with MLflow's client.
    uri: the store's.
    database: the database's address, for `bulk`.
    experiment_id: of the experiment for the trials.
    artifact_location: of that experiment, as the store has it.
    folder: where that location is now; the store may have been moved.
    weights: whether to record the final weights.
    note: a message for the user about the way of recording; may be empty.
    offer: what the server's app takes, for `plugin`.
    """

    kind: str
    uri: str = field(repr=False)
    database: str = field(repr=False)
    experiment_id: str
    artifact_location: str
    folder: str
    weights: bool
    note: str
    offer: Offer | None = None

    @property
    def writers(self) -> int:
        """How many recorders at once the store can use."""
        if self.kind == "plugin":
            assert self.offer is not None
            return self.offer.writers
        return database_writers(self.database) if self.kind == "bulk" else 1

    @property
    def batch(self) -> int:
        """How many runs to give to a recorder at a time. An interrupted sweep completes them; progress shows them."""
        return _BATCH[self.kind]

    @property
    def chooses_ids(self) -> bool:
        """Whether the recorder, not the server, chooses the runs' ids. Then no run can exist twice."""
        return self.kind in ("bulk", "plugin")

    @property
    def is_local(self) -> bool:
        """Whether it writes files of this machine."""
        return sqlite_path(self.database) is not None or (self.weights and local_folder(self.folder) is not None)

    def open(self) -> Recorder:
        """Return the recorder. Raises StoreError."""
        remember(self.uri)
        remember(self.database)
        if self.kind == "client":
            import mlflow

            from service.recording.client_recorder import ClientRecorder

            return ClientRecorder(mlflow.MlflowClient(self.uri), self.experiment_id, self.uri, weights=self.weights)
        if self.kind == "server":
            from service.recording.rest_client import Server
            from service.recording.rest_recorder import RestRecorder

            return RestRecorder(Server(self.uri), self.experiment_id, self._weights(), self.uri)
        if self.kind == "plugin":
            return self._plugin_recorder()
        database = open_database(self.database)
        return BulkRecorder(database, self.experiment_id, self.artifact_location, self._weights(), self.uri)

    def _plugin_recorder(self) -> Recorder:
        from service.recording.plugin_recorder import PluginRecorder
        from service.recording.rest_client import Server

        assert self.offer is not None
        place = urlparse(self.artifact_location)
        is_served = place.scheme == "mlflow-artifacts" and not place.netloc  # else by another server, or by none
        is_served = is_served and place.path.strip("/").partition("/")[0] == self.experiment_id
        is_sent = self.weights and self.offer.artifacts and is_served
        writer = None if is_sent else self._weights()
        return PluginRecorder(Server(self.uri), self.experiment_id, self.offer, writer, self.uri, sends_weights=is_sent)

    def _weights(self) -> ArtifactWriter | None:
        return open_artifact_writer(self.uri, self.folder) if self.weights else None
