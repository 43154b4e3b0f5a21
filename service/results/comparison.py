"""Several sweeps as one table of trials: its columns, and the ways in which the sweeps differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from experiments.errors import NotFoundError, did_you_mean
from experiments.hyperparameters import in_order
from service.results.metrics import PARAMS

SWEEP = "sweep"
"""The column of the sweep's id, which stands among the hyperparameters: `params.sweep`."""

_DATA = "dataset"


@dataclass(frozen=True)
class ComparedSweep:
    """A sweep that is compared.

    name: its id.
    table: its trials; see `service.results.trials_table`.
    given: the hyperparameters that its sweep file gives, swept or fixed.
    data: the values that its sweep file gives for `dataset`, by the names that they have as axes: `dataset.noise`.
        `dataset` itself is the name of the data set.
    """

    name: str
    table: pd.DataFrame
    given: Collection[str]
    data: Mapping[str, Any]


def joined(sweeps: Sequence[ComparedSweep], *, same_data: bool) -> pd.DataFrame:
    """Return the trials of all sweeps as one table, with the sweep's id as `params.sweep`.

    same_data: whether all trials have the same data. If not, the table also has the values of `dataset`.
    """
    tables = [_with_data(sweep, same_data=same_data).dropna(axis=1, how="all") for sweep in sweeps]
    table = pd.concat(tables, ignore_index=True)
    return table if "run_id" in table else table.assign(run_id=None)


def _with_data(sweep: ComparedSweep, *, same_data: bool) -> pd.DataFrame:
    data = {} if same_data else {PARAMS + name: value for name, value in sweep.data.items()}
    new = {name: value for name, value in data.items() if name not in sweep.table}
    return sweep.table.assign(**{PARAMS + SWEEP: sweep.name}, **new)


def given_names(sweeps: Sequence[ComparedSweep]) -> set[str]:
    """Return the hyperparameters that at least one sweep file gives."""
    return set().union(*(sweep.given for sweep in sweeps), *(sweep.data for sweep in sweeps))


def param_names(table: pd.DataFrame) -> list[str]:
    """Return the hyperparameters of a joined table, without the sweep: the data set first, the others in order."""
    names = {name.removeprefix(PARAMS) for name in table.columns if name.startswith(PARAMS)}
    return [name for name in (_DATA,) if name in names] + in_order(names)


def differing_names(table: pd.DataFrame, given: Collection[str]) -> list[str]:
    """Return the hyperparameters in which trials of a joined table differ, within a sweep or between sweeps.

    A hyperparameter that some trials don't have counts if a sweep file gives it. If not, as adam's `beta1`, another
    hyperparameter decides whether a trial has it.
    given: the hyperparameters that sweep files give.
    """
    columns = {name: table[PARAMS + name] for name in param_names(table)}
    return [
        name
        for name, column in columns.items()
        if column.nunique() > 1 or (name in given and column.isna().any() and column.notna().any())
    ]


def check_metric(metrics: Mapping[str, Collection[str]], metric: str) -> None:
    """Raise NotFoundError if one of the sweeps has no trial with this metric.

    metrics: the metrics of each sweep, by its id.
    """
    lacking = [name for name, known in metrics.items() if metric not in known]
    if lacking:
        of_all = "" if len(lacking) == len(metrics) else f" of {' and '.join(lacking)}"
        shared = sorted(set.intersection(*map(set, metrics.values())))
        raise NotFoundError(f"no trial{of_all} has the metric {metric!r}{did_you_mean(metric, shared)}")
