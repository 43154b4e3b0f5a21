"""Choose the fastest recorder that a store allows."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from experiments.errors import StoreError
from service.recording import Recorder
from service.recording.artifacts import local_folder
from service.recording.bulk_recorder import BulkRecorder
from service.recording.connection import is_server, sqlite_path
from service.recording.databases import Database, PostgresDatabase, SqliteDatabase
from service.recording.redaction import without_passwords
from service.recording.schema import shape_difference
from service.recording.weights import LocalWeights, NoWeights, ServedWeights, UploadedWeights, Weights

if TYPE_CHECKING:
    from mlflow import MlflowClient


def make_recorder(
    client: MlflowClient,
    uri: str,
    experiment_id: str,
    sweep: str,
    *,
    weights: bool = True,
    backend_uri: str | None = None,
    current_location: Callable[[str], str] = str,
) -> Recorder:
    """Return the recorder for a sweep. If it is not the fast one, its `note` says why.

    client, uri: of the store.
    experiment_id: of the experiment for the trials.
    sweep: the sweep's id.
    weights: whether to record the final weights.
    backend_uri: the database behind a tracking server, to write into it directly.
    current_location: a function from an artifact location in the store to where its files are now.
    Raises StoreError if the database belongs to another server.
    """
    experiment = client.get_experiment(experiment_id)
    location = str(experiment.artifact_location)
    folder = current_location(location)
    database = _database((backend_uri if is_server(uri) else None) or uri)
    why_not = _why_no_bulk(database, backend_uri or uri)
    if database is not None and not why_not:
        if database.experiment_name(int(experiment_id)) != experiment.name:
            raise StoreError(
                f"the database at {without_passwords(backend_uri or uri)} is not the one behind "
                f"{without_passwords(uri)}: it has no experiment {experiment.name!r}; give the backend store of that "
                "server, or none"
            )
        return BulkRecorder(database, experiment_id, location, _weights(weights, uri, folder), sweep, uri)
    if is_server(uri):
        from service.recording.rest_client import Server
        from service.recording.rest_recorder import RestRecorder

        note = f"recording through the server, run by run: {why_not}" if backend_uri else ""
        return RestRecorder(Server(uri), experiment_id, _weights(weights, uri, folder), uri, note)
    if folder != location:
        raise StoreError(
            f"the store was moved or copied: MLflow would write weights to {location}, the old place; link that to "
            f"{folder} (`ln -s`), then resume the sweep"
        )
    from service.recording.client_recorder import ClientRecorder

    note = f"recording through MLflow's client, run by run: {why_not}"
    return ClientRecorder(client, experiment_id, uri, weights=weights, note=note)


def _database(uri: str) -> Database | None:
    path = sqlite_path(uri)
    if path:
        return SqliteDatabase(path)
    if uri.startswith("postgresql") and importlib.util.find_spec("psycopg"):
        import sqlalchemy

        address = sqlalchemy.make_url(uri).set(drivername="postgresql")
        return PostgresDatabase(address.render_as_string(hide_password=False))
    return None


def _why_no_bulk(database: Database | None, uri: str) -> str:
    if database is None:
        return "the store is not an SQLite or PostgreSQL database that can be written directly"
    return shape_difference(uri)


def _weights(enabled: bool, uri: str, location: str) -> Weights:
    folder = local_folder(location)
    if not enabled:
        return NoWeights()
    if folder is not None:
        return LocalWeights(folder)
    if location.startswith("mlflow-artifacts:") and is_server(uri):
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

        from service.recording.rest_client import Server

        address = urlparse(str(MlflowArtifactsRepository.resolve_uri(location, uri)))  # type: ignore[no-untyped-call]
        return ServedWeights(Server(f"{address.scheme}://{address.netloc}"), address.path)
    return UploadedWeights(location)
