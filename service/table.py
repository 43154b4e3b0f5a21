"""The table of a sweep: a row a trial with its hyperparameters, outcome and final metrics (trials.parquet).

Columns are named as MLflow names those of `mlflow.search_runs`: `params.loss` is the loss that was chosen, and
`metrics.loss` what it came to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from engine import DIVERGED, OUTCOMES
from experiments.hyperparameters import HYPERPARAMETERS
from experiments.spec import RecordSpec
from service.curves import kept_curves
from service.plan import Plan
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.sweeps import Store
from service.records import as_text, lower_is_better
from service.worker import Trained

PARAMS, METRICS = "params.", "metrics."

_FIRST = ["number", "trial", "run_id"]
_OUTCOME = ["outcome", "outcome_step", "last_step"]


def trained_rows(trained: Trained, trials: Sequence[str], record: RecordSpec) -> pd.DataFrame:
    """The rows of a shard that was trained."""
    history, shard = trained.history, trained.shard
    configurations = [shard.configuration(position) for position in range(shard.trials)]
    return pd.DataFrame(
        {
            "number": shard.numbers,
            "trial": trials,
            **{PARAMS + name: [_cell(c[name]) for c in configurations] for name in configurations[0]},
            "outcome": [history.outcome(position) for position in range(history.trials)],
            "outcome_step": history.outcomes.began,
            "last_step": history.last_step,
            **{METRICS + name: history.final(name) for name in kept_curves(history.curves, record)},
        }
    )


def recovered_rows(plan: Plan, numbers: Mapping[str, int], recorded: Iterable[TrialInfo]) -> pd.DataFrame:
    """The rows of trials that an earlier run of the sweep recorded; `numbers`: trial -> number."""
    configurations = [p.configuration(trial) for p in plan.populations for trial in range(p.trials)]
    rows = []
    for info in recorded:
        number = numbers[info.tags["gradgrid.trial"]]
        typed = {PARAMS + name: _cell(value) for name, value in configurations[number].items()}  # text in MLflow
        rows.append({**_recorded_row(info), **typed, "number": number})
    return pd.DataFrame(rows)


def kept_table(store: Store, sweep: SweepInfo) -> pd.DataFrame:
    """Every trial of a sweep that is kept so far, whether it has ended or not; no rows where there is none."""
    if sweep.ended:
        return store.table(sweep)
    if not sweep.has_every_run:
        rows = store.kept_rows(sweep)
        return rows.assign(run_id=None) if len(rows) else rows
    return pd.DataFrame([_recorded_row(info) for info in store.trials(sweep)]).apply(_as_numbers)


def _recorded_row(info: TrialInfo) -> dict[str, Any]:
    """A row of a trial that has a run, from the run alone; hyperparameters are text there."""
    return {
        "number": int(info.tags["gradgrid.number"]),
        "trial": info.tags["gradgrid.trial"],
        "run_id": info.run_id,
        **{PARAMS + name: value for name, value in info.params.items()},
        "outcome": info.outcome,
        **{name: int(info.tags[f"gradgrid.{name}"]) for name in _OUTCOME[1:]},
        **{METRICS + name: value for name, value in info.metrics.items() if not name.startswith("gradient.")},
    }


def _as_numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().eq(column.notna()).all() else column


def assemble(parts: Sequence[pd.DataFrame], kept: Collection[str], runs: Mapping[str, str]) -> pd.DataFrame:
    """One table of the trials that are kept, by number, columns in one order whatever came first.

    runs: trial -> run id, of those that have a run.
    """
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=[*_FIRST, *_OUTCOME])
    table = pd.concat(filled, ignore_index=True)
    table = table[table["trial"].isin(list(kept))].drop_duplicates("trial").sort_values("number", ignore_index=True)
    table["run_id"] = table["trial"].map(dict(runs))
    params = [PARAMS + name for name in HYPERPARAMETERS if PARAMS + name in table]
    metrics = [name for name in table.columns if name.startswith(METRICS)]
    return table[[*_FIRST, *params, *_OUTCOME, *sorted(metrics, key=_metric_order)]]


def leaderboard(table: pd.DataFrame, metric: str, count: int) -> pd.DataFrame:
    """The best finished trials by a metric; equal ones by number."""
    column = METRICS + metric
    if column not in table:
        return table.iloc[:0]
    finished = table[(table["outcome"] != DIVERGED) & table[column].notna()]
    return finished.sort_values([column, "number"], ascending=[lower_is_better(metric), True]).head(count)


def row_values(row: pd.Series, prefix: str) -> dict[str, Any]:
    """A row's params or metrics under their own names, in plain Python values, without those it has none of."""
    names = [name for name in row.index if name.startswith(prefix) and not pd.isna(row[name])]
    return {name.removeprefix(prefix): _plain(row[name]) for name in names}


def none_if_missing(value: Any) -> Any:
    """A cell, None where there is nothing in it."""
    return None if pd.isna(value) else value


def outcome_counts(table: pd.DataFrame) -> dict[str, int]:
    """How many trials came to each outcome."""
    return {outcome: int((table["outcome"] == outcome).sum()) for outcome in OUTCOMES}


def run_ids(table: pd.DataFrame) -> pd.Series:
    """The run of each trial; empty where it has none."""
    return table["run_id"].astype(object).where(table["run_id"].notna(), "")


def shown_params(columns: Iterable[str], swept: Sequence[str]) -> list[str]:
    """The swept hyperparameters that the table has; a single neuron's activation stands there as its output."""
    names = {name.removeprefix(PARAMS) for name in columns if name.startswith(PARAMS)}
    renamed = ["output" if name == "activation" and name not in names else name for name in swept]
    return [name for name in renamed if name in names]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _metric_order(name: str) -> tuple[bool, str]:
    return name.startswith(f"{METRICS}grad_norm"), name


def _cell(value: Any) -> Any:
    return as_text(value) if isinstance(value, tuple) else value
