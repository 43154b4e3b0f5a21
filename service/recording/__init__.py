"""Keeping trials as MLflow runs, and reading them back. The only package that imports mlflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from service.recording.trial_record import TrialRecord


class Recorder(Protocol):
    """Writes trials into one experiment.

    `runs`: trial -> run id of every trial that is recorded, whole. `note`: what the user should know of the way of
    recording, if anything.
    """

    runs: dict[str, str]
    note: str

    def record(self, records: Sequence[TrialRecord]) -> Iterator[str]:
        """Write the records that aren't there yet, and yield each trial once it is there.

        Raises StoreError, or StoreAway where another attempt may do better; `runs` tells what was written. Whoever
        needs no more of them closes the iterator: what has been begun is completed then.
        """
        ...

    def finish(self) -> None:
        """What is to be done once all is written. Raises StoreError."""
        ...

    def close(self) -> None:
        """Let go of what was open, whatever was written."""
        ...
