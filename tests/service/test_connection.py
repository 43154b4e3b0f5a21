"""Opening a store: one process after another, and the pages of an SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments.errors import StoreUnavailableError
from service.recording import connection
from service.recording.sqlite_database import SqliteDatabase
from service.recording.sqlite_files import PAGE_BYTES
from service.recording.store import Store


def _pragma(path: Path, name: str) -> object:
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.mark.parametrize("made_by", ["gradgrid", "MLflow"])
def test_only_a_store_that_gradgrid_makes_has_large_pages(tmp_path: Path, made_by: str) -> None:
    path = tmp_path / "new.db"
    uri = f"sqlite:///{path}"
    if made_by == "MLflow":
        MlflowClient(uri).search_experiments()
    assert Store(uri, create=True).sweeps() == []
    page_bytes = PAGE_BYTES if made_by == "gradgrid" else 4096
    assert _pragma(path, "page_size") == page_bytes
    with closing(SqliteDatabase(path)) as database:
        assert database._connect().execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert _pragma(path, "page_size") == page_bytes


def test_an_empty_file_that_is_there_already_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    path.touch()
    assert Store(f"sqlite:///{path}", create=True).sweeps() == []
    assert _pragma(path, "page_size") == 4096


def test_a_store_that_another_process_is_opening_is_waited_for_a_while(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = connection.sqlite_path(uri)
    assert isinstance(path, Path)
    with connection._alone(path):
        monkeypatch.setattr(connection, "_OPENING_SECONDS", 0.2)
        message = f"another process has been opening the store {path} for 0.2 s"
        with pytest.raises(StoreUnavailableError, match=message):
            Store(uri, create=True)
    assert Store(uri, create=True).sweeps() == []  # the lock is free again
