"""The result of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from engine import DIVERGED
from service.execution.refine import Refined
from service.results.metrics import outcome_counts


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    sweep, sweep_run_id: the sweep's id, and the id of its own run.
    experiment_id: of the experiment that holds its trials.
    tracking_uri: the store's.
    seconds: from the call to the end of recording.
    objective: the metric that trials are ranked by.
    swept: the swept hyperparameters, in the order of the axes.
    recorded: how many trials this call recorded; an interrupted sweep has recorded others before.
    planned: how many trials the sweep has; it has recorded fewer if its budget was over.
    best: the run id, params and metrics of the best finished trial; None if all diverged. The run id is None if it has
     no run.
    overview: the main columns of the trials' table: swept hyperparameters, outcomes, losses and accuracies.
    read_table: reads the whole table from the store.
    page: the address of its table of trials on the tracking server; empty if the store is not a server.
    refined: what a refinement spared; None for a sweep without one.
    """

    sweep: str
    sweep_run_id: str
    experiment_id: str
    tracking_uri: str = field(repr=False)  # it may hold a password
    seconds: float
    objective: str
    swept: tuple[str, ...]
    recorded: int
    planned: int
    best: dict[str, Any] | None = field(repr=False)
    overview: pd.DataFrame = field(repr=False)
    read_table: Callable[[], pd.DataFrame] = field(repr=False)
    page: str = ""
    refined: Refined | None = None

    @cached_property
    def table(self) -> pd.DataFrame:
        """The trials' table (see `service.results.trials_table`). Raises StoreError."""
        return self.read_table()

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(self.overview)

    @property
    def outcomes(self) -> dict[str, int]:
        """Outcome -> number of trials."""
        return outcome_counts(self.overview)

    @property
    def diverged(self) -> int:
        """The number of trials that diverged."""
        return self.outcomes[DIVERGED]

    @property
    def finished(self) -> int:
        """The number of trials that did not diverge."""
        return self.trials - self.diverged
