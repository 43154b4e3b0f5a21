"""Trials of two sweeps that are equal in everything that both sweeps share, and the differences of a metric.

Two trials are partners if every shared hyperparameter has the same value, the seed included. A hyperparameter is not
shared if one sweep does not have it, or if no value is in both sweeps and one of them has a single value. Partners are
listed apart for each combination of values that are not shared, such as `sgd` in one sweep and `adam` in the other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Array, Floats
from engine.outcomes import EXPLODING
from experiments.hyperparameters import REPEATS
from experiments.stopping import STOPPED
from service.results.comparison import SWEEP, param_names
from service.results.leaderboard import mean_interval
from service.results.metrics import METRICS, PARAMS, lower_is_better
from service.results.scales import is_calm
from service.results.trials_table import none_if_missing, run_ids
from service.results.unmatched import Unmatched, unmatched

_MOST_ROWS = 40  # combinations that are listed one by one
_DIGITS = 12  # of a number that has to be equal: two lists of one logarithmic axis differ in the last bits


@dataclass(frozen=True)
class Difference:
    """The difference of a metric between partners, second sweep minus first.

    first_values, second_values: the values that are not shared: hyperparameter -> value; None if there is none.
    pairs: the number of partners.
    finished: the number of partners of which neither is lost: both finished, with a finite value.
    mean: of the configurations' differences, each a mean over its seeds and folds; NaN without finished partners.
    low, high: the ends of its 95 % confidence interval by Student's t; NaN if there is only one difference, or if all
        are equal.
    over: what the interval is over: `configurations`, or if there is one configuration, its `seeds`; empty without one.
    quartiles: of the partners' differences: the first, the median, the third.
    first_better, second_better: the number of partners of which that one is better. A lost trial is worse than another.
    equal: the number of partners with equal values.
    lost: the number of partners that are both lost.
    same: the number of partners that are one trial, in both sweeps: configuration, data and engine are equal.
    """

    first_values: Mapping[str, Any]
    second_values: Mapping[str, Any]
    pairs: int
    finished: int
    mean: float
    low: float
    high: float
    over: str
    quartiles: tuple[float, float, float]
    first_better: int
    second_better: int
    equal: int
    lost: int
    same: int


@dataclass(frozen=True)
class Matching:
    """The partners of two sweeps.

    first, second: the ids of the sweeps.
    shared: the hyperparameters in which partners are equal although trials differ in them.
    differs: the hyperparameters that are not shared.
    differences: one for each combination of values that are not shared.
    pairs: a row for each pair: `first` and `second`, the metric's values, NaN if lost; `run`, the second's run;
        `calm`, whether none of the two exploded or diverged; `variant`, an index into `differences`; `params.<name>`,
        the values of the `shared` hyperparameters.
    unmatched: the trials of the first and of the second sweep that have no partner.
    disjoint: the hyperparameters that have several values in each sweep but none in both.
    """

    first: str
    second: str
    shared: Sequence[str]
    differs: Sequence[str]
    differences: Sequence[Difference]
    pairs: pd.DataFrame
    unmatched: tuple[Unmatched, Unmatched]
    disjoint: Sequence[str]

    @property
    def alone(self) -> tuple[int, int]:
        """The number of trials of the first and of the second sweep that have no partner."""
        return self.unmatched[0].trials, self.unmatched[1].trials


def match(
    table: pd.DataFrame, sweeps: tuple[str, str], metric: str, names: Sequence[str], given: Collection[str]
) -> Matching:
    """Return the partners of two sweeps.

    table: trials of these and maybe other sweeps; see `service.results.comparison.joined`.
    sweeps: the ids of the first and the second sweep.
    metric: the metric to compare, without prefix.
    names: the hyperparameters in which trials differ.
    given: the hyperparameters that sweep files give.
    """
    sides = [table[table[PARAMS + SWEEP] == name].reset_index(drop=True) for name in sweeps]
    values = pd.concat([_texts(side, param_names(table)) for side in sides], ignore_index=True)
    split = len(sides[0])
    keys, others = _shared(values, split, given)
    key = _numbers(values, keys)
    configuration = _numbers(values, [name for name in keys if name not in REPEATS])
    variant = _numbers(values, others)
    parts = [
        pd.DataFrame(
            {
                "key": key[part],
                "stopped": _stopped_at(side),
                "trial": side["trial"],
                "configuration": configuration[part],
                "variant": variant[part],
                "value": _finished_values(side, metric),
                "calm": is_calm(side["outcome"]),
                "row": np.arange(len(side)),
            }
        )
        for side, part in zip(sides, (slice(None, split), slice(split, None)), strict=True)
    ]
    pairs = parts[0].merge(parts[1], on=["key", "stopped"], suffixes=("_first", "_second"))
    differs = [name for name in others if name in names]
    texts = [values.loc[: split - 1, keys], values.loc[split:, keys]]
    alone = (
        unmatched(parts[0], parts[1], (texts[0], texts[1]), pairs["row_first"].unique()),
        unmatched(parts[1], parts[0], (texts[1], texts[0]), pairs["row_second"].unique()),
    )
    differences, indices = _differences(pairs, sides, metric, differs)
    shared = [name for name in keys if name in names and values[name].nunique() > 1]
    params = sides[0][[PARAMS + name for name in shared]].iloc[pairs["row_first"].to_numpy()].reset_index(drop=True)
    shown = params.assign(
        first=pairs["value_first"],
        second=pairs["value_second"],
        run=run_ids(sides[1]).to_numpy(dtype=object)[pairs["row_second"].to_numpy()],
        calm=pairs["calm_first"] & pairs["calm_second"],
        variant=indices,
    )
    disjoint = [name for name in shared if not _common(values[name], split)]
    return Matching(*sweeps, shared, differs, differences, shown, alone, disjoint)


def _texts(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the values of hyperparameters as texts, equal if the values are equal; "" for a missing one."""
    columns = {}
    for name in names:
        column = table[PARAMS + name]
        codes, found = pd.factorize(column, use_na_sentinel=True)
        columns[name] = np.array([*map(_text, found), ""], dtype=object)[codes]  # the code of a missing value is -1
    return pd.DataFrame(columns, index=table.index, dtype=object)


def _text(value: Any) -> str:
    is_float = isinstance(value, (float, np.floating))
    return f"{value:.{_DIGITS}g}" if is_float else str(value)


def _shared(values: pd.DataFrame, split: int, given: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the hyperparameters that both sweeps share, and those that they do not.

    One that no sweep file gives and some trials don't have is in neither list: another one decides about it.
    """
    keys: list[str] = []
    others: list[str] = []
    for name in values.columns:
        column = values[name]
        first, second = (set(part) - {""} for part in (column[:split], column[split:]))
        if name not in given and (column == "").any():
            continue
        in_both = bool(first & second)
        (keys if in_both or min(len(first), len(second)) > 1 else others).append(name)
    return keys, others


def _common(column: pd.Series, split: int) -> set[str]:
    return (set(column[:split]) & set(column[split:])) - {""}


def _numbers(values: pd.DataFrame, names: Sequence[str]) -> Array:
    """Return a number for each row, equal where these columns are equal."""
    if not names or not len(values):
        return np.zeros(len(values), dtype=np.int64)
    return np.asarray(values.groupby(list(names), sort=False).ngroup())


def _stopped_at(table: pd.DataFrame) -> Array:
    """Return the step at which each trial was stopped, 0 if it was not. A stopped one is no partner of a longer one.

    In a sweep that stops trials, one that exploded may have been stopped.
    """
    if not (table["outcome"] == STOPPED).any():
        return np.zeros(len(table), dtype=np.int64)
    return np.where(table["outcome"].isin((STOPPED, EXPLODING)), table["last_step"], 0)


def _finished_values(table: pd.DataFrame, metric: str) -> Floats:
    """Return the metric of each trial; NaN for one that is lost."""
    values = table[METRICS + metric].to_numpy(dtype=float)
    return np.where((table["outcome"] != DIVERGED).to_numpy() & np.isfinite(values), values, np.nan)


def _differences(
    pairs: pd.DataFrame, sides: Sequence[pd.DataFrame], metric: str, differs: Sequence[str]
) -> tuple[list[Difference], Array]:
    """Return the differences of each combination, and for each pair the index of its combination."""
    if not len(pairs):
        return [], np.zeros(0, dtype=np.int64)
    variants = ["variant_first", "variant_second"]
    indices = np.asarray(pairs.groupby(variants, sort=True).ngroup())
    listed = int(indices.max()) < _MOST_ROWS
    indices = indices if listed else np.zeros(len(pairs), dtype=np.int64)
    differences = []
    for _, group in pairs.groupby(indices):
        rows = [group["row_first"].to_numpy(), group["row_second"].to_numpy()]
        first, second = (_values(side.iloc[row], differs) for side, row in zip(sides, rows, strict=True))
        differences.append(_difference(group, first, second, metric))
    return differences, indices


def _values(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Return the value that these trials have; if they have several, their number as text."""
    values = {}
    for name in names:
        found = rows[PARAMS + name].unique()
        value = none_if_missing(found[0])
        values[name] = (
            (value.item() if hasattr(value, "item") else value) if len(found) == 1 else f"{len(found)} values"
        )
    return values


def _difference(
    pairs: pd.DataFrame, first_values: Mapping[str, Any], second_values: Mapping[str, Any], metric: str
) -> Difference:
    first, second = (pairs[name].to_numpy(dtype=float) for name in ("value_first", "value_second"))
    with np.errstate(over="ignore"):
        change = pd.Series(second - first)
    change = change.where(np.isfinite(change))
    sample, over = _sample(pairs, change)
    mean, low, high = mean_interval(sample) if len(sample) else (math.nan,) * 3
    if len(sample) < 2 or np.ptp(sample) == 0:  # equal differences don't show how much others would scatter
        low, high, over = math.nan, math.nan, ""
    there = [~np.isnan(first), ~np.isnan(second)]
    smaller, greater = second < first, second > first
    better = [greater, smaller] if lower_is_better(metric) else [smaller, greater]
    quartiles = change.quantile([0.25, 0.5, 0.75])
    return Difference(
        first_values,
        second_values,
        pairs=len(pairs),
        finished=int((there[0] & there[1]).sum()),
        mean=mean,
        low=low,
        high=high,
        over=over,
        quartiles=(float(quartiles[0.25]), float(quartiles[0.5]), float(quartiles[0.75])),
        first_better=int((better[0] | (there[0] & ~there[1])).sum()),
        second_better=int((better[1] | (there[1] & ~there[0])).sum()),
        equal=int((first == second).sum()),
        lost=int((~there[0] & ~there[1]).sum()),
        same=int((pairs["trial_first"] == pairs["trial_second"]).sum()),
    )


def _sample(pairs: pd.DataFrame, change: pd.Series) -> tuple[Floats, str]:
    """Return the differences that the interval is computed from, and what they are of: configurations, or seeds.

    Many values that are not shared are one row. Then each of them is a configuration, if the shared ones are equal.
    """
    for names in (["configuration_first"], ["variant_first", "variant_second"]):
        means = change.groupby([pairs[name].to_numpy() for name in names]).mean().dropna()
        if len(means) > 1:
            return means.to_numpy(), "configurations"
    return change.dropna().to_numpy(), "seeds"
