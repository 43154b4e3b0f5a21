"""Open MLflow's store: find it, check it, and translate its errors into ours."""

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

# before MLflow is imported: no telemetry, and no address printed at each run's end, which costs a request
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each file where tqdm is installed
# MLflow's client alone retries for minutes, silently; `store_timeout` waits longer, and says so
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from filelock import FileLock, Timeout

from experiments.errors import StoreError, StoreUnavailableError
from service.recording.environment import prepare_environment
from service.recording.redaction import redacted, remember, without_passwords
from service.recording.sqlite_files import check_writable, create_file, read_only_address

if TYPE_CHECKING:
    from mlflow import MlflowClient

prepare_environment()

_REACH_SECONDS = 10
_OPENING_SECONDS = 120
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<database>[^?]+)")

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses of a server that may recover."""

_FOREIGN = (
    "mlflow.exceptions.MlflowException",
    "sqlalchemy.exc.SQLAlchemyError",
    "requests.exceptions.RequestException",
    "alembic.util.exc.CommandError",
)
_TRANSIENT_SQLITE = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
)
_TRANSIENT_SYSTEM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.ESTALE, errno.EHOSTUNREACH})


def resolve(tracking_uri: str | None) -> str:
    """Return the store's address: the argument, else MLflow's (MLFLOW_TRACKING_URI, sqlite:///mlflow.db)."""
    uri = tracking_uri or _default_uri()
    path = sqlite_path(uri)
    return f"sqlite:///{path.absolute()}" if path else uri


def _default_uri() -> str:
    """Return MLflow's default address. Imports MLflow, which takes seconds, only if the answer depends on it."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if "mlflow" not in sys.modules and (uri or not any(Path("mlruns").glob("*/meta.yaml"))):
        return uri or "sqlite:///mlflow.db"
    import mlflow

    return str(mlflow.get_tracking_uri())


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite store; None for every other kind."""
    match = _SQLITE.match(uri)
    if not match or match["database"] == ":memory:":
        return None
    return Path(match["database"].removeprefix("file:"))


def read_only(uri: str) -> bool:
    """Return whether the store is an SQLite file that can't be written. SQLite needs to write to its folder too."""
    path = sqlite_path(uri)
    return path is not None and path.exists() and not all(os.access(p, os.W_OK) for p in (path, path.absolute().parent))


def is_server(uri: str) -> bool:
    """Return whether the store is a tracking server."""
    return uri.startswith(("http://", "https://"))


def import_libraries(tracking_uri: str | None) -> None:
    """Import the libraries that open the store. It takes seconds, so call it while Ray starts."""
    if is_server(resolve(tracking_uri)):
        import mlflow
    else:
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def open_client(uri: str, *, create: bool) -> MlflowClient:
    """Return a client of the store at `uri`.

    create: make an SQLite store if its file does not exist.
    MLflow would retry an address for minutes, so the store is tried first, within seconds. Raises StoreError.
    """
    for logger in ("alembic", "mlflow.store.db.utils"):  # they log every table that they create
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    remember(uri)
    path = sqlite_path(uri)
    if path is None and uri.partition(":")[0].partition("+")[0] == "sqlite":
        raise StoreError(
            f"the store {uri} has no file: it would end with this command; name a file with --tracking-uri"
        )
    if path and not path.exists() and not create:
        raise StoreError(
            f"there is no MLflow store at {path}: run a sweep first, or name another store with --tracking-uri"
        )
    import mlflow

    with _alone(path):
        address = uri
        if is_server(uri):
            _check_server(uri)
        elif uri.partition(":")[0].partition("+")[0] in _DATABASES:
            address = _checked_database(uri, path, create=create)
        with translated_errors(uri):
            client = mlflow.MlflowClient(address)
            client.search_experiments(max_results=1)
        return client


@contextmanager
def _alone(path: Path | None) -> Iterator[None]:
    """Keep other processes from opening an SQLite store while the block runs.

    MLflow creates its tables in many steps. Two processes that do so at once break them.
    """
    if path is None:
        yield
        return
    name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
    try:
        lock = FileLock(Path(tempfile.gettempdir()) / f"gradgrid-{name}.lock", timeout=_OPENING_SECONDS, mode=0o666)
        lock.acquire()
    except Timeout:
        raise StoreUnavailableError(
            f"another process has been opening the store {path} for {_OPENING_SECONDS} s: wait for it, or end it"
        ) from None
    except OSError as error:
        raise StoreError(
            f"no temporary file can be made: {error}: set TMPDIR to a folder that you can write to"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """Turn errors of MLflow, the database and the network into StoreError; transient ones into StoreUnavailableError.

    uri: the store's, for the message.
    """
    try:
        yield
    except Exception as error:
        if not is_known(error):
            raise
        kind = StoreUnavailableError if _is_transient(error) else StoreError
        store_error = kind(f"MLflow's store at {without_passwords(uri)} failed: {redacted(_first_line(error))}")
        # a traceback shows the cause too: leave it out if it holds a password
        raise store_error from (error if redacted(str(error)) == str(error) else None)


def is_known(error: Exception) -> bool:
    """Return whether an error is one of MLflow, the database, the network or the operating system."""
    return isinstance(error, (sqlite3.Error, OSError, *_imported(*_FOREIGN)))


def _imported(*names: str) -> tuple[Any, ...]:
    """Return the exceptions of these names. Those of modules that are not imported can't have been raised."""
    pairs = [name.rsplit(".", 1) for name in names]
    return tuple(getattr(sys.modules[module], kind) for module, kind in pairs if module in sys.modules)


def _is_transient(error: BaseException | None) -> bool:
    """Return whether the error, or its cause, is one that another attempt may not meet."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            return getattr(error, "sqlite_errorcode", 0) & 0xFF in _TRANSIENT_SQLITE
        status = _http_status(error)
        if status is not None:
            return status in TRANSIENT_STATUSES
        if isinstance(error, (*_imported("requests.exceptions.RequestException"), *_driver_errors())):
            return True
        if isinstance(error, (ConnectionError, TimeoutError)):
            return True
        if isinstance(error, OSError):
            return error.errno in _TRANSIENT_SYSTEM
        error = error.__cause__ or error.__context__
    return False


def _http_status(error: Any) -> int | None:
    """Return the status of the server's answer; None if the error is not about an answer."""
    if isinstance(error, _imported("requests.exceptions.HTTPError")) and error.response is not None:
        return int(error.response.status_code)
    if isinstance(error, _imported("mlflow.exceptions.RestException")):
        return int(error.get_http_status_code())
    return None


def _driver_errors() -> tuple[type[Exception], ...]:
    """Return PostgreSQL's errors of operation: refused, shut down, out of disk. Empty if its driver is missing."""
    if not importlib.util.find_spec("psycopg"):
        return ()
    import psycopg

    return (psycopg.OperationalError,)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _check_server(uri: str) -> None:
    import requests

    from service.recording.rest_client import Server

    address = without_passwords(uri)
    try:
        Server(uri).reach(_REACH_SECONDS)
    except requests.RequestException as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise StoreError(
                f"the certificate of the MLflow server at {address} is not trusted here: set "
                "MLFLOW_TRACKING_SERVER_CERT_PATH to the file of the certificate, or of the authority that signed it"
            ) from None
        raise StoreError(
            f"no MLflow server answers at {address}: start one with `mlflow server`, or name another store with "
            "--tracking-uri"
        ) from None


def _checked_database(uri: str, path: Path | None, *, create: bool) -> str:
    """Return the address with which MLflow's client opens a database. Raises StoreError if it can't be used."""
    from service.recording.schema import check_revision, stored_revision

    if path and path.is_dir():
        raise StoreError(f"the store {path} is a folder: name a file with --tracking-uri")
    if path and create:
        check_writable(path)
        if not path.exists():
            with translated_errors(uri):
                create_file(path)
    address = read_only_address(path) if path and read_only(uri) else uri
    revision = stored_revision(address)
    if revision is not None:
        check_revision(uri, revision)
    elif address != uri:
        raise StoreError(f"the database at {uri} is not an MLflow store: name another with --tracking-uri")
    return address
