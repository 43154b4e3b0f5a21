"""Which recorder writes into a store: the fastest that it allows."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from experiments.errors import StoreError
from service.recording import Recorder
from service.recording.bulk_recorder import KNOWN_SCHEMAS, BulkRecorder
from service.recording.connection import is_server, shown, sqlite_path, stored_revision
from service.recording.databases import Database, PostgresDatabase, SqliteDatabase
from service.recording.weights import LocalWeights, NoWeights, ServedWeights, UploadedWeights, Weights

if TYPE_CHECKING:
    from mlflow import MlflowClient


def make_recorder(
    client: MlflowClient,
    uri: str,
    experiment_id: str,
    sweep: str,
    runs: dict[str, str],
    *,
    weights: bool = True,
    backend_uri: str | None = None,
) -> Recorder:
    """The recorder for the store at `uri`; its `note` says so where it is not the fast one, and why.

    `backend_uri`: the database behind a tracking server, where it may be written directly. Raises StoreError where that
    is another server's.
    """
    experiment = client.get_experiment(experiment_id)
    database = _database((backend_uri if is_server(uri) else None) or uri)
    why_not = _why_no_bulk(database, backend_uri or uri)
    if database is not None and not why_not:
        if database.experiment_name(int(experiment_id)) != experiment.name:
            raise StoreError(
                f"the database at {shown(backend_uri or uri)} is not the one behind {uri}: it has no experiment "
                f"{experiment.name!r}; give the backend store of that server, or none"
            )
        location = str(experiment.artifact_location)
        return BulkRecorder(database, experiment_id, location, _weights(weights, uri, location), sweep, uri, runs)
    if is_server(uri):
        from service.recording.rest_client import Server
        from service.recording.rest_recorder import HttpRecorder

        kept = _weights(weights, uri, str(experiment.artifact_location))
        note = f"recording through the server, run by run: {why_not}" if backend_uri else ""
        return HttpRecorder(Server(uri), experiment_id, kept, uri, runs, note)
    from service.recording.client_recorder import ClientRecorder

    note = f"recording through MLflow's client, run by run: {why_not}"
    return ClientRecorder(client, experiment_id, uri, runs, weights=weights, note=note)


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
    revision = stored_revision(uri)
    return "" if revision in KNOWN_SCHEMAS else f"its schema {revision} is not known here"


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


def local_folder(location: str) -> Path | None:
    """The folder of an artifact location that is one."""
    parts = urlparse(location)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None
