"""Move what SQLite's log holds into its file, beside the connection that writes."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

_LARGE_LOG = 128_000_000  # bytes


class Checkpoints:
    """Checkpoints of a database in WAL mode, in a thread with a connection of its own.

    A connection that makes its own checkpoints waits for the disk after its transactions, which takes a fifth of the
    time of a long recording. SQLite lets another one make them while transactions go on. It begins the log anew once
    all of it is in the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._connection: sqlite3.Connection | None = None
        self._running: Future[int] | None = None

    def begin(self) -> None:
        """Begin to move what is committed, unless that goes on already."""
        self._running = self._running or self._thread.submit(self._move)

    def catch_up(self) -> None:
        """If the log has become large, wait until all of it is moved. For use between transactions."""
        if self._running and self._running.done():
            log_bytes, self._running = self._running.result(), None
            if log_bytes > _LARGE_LOG:
                self._thread.submit(self._move).result()

    def close(self) -> None:
        """Wait for what is going on, and free the thread and the connection."""
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()

    def _move(self) -> int:
        """Move what is committed and no reader needs in the log; return the log's bytes, 0 if they are not known.

        Errors are ignored, as SQLite does after a transaction: what is in the log is safe, and a full disk shows at the
        next transaction.
        """
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                self._connection.execute("PRAGMA synchronous = NORMAL")
            (page_bytes,) = self._connection.execute("PRAGMA page_size").fetchone()
            _, pages, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            return 0
        return int(max(pages, 0) * page_bytes)  # -1 if another process does the same
