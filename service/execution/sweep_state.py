"""The state of a running sweep: its recorded trials, and their table."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from service.execution.plan import Plan
from service.execution.shard_tables import ShardSummary
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.recorded_table import row_from_trial
from service.recording.store import Store
from service.results.metrics import PARAMS, is_better, lower_is_better
from service.results.row_spool import RowSpool, read_overview
from service.results.table_values import cell_value
from service.results.trials_table import best_trials


class SweepState:
    """The trials recorded so far.

    done: the numbers of the trials that were recorded before the sweep was resumed.
    note: a message about those for the user; may be empty.
    best: the best value of the objective so far; None while no trial has finished.
    """

    def __init__(self, plan: Plan, rows: pd.DataFrame | None = None, note: str = "") -> None:
        """Begin with the rows of the trials recorded before."""
        self.plan = plan
        self.note = note
        self.best: float | None = None
        self.done: frozenset[int] = frozenset()
        self._spool = RowSpool()
        if rows is not None and len(rows):
            self.done = frozenset(rows["number"])
            table = pa.Table.from_pandas(rows, preserve_index=False)
            texts = pa.array([None if pd.isna(run) else str(run) for run in rows["run_id"]], pa.string())
            self._spool.add(table.set_column(table.column_names.index("run_id"), "run_id", texts))
            for value in best_trials(rows, plan.objective, 1)[f"metrics.{plan.objective}"]:
                self.best = float(value)

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
            value = float(values.min() if lower_is_better(self.plan.objective) else values.max())
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

    def close(self) -> None:
        """Remove the files."""
        self._spool.close()


def recovered_state(store: Store, sweep: SweepInfo, plan: Plan) -> SweepState:
    """Read the state of a sweep from the store, to resume it.

    Restores runs that were deleted in MLflow. Raises StoreError.
    """
    numbers = {trial: number for number, trial in enumerate(plan.trial_ids)}
    recorded = [info for info in store.trials(sweep) if info.trial in numbers]
    missing = numbers.keys() - {info.trial for info in recorded}
    restored, lost = store.restore_deleted(sweep, missing, weights=plan.record.weights == "artifact")
    recorded += restored
    if plan.record.runs == "all":
        rows = recovered_rows(plan, numbers, recorded)
    else:
        runs = {info.trial: info.run_id for info in recorded}
        rows = store.read_rows(sweep)
        rows = rows[rows["trial"].isin(numbers.keys())] if len(rows) else rows
        rows = rows.assign(run_id=rows["trial"].map(runs)) if len(rows) else rows
    return SweepState(plan, rows, _deleted_note(len(restored), lost))


def recovered_rows(plan: Plan, numbers: Mapping[str, int], recorded: Iterable[TrialInfo]) -> pd.DataFrame:
    """Return the rows of trials that have runs already.

    numbers: trial id -> number.
    recorded: the trials as the store has them.
    """
    params = dict(itertools.chain.from_iterable(population.every_params() for population in plan.populations))
    rows = []
    for info in recorded:
        number = numbers[info.trial]
        row = {name: value for name, value in row_from_trial(info).items() if not name.startswith(PARAMS)}
        typed = {PARAMS + name: cell_value(value) for name, value in params[number].items()}  # text in MLflow
        rows.append({**row, **typed, "number": number})
    return pd.DataFrame(rows)


def _deleted_note(restored: int, lost: int) -> str:
    parts = []
    if restored:
        parts.append(f"{restored:,} deleted run{' is' if restored == 1 else 's are'} restored")
    if lost:
        parts.append(f"{lost:,} deleted run{' has' if lost == 1 else 's have'} no weights any more: trained again")
    return ", ".join(parts)
