"""Keeping trials as MLflow runs, and reading them back. The only package that imports mlflow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from service.records import TrialRecord


class Recorder(Protocol):
    """Writes trials into one experiment. `runs`: trial -> run id of every trial that is recorded, whole."""

    runs: dict[str, str]

    def record(self, records: Iterable[TrialRecord]) -> Iterator[str]:
        """Write the records that aren't there yet, and yield each trial once it is there.

        An interruption comes between two trials. Raises StoreError, after which `runs` still tells what was written.
        """
        ...
