"""The result of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from engine import DIVERGED
from service.execution.refine import Refined
from service.results.leaderboard import RunIds
from service.results.metrics import METRICS, PARAMS, outcome_counts
from service.results.row_spool import read_row
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
    planned: how many trials the sweep has; it has recorded fewer if its budget was over.
    best: the run id, params and metrics of the best finished trial; None if all diverged. The run id is None if it has
     no run.
    runs: how many trials have a run.
    overview: the main columns of the trials' table: swept hyperparameters, outcomes and the objective.
    run_ids: returns the runs of trials by their numbers.
    read_table: reads the whole table, which is in a file of this machine as long as the result exists.
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
    runs: int
    overview: pd.DataFrame = field(repr=False)
    run_ids: RunIds = field(repr=False)
    read_table: Callable[[], pd.DataFrame] = field(repr=False)
    page: str = ""
    refined: Refined | None = None

    @cached_property
    def table(self) -> pd.DataFrame:
        """The trials' table (see `service.results.trials_table`)."""
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


def best_trial(file: Path, overview: pd.DataFrame, objective: str) -> dict[str, Any] | None:
    """Return the field `best` of a result. file: a Parquet file of the trials' table. overview: its main columns."""
    for number in best_trials(overview, objective, 1)["number"]:
        row = read_row(file, int(number))
        values = {"params": row_values(row, PARAMS), "metrics": row_values(row, METRICS)}
        return {"run_id": none_if_missing(row["run_id"]), **values}
    return None
