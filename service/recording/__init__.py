"""Keeping trials as MLflow runs, and reading them back. The only package that imports mlflow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from service.records import TrialRecord


class Recorder(Protocol):
    """Writes trials into one experiment.

    `runs`: trial -> run id of every trial that is recorded, whole. `note`: what the user should know of the way of
    recording, if anything.
    """

    runs: dict[str, str]
    note: str

    def record(self, records: Iterable[TrialRecord]) -> Iterator[str]:
        """Write the records that aren't there yet, and yield each trial once it is there.

        An interruption comes between two trials. Raises StoreError, after which `runs` still tells what was written.
        """
        ...

    def close(self) -> None:
        """What is to be done once all is written."""
        ...
