"""Checkpoints of an SQLite file beside its writer: the log does not grow without end, and nothing is lost."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.recording import checkpoints
from service.recording.checkpoints import Checkpoints
from service.recording.connection import sqlite_path
from tests.service.trial_records import begin_sweep, make_record, run_table

_BLOB = 100_000  # bytes of a transaction


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "file.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE blobs (number INTEGER PRIMARY KEY, content)")
        yield connection


@pytest.fixture
def five_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of five transactions is large."""
    monkeypatch.setattr(checkpoints, "_LARGE_LOG", 5 * _BLOB)


def _write(writer: sqlite3.Connection, beside: Checkpoints, count: int) -> None:
    for _ in range(count):
        beside.catch_up()
        writer.execute("BEGIN IMMEDIATE")
        beside.begin()
        writer.execute("INSERT INTO blobs (content) VALUES (?)", (bytes(_BLOB),))
        beside.wait()
        writer.execute("COMMIT")


def _log_bytes(folder: Path) -> int:
    return (folder / "file.db-wal").stat().st_size


@pytest.mark.usefixtures("five_are_large")
def test_the_log_begins_anew_when_it_is_large(writer: sqlite3.Connection, tmp_path: Path) -> None:
    with closing(Checkpoints(tmp_path / "file.db")) as beside:
        _write(writer, beside, 60)
    assert _log_bytes(tmp_path) < 10 * _BLOB


def test_what_is_moved_is_in_the_file(writer: sqlite3.Connection, tmp_path: Path) -> None:
    with closing(Checkpoints(tmp_path / "file.db")) as beside:
        _write(writer, beside, 5)
    shutil.copy(tmp_path / "file.db", tmp_path / "copy.db")  # without the log
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:  # the last transaction was not moved yet
        assert copy.execute("SELECT count(*), sum(length(content)) FROM blobs").fetchone() == (4, 4 * _BLOB)


@pytest.mark.usefixtures("five_are_large")
def test_a_reader_keeps_what_it_sees_and_the_log_begins_anew_after_it(
    writer: sqlite3.Connection, tmp_path: Path
) -> None:
    with closing(Checkpoints(tmp_path / "file.db")) as beside:
        _write(writer, beside, 2)
        with closing(sqlite3.connect(tmp_path / "file.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM blobs").fetchone() == (2,)
            _write(writer, beside, 20)
            assert reader.execute("SELECT count(*) FROM blobs").fetchone() == (2,)
        held = _log_bytes(tmp_path)
        assert held > 20 * _BLOB
        _write(writer, beside, 20)
        assert _log_bytes(tmp_path) == held
    assert writer.execute("SELECT count(*) FROM blobs").fetchone() == (42,)


def test_errors_are_left_to_the_writer(tmp_path: Path) -> None:
    with closing(Checkpoints(tmp_path / "no folder" / "file.db")) as beside:
        beside.begin()
        beside.wait()
        beside.catch_up()
        assert not (tmp_path / "no folder").exists()


def test_a_recorder_keeps_the_log_small(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shard is far smaller than the whole."""
    monkeypatch.setattr(checkpoints, "_LARGE_LOG", 500_000)
    store, sweep = begin_sweep(uri)
    path = sqlite_path(uri)
    assert isinstance(path, Path)
    log, sizes = path.with_name(path.name + "-wal"), []
    with closing(store.recorder(sweep, weights=False).open()) as recorder:
        for number in range(30):
            recorder.record(run_table(sweep, [make_record(40 * number + k) for k in range(40)]))
            sizes.append(log.stat().st_size)
    assert max(sizes) == sizes[-1] < path.stat().st_size / 2
    assert sizes[-1] > 500_000
    assert len(list(store.trials(sweep))) == 30 * 40
