"""Opening MLflow's store: where it is, whether it can be used, and MLflow's errors in our words."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

# set before MLflow is imported: no telemetry, and no address printed at each run's end (which costs a request)
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")

import alembic.config
import alembic.script
import alembic.util
import mlflow
import requests
import sqlalchemy
import sqlalchemy.exc
from mlflow.exceptions import MlflowException

from experiments.errors import StoreError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_REACH_SECONDS = 10
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def resolve(tracking_uri: str | None) -> str:
    """The store's address: the argument, or else as MLflow finds it (MLFLOW_TRACKING_URI, sqlite:///mlflow.db)."""
    uri = tracking_uri or mlflow.get_tracking_uri()
    path = sqlite_path(uri)
    return f"sqlite:///{path.absolute()}" if path else uri


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite store; None for every other kind."""
    if not uri.startswith("sqlite"):
        return None
    database = sqlalchemy.make_url(uri).database
    return Path(database) if database and database != ":memory:" else None


def open_client(uri: str, *, create: bool) -> MlflowClient:
    """A client of the store at `uri`; with `create` an SQLite store that isn't there yet is made.

    MLflow itself retries an address for minutes; so the store is tried first, in seconds. Raises StoreError saying
    what is wrong with it and what to do.
    """
    for chatty in ("alembic", "mlflow.store.db.utils"):  # they tell of every table they make
        logging.getLogger(chatty).setLevel(logging.ERROR)
    path = sqlite_path(uri)
    if path and not path.exists() and not create:
        raise StoreError(f"there is no MLflow store at {path}: run a sweep first, or name one with --tracking-uri")
    if uri.startswith(("http://", "https://")):
        _check_server(uri)
    elif uri.partition(":")[0].partition("+")[0] in _DATABASES:
        _check_database(uri, path)
    with translated_errors(uri):
        client = mlflow.MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """MLflow's, SQLAlchemy's and the network's errors as StoreError."""
    try:
        yield
    except (
        MlflowException,
        sqlalchemy.exc.SQLAlchemyError,
        requests.RequestException,
        alembic.util.CommandError,
        sqlite3.Error,
        OSError,
    ) as error:
        raise StoreError(f"MLflow's store at {shown(uri)} failed: {_first_line(error)}") from error


def shown(uri: str) -> str:
    """The address without a password."""
    try:
        return sqlalchemy.engine.make_url(uri).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return uri


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _check_server(uri: str) -> None:
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=_REACH_SECONDS)
    except requests.RequestException:
        raise StoreError(
            f"no MLflow server answers at {uri}: start one with `mlflow server`, or name another with --tracking-uri"
        ) from None


def _check_database(uri: str, path: Path | None) -> None:
    if path:
        _check_writable(path)
    try:
        engine = sqlalchemy.create_engine(uri)
        with engine.connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
            found = (
                connection.execute(sqlalchemy.text("select version_num from alembic_version")).scalar()
                if "alembic_version" in tables
                else None
            )
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise StoreError(f"the database at {shown(uri)} can't be opened: {_first_line(error)}") from None
    if tables and found is None:
        raise StoreError(f"the database at {shown(uri)} is no MLflow store; name another with --tracking-uri")
    if found is not None:
        _check_revision(str(found), uri)


def _check_writable(path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise StoreError(f"the folder {folder} of the store does not exist; make it, or name another --tracking-uri")
    target = path if path.exists() else folder
    if path.is_dir() or not os.access(target, os.W_OK):
        raise StoreError(f"the store {path} can't be written: check {target}'s permissions, or name another store")


def schema_revision() -> tuple[str, set[str]]:
    """The database schema that the installed MLflow writes, and every one that it knows."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    scripts = alembic.script.ScriptDirectory.from_config(config)
    return str(scripts.get_current_head()), {script.revision for script in scripts.walk_revisions()}


def _check_revision(found: str, uri: str) -> None:
    head, known = schema_revision()
    if found == head:
        return
    remedy = (
        f"back it up and run `mlflow db upgrade {shown(uri)}`"
        if found in known
        else "install the MLflow that made it, or name another store with --tracking-uri"
    )
    raise StoreError(
        f"the store at {shown(uri)} was made by another MLflow version: its schema is {found}, "
        f"while MLflow {mlflow.__version__} uses {head}; {remedy}"
    )
