"""What a process needs to open the recorder of a sweep's trials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlparse

from service.recording.artifact_writers import ArtifactWriter, open_artifact_writer
from service.recording.bulk_recorder import BulkRecorder
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
    environment: the variables from which MLflow takes credentials and certificates.
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
    environment: Mapping[str, str] = field(repr=False)
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

    def open_elsewhere(self) -> Recorder:
        """Return the recorder, in a process that does not have this one's environment. Raises StoreError."""
        os.environ.update(self.environment)
        return self.open()

    def _plugin_recorder(self) -> Recorder:
        from service.recording.plugin_recorder import PluginRecorder
        from service.recording.rest_client import Server

        assert self.offer is not None
        place = urlparse(self.artifact_location)
        is_served = place.scheme == "mlflow-artifacts" and not place.netloc  # else by another server, or by none
        is_sent = self.weights and self.offer.artifacts and is_served
        writer = None if is_sent else self._weights()
        return PluginRecorder(Server(self.uri), self.experiment_id, self.offer, writer, self.uri, sends_weights=is_sent)

    def _weights(self) -> ArtifactWriter | None:
        return open_artifact_writer(self.uri, self.folder) if self.weights else None
