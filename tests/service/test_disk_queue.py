"""A queue that keeps what does not fit in memory on disk."""

import threading
from pathlib import Path

import pytest

from service.execution.disk_queue import DiskQueue


@pytest.mark.parametrize("records", [1, 7])
def test_the_disk_queue_gives_items_back_in_order(records: int) -> None:
    queue: DiskQueue[int] = DiskQueue(in_memory=2)
    for item in range(records):
        queue.put(item)
    assert len(queue) == records
    queue.end()
    assert list(queue) == list(range(records))
    queue.close()


def test_the_disk_queue_keeps_little_in_memory_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    queue: DiskQueue[bytes] = DiskQueue(in_memory=1)
    for _ in range(5):
        queue.put(bytes(1000))
    assert len(list(tmp_path.rglob("*.pickle"))) == 4
    queue.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_queue_makes_training_wait() -> None:
    queue: DiskQueue[int] = DiskQueue(in_memory=1, max_bytes=0)
    queue.put(0)
    thread = threading.Thread(target=lambda: queue.put(1), daemon=True)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    assert next(iter(queue)) == 0
    thread.join(5)
    assert not thread.is_alive()
    assert len(queue) == 1
    queue.close()
