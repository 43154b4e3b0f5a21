"""The trials' table of a recorded sweep, from its files or run by run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from service.recording.infos import SweepInfo, TrialInfo
from service.recording.store import Store
from service.results.metrics import METRICS, PARAMS
from service.results.trials_table import OUTCOME_COLUMNS


def kept_table(store: Store, sweep: SweepInfo) -> pd.DataFrame:
    """Every trial of a sweep that is kept so far, whether it has ended or not; no rows where there is none."""
    if sweep.ended:
        return store.table(sweep)
    if not sweep.has_every_run:
        rows = store.kept_rows(sweep)
        return rows.assign(run_id=None) if len(rows) else rows
    return pd.DataFrame([recorded_row(info) for info in store.trials(sweep)]).apply(_as_numbers)


def recorded_row(info: TrialInfo) -> dict[str, Any]:
    """A row of a trial that has a run, from the run alone; hyperparameters are text there."""
    return {
        "number": int(info.tags["gradgrid.number"]),
        "trial": info.tags["gradgrid.trial"],
        "run_id": info.run_id,
        **{PARAMS + name: value for name, value in info.params.items()},
        "outcome": info.outcome,
        **{name: int(info.tags[f"gradgrid.{name}"]) for name in OUTCOME_COLUMNS[1:]},
        **{METRICS + name: value for name, value in info.metrics.items() if not name.startswith("gradient.")},
    }


def _as_numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().eq(column.notna()).all() else column
