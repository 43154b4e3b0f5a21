"""The state of a running sweep: its recorded trials, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.arrays import Integers
from service.execution.plan import Plan
from service.execution.shard_tables import ShardSummary
from service.results.metrics import METRICS, is_better, lower_is_better
from service.results.row_spool import RowSpool, count_runs, read_overview, read_run_ids
from service.results.trials_table import best_trials


class SweepState:
    """The trials recorded so far.

    note: a message for the user about the trials that were recorded before the sweep was resumed; may be empty.
    best: the best value of the objective so far; None while no trial has finished.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.note = ""
        self.best: float | None = None
        self._done = np.zeros(plan.trials, dtype=bool)
        self._spool = RowSpool()

    @property
    def done(self) -> Integers:
        """The numbers of the trials that were recorded before the sweep was resumed, ascending."""
        return np.flatnonzero(self._done)

    def recover(self, rows: pa.Table) -> None:
        """Note the rows of trials that were recorded before the sweep was resumed. Ignores those that it has."""
        numbers = rows.column("number").to_numpy()
        _, firsts = np.unique(numbers, return_index=True)
        rows = rows.take(firsts[~self._done[numbers[firsts]]])
        if not len(rows):
            return
        self._done[rows.column("number").to_numpy()] = True
        self._spool.add(rows)
        objective = f"{METRICS}{self.plan.objective}"
        if objective in rows.column_names:  # else all of them diverged
            compared = rows.select(["number", "outcome", objective]).to_pandas()
            for value in best_trials(compared, self.plan.objective, 1)[objective]:
                self._compare(float(value))

    @property
    def recorded(self) -> int:
        """The number of trials that are recorded."""
        return len(self._spool)

    def commit(self, summary: ShardSummary, first: int, run_ids: list[str]) -> None:
        """Count trials of a shard as recorded.

        first: the position of the first of them in the shard.
        run_ids: of their runs; empty if they get none, and then all trials of the shard are recorded.
        """
        rows = summary.rows.slice(first, len(run_ids) or None)
        if run_ids:
            rows = rows.set_column(rows.column_names.index("run_id"), "run_id", pa.array(run_ids, pa.string()))
        self._spool.add(rows)
        values = summary.objective[first : first + len(rows)]
        values = values[~np.isnan(values)]
        if len(values):
            self._compare(float(values.min() if lower_is_better(self.plan.objective) else values.max()))

    def _compare(self, value: float) -> None:
        if is_better(self.plan.objective, value, self.best):
            self.best = value

    def add_run(self, number: int, run_id: str) -> None:
        """Note the run of a trial that is recorded already."""
        self._spool.add_run(number, run_id)

    def write_table(self) -> Path:
        """Write the trials' table of the recorded trials to a Parquet file, and return its path."""
        return self._spool.write()

    def overview(self) -> pd.DataFrame:
        """Return the main columns of that table (see `read_overview`)."""
        return read_overview(self.write_table(), self.plan.objective, self.plan.swept)

    def table(self) -> pd.DataFrame:
        """Return that table."""
        return pd.read_parquet(self.write_table())

    def run_ids(self, numbers: Sequence[int]) -> list[str | None]:
        """Return the run of each trial of these numbers; None for a trial without one."""
        return read_run_ids(self.write_table(), numbers)

    @property
    def runs(self) -> int:
        """The number of recorded trials that have a run."""
        return count_runs(self.write_table())

    def close(self) -> None:
        """Remove the files."""
        self._spool.close()
