"""Read the trials' table of a recorded sweep, from its files or from its runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pandas as pd

from engine import DIVERGED
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.signs_of_life import why_lost
from service.recording.store import Store
from service.results.columns import Choose
from service.results.metrics import METRICS, PARAMS

_AT_ONCE = 10_000  # runs


def read_table(store: Store, sweep: SweepInfo, choose: Choose | None = None) -> pd.DataFrame:
    """Return the table of the trials recorded so far (see `service.results.trials_table`); it may be empty.

    A trial whose run was deleted has no run id.
    choose: chooses the columns, in any order; None for all.
    """
    if sweep.ended:
        return store.table(sweep, choose)
    if not sweep.has_every_run:
        rows = store.read_rows(sweep, choose)
        return rows.assign(run_id=None) if len(rows) else rows
    return _table_of_runs(store.trials(sweep), choose)


def _table_of_runs(trials: Iterator[TrialInfo], choose: Choose | None) -> pd.DataFrame:
    """Return a table of trials. All columns are in memory for some trials at a time alone."""
    parts = []
    names = dict[str, None]()
    while rows := [row_from_trial(info) for info in itertools.islice(trials, _AT_ONCE)]:
        part = pd.DataFrame(rows)
        names |= dict.fromkeys(part.columns)
        chosen = choose(list(names)) if choose else part.columns
        parts.append(part[[name for name in part.columns if name in chosen]])
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.apply(_as_numbers)


def lost_runs_note(store: Store, sweep: SweepInfo, table: pd.DataFrame) -> str:
    """Return a message on the deleted runs of a sweep that has ended; empty if no run was deleted."""
    expected = _expected_runs(sweep, table) if sweep.ended and len(table) else 0
    lost = expected - int(table["run_id"].notna().sum()) if expected else 0
    if lost <= 0:
        return ""
    return (
        f"{lost:,} of the {expected:,} runs of {sweep.sweep} {'was' if lost == 1 else 'were'} deleted in MLflow; "
        f"`gradgrid resume {sweep.sweep}{store.option}` brings them back"
    )


def missing_trials_note(store: Store, sweep: SweepInfo, table: pd.DataFrame) -> str:
    """Return a message on the trials that a sweep has not recorded; empty if it has finished or has all.

    table: of its trials so far.
    """
    count = sweep.count_text(len(table))
    if " of " not in count:
        return ""
    why = why_lost(sweep)
    if sweep.status == "RUNNING" and not why:
        return f"{count} trials of {sweep.sweep} are recorded so far"
    how = f"is lost: {why}" if why else {"KILLED": "was interrupted"}.get(sweep.status, "failed")
    return (
        f"{count} trials are recorded: {sweep.sweep} {how}; "
        f"`gradgrid resume {sweep.sweep}{store.option}` trains the rest"
    )


def _expected_runs(sweep: SweepInfo, table: pd.DataFrame) -> int:
    """Return how many runs the sweep had when it ended with this table."""
    if sweep.has_every_run:
        return len(table)
    return min(sweep.best_runs, int((table["outcome"] != DIVERGED).sum()))


def row_from_trial(info: TrialInfo) -> dict[str, Any]:
    """Return a trial's row of the table. Hyperparameters are text, as in its run."""
    return {
        "number": info.number,
        "trial": info.trial,
        "run_id": info.run_id,
        **{PARAMS + name: value for name, value in info.params.items()},
        "outcome": info.outcome,
        "outcome_step": info.outcome_step,
        "last_step": info.last_step,
        **{METRICS + name: value for name, value in info.metrics.items() if not name.startswith("gradient.")},
    }


def _as_numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().eq(column.notna()).all() else column
