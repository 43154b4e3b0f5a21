"""Each test has a new working folder, and an environment without any store, Ray or address of this machine."""

import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy


def pytest_configure() -> None:
    """Heed Ctrl-C. A shell has its background jobs ignore it, and the processes that tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
def _do_not_wait_for_the_disk(connection: Any, _: object) -> None:
    """Keep SQLite from waiting for the disk in each of MLflow's small transactions. Only a power cut would matter."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    trusted = tmp_path_factory.mktemp("trust") / "trusted_parts"  # no file of parts was run before
    monkeypatch.setenv("GRADGRID_TRUSTED_PARTS", str(trusted))
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)  # a test before this one may have set it, for the whole process
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return Path(__file__).parent.parent
