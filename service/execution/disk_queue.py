"""A queue between training and recording that holds a few items in memory and the others on disk."""

from __future__ import annotations

import pickle
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

_IN_MEMORY = 2
_MAX_BYTES = 4 * 2**30  # on disk; beyond it, training waits
_LEFT_FREE = 2**30  # bytes of the disk that stay free


class DiskQueue(Generic[_Item]):
    """First in, first out, from one thread to another. `put` waits only if the disk has no room.

    The files end with this process. Shards lost with them are trained again, to the same bits.
    """

    def __init__(self, in_memory: int = _IN_MEMORY, max_bytes: int = _MAX_BYTES) -> None:
        self._changed = threading.Condition()
        self._items: deque[_Item | Path] = deque()
        self._in_memory = in_memory
        self._max_bytes = max_bytes
        self._bytes = 0
        self._written = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._ended = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: _Item) -> None:
        """Add an item. Does nothing once the queue has ended."""
        with self._changed:
            while not self._ended:
                if sum(not isinstance(waiting, Path) for waiting in self._items) < self._in_memory:
                    self._items.append(item)
                    break
                if self._has_room():
                    try:
                        self._items.append(self._write(item))
                        break
                    except OSError:
                        pass  # others have filled the disk: wait for room in memory
                self._changed.wait(1.0)
            self._changed.notify_all()

    def end(self) -> None:
        """End the queue: take no more items, yield those that are there."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[_Item]:
        """Yield every item, until the queue has ended."""
        while True:
            with self._changed:
                while not self._items and not self._ended:
                    self._changed.wait()
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield self._read(item) if isinstance(item, Path) else item

    def close(self) -> None:
        """End the queue and remove its files."""
        self.end()
        if self._folder is not None:
            self._folder.cleanup()

    def _has_room(self) -> bool:
        folder = self._folder.name if self._folder else tempfile.gettempdir()
        return self._bytes < self._max_bytes and shutil.disk_usage(folder).free > _LEFT_FREE

    def _write(self, item: _Item) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="gradgrid-")
        path = Path(self._folder.name) / f"{self._written}.pickle"
        self._written += 1
        try:
            with path.open("wb") as file:
                pickle.dump(item, file, protocol=pickle.HIGHEST_PROTOCOL)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._bytes += path.stat().st_size
        return path

    def _read(self, path: Path) -> _Item:
        with path.open("rb") as file:
            item: _Item = pickle.load(file)
        with self._changed:
            self._bytes -= path.stat().st_size
        path.unlink()
        return item
