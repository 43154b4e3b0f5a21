"""The result of a sweep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from engine import DIVERGED
from service.results.metrics import METRICS, PARAMS, outcome_counts
from service.results.trials_table import best_trials, none_if_missing, row_values


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
    planned: how many trials the sweep has; more than the table's if its budget was over.
    table: the trials' table (see `service.results.trials_table`).
    page: the address of its table of trials on the tracking server; empty if the store is not a server.
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
    table: pd.DataFrame = field(repr=False)
    page: str = ""

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(self.table)

    @property
    def outcomes(self) -> dict[str, int]:
        """Outcome -> number of trials."""
        return outcome_counts(self.table)

    @property
    def diverged(self) -> int:
        """The number of trials that diverged."""
        return self.outcomes[DIVERGED]

    @property
    def finished(self) -> int:
        """The number of trials that did not diverge."""
        return self.trials - self.diverged

    @property
    def best(self) -> dict[str, Any] | None:
        """The run id, params and metrics of the best finished trial; None if all diverged.

        The run id is None if the trial has no run.
        """
        for _, row in best_trials(self.table, self.objective, 1).iterrows():
            return {
                "run_id": none_if_missing(row["run_id"]),
                "params": row_values(row, PARAMS),
                "metrics": row_values(row, METRICS),
            }
        return None
