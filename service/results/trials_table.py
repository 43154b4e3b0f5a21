"""The table of a sweep: a row a trial with its hyperparameters, outcome and final metrics (trials.parquet).

Columns are named as MLflow names those of `mlflow.search_runs`: `params.loss` is the loss that was chosen, and
`metrics.loss` what it came to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from engine import DIVERGED
from experiments.hyperparameters import HYPERPARAMETERS
from service.results.metrics import METRICS, PARAMS, lower_is_better

_FIRST = ["number", "trial", "run_id"]
OUTCOME_COLUMNS = ["outcome", "outcome_step", "last_step"]


def assemble(parts: Sequence[pd.DataFrame], kept: Collection[str], runs: Mapping[str, str]) -> pd.DataFrame:
    """One table of the trials that are kept, by number, columns in one order whatever came first.

    runs: trial -> run id, of those that have a run.
    """
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=[*_FIRST, *OUTCOME_COLUMNS])
    table = pd.concat(filled, ignore_index=True)
    table = table[table["trial"].isin(list(kept))].drop_duplicates("trial").sort_values("number", ignore_index=True)
    table["run_id"] = table["trial"].map(dict(runs))
    params = [PARAMS + name for name in HYPERPARAMETERS if PARAMS + name in table]
    metrics = [name for name in table.columns if name.startswith(METRICS)]
    return table[[*_FIRST, *params, *OUTCOME_COLUMNS, *sorted(metrics, key=_metric_order)]]


def best_trials(table: pd.DataFrame, metric: str, count: int) -> pd.DataFrame:
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


def run_ids(table: pd.DataFrame) -> pd.Series:
    """The run of each trial; empty where it has none."""
    return table["run_id"].astype(object).where(table["run_id"].notna(), "")


def shown_params(columns: Iterable[str], swept: Sequence[str]) -> list[str]:
    """The swept hyperparameters that the table has, in the order of the axes."""
    names = {name.removeprefix(PARAMS) for name in columns if name.startswith(PARAMS)}
    return [name for name in swept if name in names]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _metric_order(name: str) -> tuple[bool, str]:
    return name.startswith(f"{METRICS}grad_norm"), name


def cell_value(value: Any) -> Any:
    return as_text(value) if isinstance(value, tuple) else value


def as_text(value: Any) -> str:
    """A hyperparameter as MLflow shows it."""
    return str(list(value)) if isinstance(value, tuple) else str(value)
