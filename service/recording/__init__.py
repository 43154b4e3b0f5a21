"""Write trials as MLflow runs, and read them back. Only this package imports mlflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from service.recording.trial_record import RecordedTrial, TrialRecord


class Recorder(Protocol):
    """Writes trials into one experiment. It writes a trial once, even if it is given the trial again.

    note: a message for the user about the way of recording; may be empty.
    """

    note: str

    def record(self, records: Sequence[TrialRecord]) -> Iterator[RecordedTrial]:
        """Write the records; yield each trial once its run is complete.

        Closing the iterator early completes the runs in progress and starts no more. Raises StoreError;
        StoreUnavailableError if another attempt may succeed.
        """
        ...

    def finish(self) -> None:
        """Complete the work once every trial is written. Raises StoreError."""
        ...

    def close(self) -> None:
        """Free threads and connections."""
        ...
