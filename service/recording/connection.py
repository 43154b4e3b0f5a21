"""Opening MLflow's store: where it is, whether it can be used, and MLflow's errors in our words."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import logging
import os
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

# set before MLflow is imported: no telemetry, and no address printed at each run's end (which costs a request)
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
# MLflow's client would by itself try for minutes, silently; `patience` waits longer than that, and says so
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from filelock import FileLock, Timeout

from experiments.errors import StoreAway, StoreError
from service.recording.environment import prepare_environment

if TYPE_CHECKING:
    from mlflow import MlflowClient

prepare_environment()

_REACH_SECONDS = 10
_OPENING_SECONDS = 120
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<database>[^?]+)")

PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses of a server that may do better in a while."""

_FOREIGN = (
    "mlflow.exceptions.MlflowException",
    "sqlalchemy.exc.SQLAlchemyError",
    "requests.exceptions.RequestException",
    "alembic.util.exc.CommandError",
)
_PASSING_SQLITE = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
)
_PASSING_SYSTEM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.ESTALE, errno.EHOSTUNREACH})


def resolve(tracking_uri: str | None) -> str:
    """The store's address: the argument, or else as MLflow finds it (MLFLOW_TRACKING_URI, sqlite:///mlflow.db)."""
    uri = tracking_uri or _default_uri()
    path = sqlite_path(uri)
    return f"sqlite:///{path.absolute()}" if path else uri


def _default_uri() -> str:
    """What MLflow takes for its address, without the seconds that its import takes where the answer is plain."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if "mlflow" not in sys.modules and (named or not any(Path("mlruns").glob("*/meta.yaml"))):
        return named or "sqlite:///mlflow.db"
    import mlflow

    return str(mlflow.get_tracking_uri())


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite store; None for every other kind."""
    named = _SQLITE.match(uri)
    return Path(named["database"]) if named and named["database"] != ":memory:" else None


def is_server(uri: str) -> bool:
    """Whether the store is a tracking server's."""
    return uri.startswith(("http://", "https://"))


def import_libraries(tracking_uri: str | None) -> None:
    """Import what opening the store will need, which takes seconds: to be done while something else is waited for."""
    if is_server(resolve(tracking_uri)):
        import mlflow
    else:
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def open_client(uri: str, *, create: bool) -> MlflowClient:
    """A client of the store at `uri`; with `create` an SQLite store that isn't there yet is made.

    MLflow itself retries an address for minutes; so the store is tried first, in seconds. Raises StoreError saying
    what is wrong with it and what to do.
    """
    for chatty in ("alembic", "mlflow.store.db.utils"):  # they tell of every table they make
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    path = sqlite_path(uri)
    if path and not path.exists() and not create:
        raise StoreError(f"there is no MLflow store at {path}: run a sweep first, or name one with --tracking-uri")
    import mlflow

    with _alone(path):
        if is_server(uri):
            _check_server(uri)
        elif uri.partition(":")[0].partition("+")[0] in _DATABASES:
            _check_database(uri, path)
        with translated_errors(uri):
            client = mlflow.MlflowClient(uri)
            client.search_experiments(max_results=1)
        return client


@contextmanager
def _alone(path: Path | None) -> Iterator[None]:
    """While an SQLite store is opened, no other process opens it: MLflow makes its tables in many steps, and two that
    do so at once break them.
    """
    if path is None:
        yield
        return
    name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
    try:
        lock = FileLock(Path(tempfile.gettempdir()) / f"gradgrid-{name}.lock", timeout=_OPENING_SECONDS, mode=0o666)
        lock.acquire()
    except Timeout:
        raise StoreAway(
            f"the store {path} is being opened by another process for {_OPENING_SECONDS} s already"
        ) from None
    except OSError as error:
        raise StoreError(
            f"no temporary file can be made: {error}: set TMPDIR to a folder that can be written"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """MLflow's, the databases' and the network's errors as StoreError; as StoreAway where they may pass."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (sqlite3.Error, OSError, *_imported(*_FOREIGN))):
            raise
        kind = StoreAway if _passes(error) else StoreError
        raise kind(f"MLflow's store at {shown(uri)} failed: {_first_line(error)}") from error


def _imported(*names: str) -> tuple[Any, ...]:
    """The exceptions of these names, of the modules that are imported; the others have raised none."""
    pairs = [name.rsplit(".", 1) for name in names]
    return tuple(getattr(sys.modules[module], kind) for module, kind in pairs if module in sys.modules)


def _passes(error: BaseException | None) -> bool:
    """Whether the error, or what it came from, is of a kind that passes."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING_SQLITE
        status = _http_status(error)
        if status is not None:
            return status in PASSING_STATUSES
        if isinstance(error, (*_imported("requests.exceptions.RequestException"), *_driver_errors())):
            return True
        if isinstance(error, (ConnectionError, TimeoutError)):
            return True
        if isinstance(error, OSError):
            return error.errno in _PASSING_SYSTEM
        error = error.__cause__ or error.__context__
    return False


def _http_status(error: Any) -> int | None:
    """The status that a server answered with, where the error tells of an answer."""
    if isinstance(error, _imported("requests.exceptions.HTTPError")) and error.response is not None:
        return int(error.response.status_code)
    if isinstance(error, _imported("mlflow.exceptions.RestException")):
        return int(error.get_http_status_code())
    return None


def _driver_errors() -> tuple[type[Exception], ...]:
    """The operational errors of PostgreSQL's driver, where it is installed: refused, shut down, out of disk."""
    if not importlib.util.find_spec("psycopg"):
        return ()
    import psycopg

    return (psycopg.OperationalError,)


def shown(uri: str) -> str:
    """The address without a password."""
    import sqlalchemy

    try:
        return sqlalchemy.engine.make_url(uri).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return uri


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _check_server(uri: str) -> None:
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=_REACH_SECONDS)
    except requests.RequestException:
        raise StoreError(
            f"no MLflow server answers at {uri}: start one with `mlflow server`, or name another with --tracking-uri"
        ) from None


def _check_database(uri: str, path: Path | None) -> None:
    if path:
        _check_writable(path)
    found = stored_revision(uri)
    if found is not None:
        _check_revision(found, uri)


def stored_revision(uri: str) -> str | None:
    """The schema of the MLflow store in a database; None where the database is empty.

    Raises StoreError where it can't be opened, or holds something else.
    """
    import sqlalchemy

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
    return None if found is None else str(found)


def _check_writable(path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise StoreError(f"the folder {folder} of the store does not exist; make it, or name another --tracking-uri")
    target = path if path.exists() else folder
    if path.is_dir() or not os.access(target, os.W_OK):
        raise StoreError(f"the store {path} can't be written: check {target}'s permissions, or name another store")


def schema_revision() -> tuple[str, set[str]]:
    """The database schema that the installed MLflow writes, and every one that it knows."""
    import alembic.config
    import alembic.script
    import mlflow

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    scripts = alembic.script.ScriptDirectory.from_config(config)
    return str(scripts.get_current_head()), {script.revision for script in scripts.walk_revisions()}


def _check_revision(found: str, uri: str) -> None:
    import mlflow

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
