"""The interface of every recorder."""

from __future__ import annotations

from typing import Protocol

from service.recording.run_table import RunTable


class Recorder(Protocol):
    """Writes trials into one experiment. It writes a trial once, even if it is given the trial again."""

    def record(self, runs: RunTable, *, again: bool = False) -> list[str]:
        """Write the runs; return their ids, in order, once all of them are complete.

        again: whether another recorder, which has died, may have written some of them.
        Raises StoreError; StoreUnavailableError if another attempt may succeed. Another attempt with the same runs
        completes those that were begun.
        """
        ...

    def finish(self) -> None:
        """Complete the work once every trial is written. Raises StoreError."""
        ...

    def close(self) -> None:
        """Free threads and connections."""
        ...
