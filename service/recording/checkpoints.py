"""Move what SQLite's log holds into its file while transactions go on."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

_LARGE_LOG = 128_000_000  # bytes


class Checkpoints:
    """Checkpoints of a database in WAL mode, in a thread with a connection of its own.

    A connection that makes its own checkpoints waits for the disk after its transactions, which takes a fifth of the
    time of a long recording.

    A move begins within a transaction and is waited for before its commit. So none goes on when a commit begins the log
    anew: SQLite before 3.51.3 can lose transactions if a checkpoint with nothing to move meets that moment
    (https://www.sqlite.org/wal.html#walresetbug).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._connection: sqlite3.Connection | None = None
        self._running: Future[int] | None = None
        self._log_bytes = 0

    def begin(self) -> None:
        """Begin to move what is committed. For use within a transaction."""
        self.wait()
        self._running = self._thread.submit(self._move)

    def wait(self) -> None:
        """Wait for the move. For use before a transaction's commit."""
        if self._running is not None:
            self._log_bytes, self._running = self._running.result(), None

    def catch_up(self) -> None:
        """Move all of the log if it has become large, so that the next commit begins it anew.

        For use between transactions.
        """
        if self._log_bytes > _LARGE_LOG:
            self.begin()
            self.wait()
            self._log_bytes = 0

    def close(self) -> None:
        """Wait for the move, and free the thread and the connection."""
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()

    def _move(self) -> int:
        """Move what is committed and needed by no reader; return the log's bytes, 0 if they are not known.

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
