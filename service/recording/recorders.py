"""Which recorder writes into a store: the fastest that it allows."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

import sqlalchemy

from service.recording import Recorder
from service.recording.bulk import KNOWN_SCHEMAS, BulkRecorder, Database, PostgresDatabase, SqliteDatabase
from service.recording.client import WEIGHTS_FILE, ClientRecorder, weights_content
from service.recording.store import schema_revision, sqlite_path
from service.records import TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient


def make_recorder(client: MlflowClient, uri: str, experiment_id: str, sweep: str, runs: dict[str, str]) -> Recorder:
    """The recorder for the store at `uri`; its `note` says so where it is not the fast one, and why."""
    location = str(client.get_experiment(experiment_id).artifact_location)
    database = _database(uri)
    folder = _local_folder(location)
    why_not = _why_no_bulk(database, folder)
    if database is None or folder is None or why_not:
        return ClientRecorder(client, experiment_id, uri, runs, why_not)
    return BulkRecorder(database, experiment_id, location, _weights_writer(folder), sweep, uri, runs)


def _database(uri: str) -> Database | None:
    path = sqlite_path(uri)
    if path:
        return SqliteDatabase(path)
    if uri.startswith("postgresql") and importlib.util.find_spec("psycopg"):
        address = sqlalchemy.make_url(uri).set(drivername="postgresql")
        return PostgresDatabase(address.render_as_string(hide_password=False))
    return None


def _why_no_bulk(database: Database | None, folder: Path | None) -> str:
    by_client = "recording through MLflow's client, run by run: "
    if database is None:
        return by_client + "the store is no SQLite or PostgreSQL that is open to us"
    if folder is None:
        return by_client + "the store's artifacts are not in a local folder"
    revision, _ = schema_revision()
    return "" if revision in KNOWN_SCHEMAS else by_client + f"its schema {revision} is not known here"


def _local_folder(location: str) -> Path | None:
    parts = urlparse(location)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def _weights_writer(folder: Path) -> Callable[[str, TrialRecord], None]:
    folder.mkdir(parents=True, exist_ok=True)

    def write(run_id: str, record: TrialRecord) -> None:
        run = folder / run_id
        run.mkdir(exist_ok=True)
        artifacts = run / "artifacts"
        artifacts.mkdir(exist_ok=True)
        (artifacts / WEIGHTS_FILE).write_text(json.dumps(weights_content(record)), encoding="utf-8")

    return write
