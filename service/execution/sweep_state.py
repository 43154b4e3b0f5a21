"""The state of a running sweep: its recorded trials, and their table."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from engine import DIVERGED
from service.execution.plan import Plan
from service.execution.records import recovered_rows
from service.recording.infos import SweepInfo
from service.recording.store import Store
from service.recording.trial_record import RecordedTrial
from service.results.metrics import METRICS, is_better
from service.results.trials_table import assemble


class SweepState:
    """The trials recorded so far.

    One thread at a time changes it: the recording thread while it runs, else the main thread.

    done: the numbers of the trials that were recorded before the sweep was resumed.
    note: a message about those for the user; may be empty.
    best: the best value of the objective so far; None while no trial has finished.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.note = ""
        self.best: float | None = None
        self.done: frozenset[int] = frozenset()
        self._parts: list[pd.DataFrame] = []
        self._objective: dict[str, float] = {}  # trial -> value, of staged trials that finished
        self._recorded: set[str] = set()
        self._runs: dict[str, str] = {}  # trial -> run id

    @classmethod
    def recovered(cls, plan: Plan, rows: pd.DataFrame, runs: Mapping[str, str], note: str) -> SweepState:
        """Return the state of a sweep that is resumed.

        rows: of the trials recorded before.
        runs: trial -> run id.
        note: a message for the user; may be empty.
        """
        state = cls(plan)
        state.note = note
        state._runs.update(runs)
        if len(rows):
            state.stage(rows)
            state.done = frozenset(rows["number"])
            for trial in rows["trial"]:
                state.commit(RecordedTrial(trial, runs.get(trial)))
        return state

    def stage(self, rows: pd.DataFrame) -> None:
        """Add the rows of trials that are about to be recorded. They count once `commit` is called with them."""
        self._parts.append(rows)
        finished = rows[rows["outcome"] != DIVERGED]
        self._objective.update(zip(finished["trial"], finished[METRICS + self.plan.objective], strict=True))

    def commit(self, recorded: RecordedTrial) -> bool:
        """Count a trial as recorded; return whether it was not before."""
        is_new = recorded.trial not in self._recorded
        self._recorded.add(recorded.trial)
        if recorded.run_id:
            self._runs[recorded.trial] = recorded.run_id
        value = self._objective.pop(recorded.trial, None)
        if value is not None and is_better(self.plan.objective, value, self.best):
            self.best = value
        return is_new

    def table(self) -> pd.DataFrame:
        """Return the trials' table of the recorded trials."""
        return assemble(self._parts, self._recorded, self._runs)


def recovered_state(store: Store, sweep: SweepInfo, plan: Plan) -> SweepState:
    """Read the state of a sweep from the store, to resume it.

    Restores runs that were deleted in MLflow. Raises StoreError.
    """
    numbers = {trial: number for number, trial in enumerate(plan.trial_ids)}
    recorded = [info for info in store.trials(sweep) if info.trial in numbers]
    missing = numbers.keys() - {info.trial for info in recorded}
    restored, lost = store.restore_deleted(sweep, missing, weights=plan.record.weights == "artifact")
    recorded += restored
    runs = {info.trial: info.run_id for info in recorded}
    if plan.record.runs == "all":
        rows = recovered_rows(plan, numbers, recorded)
    else:
        rows = store.read_rows(sweep)
        rows = rows[rows["trial"].isin(numbers.keys())] if len(rows) else rows
    return SweepState.recovered(plan, rows, runs, _deleted_note(len(restored), lost))


def _deleted_note(restored: int, lost: int) -> str:
    parts = []
    if restored:
        parts.append(f"{restored:,} deleted run{' is' if restored == 1 else 's are'} restored")
    if lost:
        parts.append(f"{lost:,} deleted run{' has' if lost == 1 else 's have'} no weights any more: trained again")
    return ", ".join(parts)
