"""The store behind an MLflow server, as the server itself writes it: its database and its artifact store."""

from __future__ import annotations

import os
import posixpath
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import cached_property
from http import HTTPStatus
from importlib import metadata
from urllib.parse import urlparse

from mlflow.entities import Experiment
from mlflow.entities.lifecycle_stage import LifecycleStage
from mlflow.server.constants import (
    ARTIFACTS_DESTINATION_ENV_VAR,
    ARTIFACTS_ONLY_ENV_VAR,
    BACKEND_STORE_URI_ENV_VAR,
    SERVE_ARTIFACTS_ENV_VAR,
)
from mlflow.server.handlers import _get_tracking_store
from mlflow.utils.uri import validate_path_is_safe

from experiments.errors import StoreError, StoreUnavailableError
from service.recording.artifact_writers import ArtifactWriter, open_artifact_writer
from service.recording.bulk_recorder import BulkRecorder
from service.recording.databases import Database
from service.recording.direct_database import database_address, database_writers, open_database, why_not_direct
from service.recording.redaction import remember
from service.recording.run_table import RunTable
from service.recording.shard_check import ShardError
from service.recording.shard_protocol import FORMAT, Offer

_NAME = "the server's database"


class ShardStore:
    """Writes runs in bulk. Several threads may use it. It opens nothing before it is used, so a process may fork.

    max_bytes: the most bytes of a request.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._uri = os.environ.get(BACKEND_STORE_URI_ENV_VAR, "")
        self._idle: list[Database] = []
        remember(self._uri)

    @property
    def offer(self) -> Offer:
        """What this server takes. Raises StoreUnavailableError."""
        return Offer(
            formats=(FORMAT,),
            max_bytes=self.max_bytes,
            writers=database_writers(self._address),
            artifacts=os.environ.get(SERVE_ARTIFACTS_ENV_VAR) == "true",
            why_not=self._why_not,
            version=metadata.version("gradgrid"),
        )

    def record(self, experiment_id: str, runs: RunTable) -> None:
        """Write runs into an experiment, with their weights if the table has them.

        Raises ShardError, StoreError, and MLflow's error if there is no such experiment.
        """
        location = str(self._experiment(experiment_id).artifact_location).rstrip("/")
        with (
            self._writer(location, experiment_id) if runs.has_weights else nullcontext() as weights,
            self._database() as database,
        ):
            BulkRecorder(database, experiment_id, location, weights, _NAME).record(runs)

    def finish(self, experiment_id: str) -> None:
        """Update the database's statistics after runs were written into this experiment. Raises as `record`."""
        location = str(self._experiment(experiment_id).artifact_location)
        with self._database() as database:
            BulkRecorder(database, experiment_id, location, None, _NAME).finish()

    def _experiment(self, experiment_id: str) -> Experiment:
        if self._why_not:
            raise ShardError(f"this server can't record in bulk: {self._why_not}", HTTPStatus.NOT_IMPLEMENTED)
        experiment: Experiment = _get_tracking_store().get_experiment(experiment_id)  # type: ignore[no-untyped-call]
        if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
            raise ShardError(f"the experiment {experiment_id} was deleted", HTTPStatus.CONFLICT)
        return experiment

    @cached_property
    def _address(self) -> str:
        return database_address(self._uri)

    @cached_property
    def _why_not(self) -> str:
        """Why runs can't be written in bulk; empty if they can. Raises StoreUnavailableError."""
        if os.environ.get(ARTIFACTS_ONLY_ENV_VAR):
            return "the server serves artifacts alone"
        try:
            return why_not_direct(self._uri)
        except StoreError as error:  # the server could open it before, so it is away
            raise StoreUnavailableError(str(error)) from None

    @cached_property
    def _turns(self) -> threading.BoundedSemaphore:
        return threading.BoundedSemaphore(database_writers(self._address))

    @contextmanager
    def _database(self) -> Iterator[Database]:
        """Yield a database that no other thread uses, once there is one. It stays open."""
        with self._turns:
            database = self._idle.pop() if self._idle else open_database(self._address)
            try:
                yield database
            finally:
                self._idle.append(database)

    @contextmanager
    def _writer(self, location: str, experiment_id: str) -> Iterator[ArtifactWriter]:
        """Yield the writer for an experiment's artifacts that this server serves."""
        place = urlparse(location)
        if place.scheme != "mlflow-artifacts" or place.netloc or os.environ.get(SERVE_ARTIFACTS_ENV_VAR) != "true":
            raise ShardError(f"this server does not serve the artifacts at {location}: send the runs without weights")
        path = str(validate_path_is_safe(place.path.lstrip("/")))  # type: ignore[no-untyped-call]
        if path.partition("/")[0] != experiment_id:  # whoever makes an experiment may name another one's folder
            raise ShardError(f"the artifacts at {location} are not this experiment's: send the runs without weights")
        destination = posixpath.join(os.environ[ARTIFACTS_DESTINATION_ENV_VAR], path)
        with closing(open_artifact_writer(self._uri, destination)) as writer:
            yield writer
