"""Opening a store: one process after another."""

from pathlib import Path

import pytest

from experiments.errors import StoreUnavailableError
from service.recording import connection
from service.recording.store import Store


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
