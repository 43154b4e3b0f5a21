"""Which recorder writes into a store: the fastest that it allows."""

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
    where: Callable[[str], str] = str,
) -> Recorder:
    """The recorder for the store at `uri`; its `note` says so where it is not the fast one, and why.

    backend_uri: the database behind a tracking server, where it may be written directly. where: from an artifact
    location to the place where its files are now. Raises StoreError where the database is another server's.
    """
    experiment = client.get_experiment(experiment_id)
    place = without_passwords(backend_uri or uri)
    location, kept = str(experiment.artifact_location), where(str(experiment.artifact_location))
    database = _database((backend_uri if is_server(uri) else None) or uri)
    why_not = _why_no_bulk(database, backend_uri or uri)
    if database is not None and not why_not:
        if database.experiment_name(int(experiment_id)) != experiment.name:
            raise StoreError(
                f"the database at {place} is not the one behind {without_passwords(uri)}: it has no experiment "
                f"{experiment.name!r}; give the backend store of that server, or none"
            )
        return BulkRecorder(database, experiment_id, location, _weights(weights, uri, kept), sweep, uri)
    if is_server(uri):
        from service.recording.rest_client import Server
        from service.recording.rest_recorder import RestRecorder

        note = f"recording through the server, run by run: {why_not}" if backend_uri else ""
        return RestRecorder(Server(uri), experiment_id, _weights(weights, uri, kept), uri, note)
    if kept != location:
        raise StoreError(
            f"the store was moved or copied: MLflow would write weights to {location}, where it was; link that to "
            f"{kept} (`ln -s`), and resume the sweep then"
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
        return "the store is no SQLite or PostgreSQL that is open to us"
    return shape_difference(uri)


def _weights(wanted: bool, uri: str, location: str) -> Weights:
    folder = local_folder(location)
    if not wanted:
        return NoWeights()
    if folder is not None:
        return LocalWeights(folder)
    if location.startswith("mlflow-artifacts:") and is_server(uri):
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

        from service.recording.rest_client import Server

        place = urlparse(str(MlflowArtifactsRepository.resolve_uri(location, uri)))  # type: ignore[no-untyped-call]
        return ServedWeights(Server(f"{place.scheme}://{place.netloc}"), place.path)
    return UploadedWeights(location)
