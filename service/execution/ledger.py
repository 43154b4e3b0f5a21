"""What a sweep has come to so far: which trials are kept, and their rows."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from engine import DIVERGED
from service.execution.plan import Plan
from service.execution.records import recovered_rows
from service.recording.infos import SweepInfo
from service.recording.store import Store
from service.results.metrics import METRICS, is_better
from service.results.trials_table import assemble


class Ledger:
    """Which trials there are, which of them are kept, and their rows. `runs`: trial -> run id of those that have one.

    `rows`: of the trials that an earlier run of the sweep kept. `note`: what the user should know of them, if anything.
    """

    def __init__(
        self, plan: Plan, rows: pd.DataFrame | None = None, runs: Mapping[str, str] | None = None, note: str = ""
    ) -> None:
        self.plan = plan
        self.note = note
        self.trials = plan.trial_ids
        self.runs = dict(runs or {})
        self.best: float | None = None
        self._parts: list[pd.DataFrame] = []
        self._values: dict[str, float] = {}
        self._kept: set[str] = set()
        self.done: frozenset[int] = frozenset()
        if rows is not None and len(rows):
            self.expect(rows)
            self.done = frozenset(rows["number"])
            for trial in rows["trial"]:
                self.keep(trial)

    def expect(self, rows: pd.DataFrame) -> None:
        """Rows of trials that are about to be kept."""
        self._parts.append(rows)
        finished = rows[rows["outcome"] != DIVERGED]
        self._values = dict(zip(finished["trial"], finished[METRICS + self.plan.objective], strict=True))

    def keep(self, trial: str) -> bool:
        """The trial is safe in the store; returns whether that is new."""
        before = len(self._kept)
        self._kept.add(trial)
        value = self._values.get(trial)
        if value is not None and is_better(self.plan.objective, value, self.best):
            self.best = value
        return len(self._kept) > before

    def table(self) -> pd.DataFrame:
        return assemble(self._parts, self._kept, self.runs)


def recovered(store: Store, sweep: SweepInfo, plan: Plan) -> Ledger:
    """What an earlier run of the sweep kept: the runs, or the rows where not every trial has a run.

    Runs that were deleted in MLflow are restored.
    """
    record = plan.sweepable.spec.record
    numbers = {trial: number for number, trial in enumerate(plan.trial_ids)}
    recorded = [info for info in store.trials(sweep) if info.tags["gradgrid.trial"] in numbers]
    missing = numbers.keys() - {info.tags["gradgrid.trial"] for info in recorded}
    restored, lost = store.restore_deleted(sweep, missing, weights=record.weights == "artifact")
    recorded += restored
    note = _deleted_note(len(restored), lost)
    runs = {info.tags["gradgrid.trial"]: info.run_id for info in recorded}
    if record.runs == "all":
        return Ledger(plan, recovered_rows(plan, numbers, recorded), runs, note)
    rows = store.kept_rows(sweep)
    return Ledger(plan, rows[rows["trial"].isin(numbers.keys())] if len(rows) else rows, runs, note)


def _deleted_note(restored: int, lost: int) -> str:
    parts = []
    if restored:
        parts.append(f"{restored:,} deleted run{' is' if restored == 1 else 's are'} restored")
    if lost:
        parts.append(f"{lost:,} deleted run{' has' if lost == 1 else 's have'} no weights any more: trained again")
    return ", ".join(parts)
