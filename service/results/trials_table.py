"""The trials' table: a pandas DataFrame with a row for each trial of a sweep, stored as trials.parquet.

| column | dtype | meaning | missing |
|---|---|---|---|
| `number` | int64 | position in the grid, from 0; rows come in this order | never |
| `trial` | str | the trial's id: 32 hexadecimal digits | never |
| `run_id` | str | the trial's MLflow run | if it has no run, by `record.runs` or because it was deleted |
| `params.<name>` | int64, float64 or str | a hyperparameter; widths are text: `[4, 4]` | if the trial has none |
| `outcome` | str | one of `engine.OUTCOMES`, or `stopped` | never |
| `outcome_step` | int64 | the recorded step from which the outcome held, in updates | never |
| `last_step` | int64 | the last step whose loss was finite, in updates | never |
| `metrics.<name>` | float64 | a metric at the last step; may be infinite | if it has no value |

Hyperparameters and metrics that no trial of the sweep has are not columns. Columns come in the order above:
hyperparameters as in `experiments.hyperparameters`, metrics by name, with the gradients' norms last. A missing value is
NaN or None, so a column of integers that misses some is float64. A table without rows has no columns of
hyperparameters and metrics.

Names are those of `mlflow.search_runs`: `params.loss` is the name of the loss function, `metrics.loss` its value.

Units: a loss has the unit of its loss function, accuracies and `dead_units` are shares from 0 to 1, `update_ratio` is
the norm of an update divided by the norm of the weights (docs/outcomes.md).

A table of chosen columns may be narrower: `outcome` is a categorical, and whole numbers are int32 if they fit. Its
columns may be read-only.

While a sweep is running that has a run for each trial, its table is read from the runs. Then rows and columns may come
in another order, and a column of hyperparameters is one of numbers if each of its values is a number.

A function that takes a `table` takes one of these, or some rows of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Integers
from service.results.metrics import METRICS, PARAMS, lower_is_better

_AT_ONCE = 1 << 20  # rows

FIRST_COLUMNS = ["number", "trial", "run_id"]
OUTCOME_COLUMNS = ["outcome", "outcome_step", "last_step"]


def best_trials(table: pd.DataFrame, metric: str, count: int) -> pd.DataFrame:
    """Return the rows of the best finished trials, at most `count`, best first, and equal ones by number."""
    return table.iloc[best_positions(table, metric, count)]


def best_positions(table: pd.DataFrame, metric: str, count: int) -> Integers:
    """Return the positions of these rows in the table."""
    column = METRICS + metric
    if column not in table:
        return np.zeros(0, dtype=np.int64)
    values, numbers = table[column].to_numpy(dtype=float), table["number"].to_numpy()
    finished = (table["outcome"] != DIVERGED).to_numpy()
    sign, best = 1 if lower_is_better(metric) else -1, np.zeros(0, dtype=np.int64)
    for first in range(0, len(table), _AT_ONCE):  # a table may be large, and a copy of a column with it
        part = slice(first, first + _AT_ONCE)
        found = first + np.flatnonzero(finished[part] & ~np.isnan(values[part]))
        found = np.concatenate([best, found])
        keys = sign * values[found]
        if len(keys) > count:
            found = found[keys <= np.partition(keys, count - 1)[count - 1]]
        best = found[np.lexsort((numbers[found], sign * values[found]))[:count]]
    return np.asarray(best)


def row_values(row: pd.Series, prefix: str) -> dict[str, Any]:
    """Return the values of a row's columns that begin with `prefix`: name without prefix -> plain Python value.

    Missing values are left out.
    """
    names = [name for name in row.index if name.startswith(prefix) and not pd.isna(row[name])]
    return {name.removeprefix(prefix): _plain(row[name]) for name in names}


def none_if_missing(value: Any) -> Any:
    """Return a cell's value; None if it is missing."""
    return None if pd.isna(value) else value


def run_ids(table: pd.DataFrame) -> pd.Series:
    """Return the run id of each trial; "" if it has no run, or if the table has no run ids."""
    if "run_id" not in table:
        return pd.Series("", index=table.index, dtype=object)
    return table["run_id"].astype(object).where(table["run_id"].notna(), "")


def shown_params(columns: Iterable[str], swept: Sequence[str]) -> list[str]:
    """Return the swept hyperparameters that the table has, in the order of `swept`. columns: the table's."""
    names = {name.removeprefix(PARAMS) for name in columns if name.startswith(PARAMS)}
    return [name for name in swept if name in names]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def metric_order(name: str) -> tuple[bool, str]:
    """Return the key by which columns of metrics are sorted."""
    return name.startswith(f"{METRICS}grad_norm"), name
