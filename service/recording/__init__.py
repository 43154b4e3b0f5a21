"""Writing trials as MLflow runs, and reading them back. The only package that imports mlflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from service.recording.trial_record import RecordedTrial, TrialRecord


class Recorder(Protocol):
    """Writes trials into one experiment, each once, however often it is given to the same recorder.

    `note`: what the user should know about the way of recording; empty where there is nothing.
    """

    note: str

    def record(self, records: Sequence[TrialRecord]) -> Iterator[RecordedTrial]:
        """Write the records; yield each trial once its run is whole.

        Closing the iterator early completes the runs that were begun and begins no more. Raises StoreError, and
        StoreUnavailableError where another attempt may do better.
        """
        ...

    def finish(self) -> None:
        """Do what is left to do once all is written. Raises StoreError."""
        ...

    def close(self) -> None:
        """Free threads and connections."""
        ...
