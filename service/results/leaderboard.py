"""The leaderboard: trials that differ only in the seed, or the fold of a cross-validation, are one entry.

An entry's value is the mean over its seeds, with a 95 % confidence interval by Student's t. Entries share a rank if the
data can't tell their means apart from the mean of the rank's first entry, by Welch's t-test (Welch 1947, Biometrika
34:28) at the 5 % level. An entry of one seed has no interval; it shares a rank only with an equal value.

The two statistics are computed from scipy.special, because importing scipy.stats takes longer than the ranking.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Array, Flags, Floats, Integers
from experiments.conditions import Trials, parse_condition, without_blanks
from experiments.errors import NotFoundError, UserError, did_you_mean_metric
from experiments.hyperparameters import REPEATS
from service.results.combinations import count_combinations
from service.results.metrics import METRICS, PARAMS, lower_is_better, metric_names, test_metric
from service.results.trials_table import best_positions, none_if_missing

_LEVEL = 0.95
_SHORT_ID = 8

RunIds = Callable[[Sequence[int]], Sequence[str | None]]
"""Returns the run id of each trial of these numbers; None for a trial without a run."""


@dataclass(frozen=True)
class Entry:
    """Trials that differ only in the seed.

    rank: 1 for the best; entries that the data can't tell apart share a rank.
    tied: whether another entry has the same rank.
    params: the values of the swept hyperparameters, without the seed; None if the entry has none.
    trials: the number of trials.
    finished: the number of trials that did not diverge.
    mean: of the metric over the finished trials.
    low, high: the ends of its 95 % confidence interval; NaN if only one trial finished.
    run_id: the run of the best trial; None if it has none.
    test: the mean of the same metric on the test part, if the metric is of the validation part; else None.
    """

    rank: int
    tied: bool
    params: Mapping[str, Any]
    trials: int
    finished: int
    mean: float
    low: float
    high: float
    run_id: str | None
    test: float | None = None


def check_metric(table: pd.DataFrame, metric: str) -> None:
    """Raise NotFoundError if no trial of a table has a metric. metric: without prefix."""
    if METRICS + metric not in table:
        names = metric_names(table.columns)
        raise NotFoundError(f"no trial has the metric {metric!r}{did_you_mean_metric(metric, names)}")


def ranked(
    table: pd.DataFrame,
    metric: str,
    swept: Sequence[str],
    where: Sequence[str] = (),
    *,
    over_seeds: bool = True,
    count: int | None = None,
    run_ids: RunIds | None = None,
) -> list[Entry]:
    """Return the leaderboard of a sweep, best first. Entries of which seeds diverged come after those without.

    table: see `service.results.trials_table`.
    metric: the metric to rank by, without prefix.
    swept: the swept hyperparameters.
    where: conditions such as `activation=relu` or `learning_rate<0.1`; trials that meet all of them are ranked.
    over_seeds: whether trials that differ only in the seed are one entry; else each trial is one.
    count: the greatest number of entries; None for all.
    run_ids: returns the runs of trials by their numbers; None if the table has them.
    Raises NotFoundError if no trial has the metric, UserError for a condition that no trial can meet.
    """
    if not len(table):
        return []
    check_metric(table, metric)
    table = matching(table, where)
    names = [name for name in swept if not (over_seeds and name in REPEATS) and PARAMS + name in table]
    if count is not None and count_combinations(table, [PARAMS + name for name in names]) == len(table):
        groups = _single_trials(table, metric, names, count)
    else:
        groups = _groups(table, metric, names)
    listed = groups if count is None else groups[: count + 1]
    best = table.iloc[[row for *_, row, _ in listed]]
    runs = list(map(none_if_missing, best["run_id"])) if run_ids is None else run_ids(best["number"].tolist())
    return _entries(listed, runs)[:count]


_Group = tuple[dict[str, Any], int, Array, int, float | None]
"""Params, number of trials, values of the finished, row of the best trial, mean on the test part."""


def _single_trials(table: pd.DataFrame, metric: str, names: Sequence[str], count: int) -> list[_Group]:
    """Return the best trials as groups of one trial each, one more than `count`."""
    positions, beside = best_positions(table, metric, count + 1), METRICS + test_metric(metric)
    return [
        (
            {name: none_if_missing(row[PARAMS + name]) for name in names},
            1,
            np.array([float(row[METRICS + metric])]),
            position,
            float(row[beside]) if beside in table else None,
        )
        for position, row in zip(positions.tolist(), table.iloc[positions].to_dict("records"), strict=True)
    ]


def _groups(table: pd.DataFrame, metric: str, names: Sequence[str]) -> list[_Group]:
    """Return the groups of trials that share these hyperparameters and of which one has finished, the best first."""
    sign, column = 1 if lower_is_better(metric) else -1, METRICS + metric
    values = table[column].to_numpy(dtype=float)
    order = np.lexsort((table["number"].to_numpy(), sign * values))  # NaN last; no copy of the table: it may be large
    finished = (table["outcome"] != DIVERGED).to_numpy() & ~np.isnan(values)
    beside = test_metric(metric)
    tested = table[METRICS + beside].to_numpy(dtype=float) if beside and METRICS + beside in table else None
    groups: list[_Group] = []
    for key, rows in _grouped(table, names, order):
        finished_rows = rows[finished[rows]]
        if len(finished_rows):
            params = {name: none_if_missing(value) for name, value in zip(names, key, strict=True)}
            test = None if tested is None else _mean(tested[finished_rows])
            groups.append((params, len(rows), values[finished_rows], finished_rows[0], test))
    groups.sort(key=lambda g: (-len(g[2]) / g[1], sign * _mean(g[2])))
    return groups


def matching(table: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """Return the trials that meet all conditions. Raises UserError for one that no trial can meet.

    where: conditions; a text alone is one condition.
    """
    conditions = [where] if isinstance(where, str) else where
    meets, trials = np.ones(len(table), dtype=bool), _TableTrials(table)
    for condition in conditions if len(table) else ():
        meets &= _holds(trials, condition)
    return table if meets.all() else table[meets]


def _grouped(table: pd.DataFrame, names: Sequence[str], order: Integers) -> list[tuple[tuple[Any, ...], Integers]]:
    """Return each combination of values of these hyperparameters with the indices of its rows.

    order: the indices of all rows; those of a combination follow it, and so do the combinations, by their first rows.
    """
    if not names or not len(table):
        return [((), order)]
    columns = [PARAMS + name for name in names]
    numbers = table.groupby(columns, dropna=False, sort=False).ngroup().to_numpy()[order]
    places = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[places], prepend=-1))
    groups = np.split(order[places], starts[1:])
    by_first = np.argsort(places[starts])
    firsts = list(table[columns].iloc[order[places[starts]]].itertuples(index=False, name=None))
    return [(firsts[k], groups[k]) for k in by_first.tolist()]


def _entries(groups: Sequence[_Group], runs: Sequence[str | None]) -> list[Entry]:
    """Return the entries of groups, which are ordered.

    runs: the best trial's run of each.
    """
    ranks: list[int] = []
    leader = 0
    for index, (_, trials, samples, *_) in enumerate(groups):
        _, leader_trials, leader_samples, *_ = groups[leader]
        complete = len(samples) == trials and len(leader_samples) == leader_trials
        if index and not (complete and _are_inseparable(samples, leader_samples)):
            leader = index
        ranks.append(leader + 1)
    sharing = Counter(ranks)
    return [
        Entry(rank, sharing[rank] > 1, params, trials, len(samples), *mean_interval(samples), run_id, test)
        for rank, (params, trials, samples, _, test), run_id in zip(ranks, groups, runs, strict=True)
    ]


def mean_interval(samples: Array) -> tuple[float, float, float]:
    """Return the mean and the two ends of its 95 % confidence interval by Student's t; NaN for a single sample."""
    from scipy.special import stdtrit

    mean, count = _mean(samples), len(samples)
    if count < 2:
        return mean, math.nan, math.nan
    scale = _scale(samples)
    half = float(stdtrit(count - 1, (1 + _LEVEL) / 2) * np.std(samples / scale, ddof=1) / math.sqrt(count)) * scale
    return mean, mean - half, mean + half


def _are_inseparable(first: Array, second: Array) -> bool:
    """Return whether Welch's t-test can't tell two means apart."""
    from scipy.special import stdtr

    if len(first) < 2 or len(second) < 2 or (np.ptp(first) == 0 and np.ptp(second) == 0):
        return _mean(first) == _mean(second)
    scale = _scale(np.concatenate([first, second]))
    first, second = first / scale, second / scale
    a, b = (float(np.var(sample, ddof=1)) / len(sample) for sample in (first, second))  # squared errors of the means
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    distance = abs(float(np.mean(first) - np.mean(second))) / math.sqrt(a + b)
    return bool(2 * stdtr(freedom, -distance) > 1 - _LEVEL)


def _mean(samples: np.ndarray[Any, Any]) -> float:
    scale = _scale(samples)
    return float(np.mean(samples / scale)) * scale


def _scale(samples: np.ndarray[Any, Any]) -> float:
    """Return the power of two to divide samples by, so that no sum or square over- or underflows. It rounds nothing."""
    return float(2.0 ** np.clip(math.frexp(float(np.abs(samples).max()))[1] - 1, -1000, 1000))


class _TableTrials:
    """The trials of a table, for conditions. Of `params.loss` and `metrics.loss`, `loss` is the latter."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        columns = table.columns
        short = {c.removeprefix(prefix): c for prefix in (PARAMS, METRICS) for c in columns if c.startswith(prefix)}
        self._columns = {**short, "outcome": "outcome", **{c: c for c in columns}}

    @property
    def names(self) -> Collection[str]:
        return self._columns

    def numbers(self, name: str) -> Floats:
        return np.asarray(pd.to_numeric(self._column(name), errors="coerce"), dtype=float)

    def words(self, name: str) -> Array:
        return np.asarray(self._words(name), dtype=object)

    def missing(self, name: str) -> Flags:
        return np.asarray(self._column(name).isna())

    def vocabulary(self, name: str) -> list[str] | None:
        words = [word for word in dict.fromkeys(self._words(name)) if word]
        return words if self._columns[name].startswith(PARAMS) else None

    def is_numeric(self, name: str) -> bool:
        return bool(pd.api.types.is_numeric_dtype(self._column(name)))

    def _column(self, name: str) -> pd.Series:
        return self._table[self._columns[name]]

    def _words(self, name: str) -> pd.Series:
        column = self._column(name).astype(object)
        return column.where(column.notna(), "").map(lambda value: without_blanks(str(value)))


def _holds(trials: Trials, condition: str) -> Flags:
    try:
        return parse_condition(condition).holds(trials)
    except ValueError as error:
        raise UserError(f"--where {condition!r}: {error}") from None


def means_text(entries: Sequence[Entry], swept: Collection[str]) -> str:
    """Return what the values of a leaderboard are: `, means over seeds`; empty if each entry is one trial.

    swept: the swept hyperparameters.
    """
    if all(entry.trials == 1 for entry in entries):
        return ""
    return ", means over seeds and folds" if "dataset.fold" in swept else ", means over seeds"


def entry_rows(entries: Sequence[Entry], metric: str) -> list[dict[str, Any]]:
    """Return the rows of a leaderboard for readers: column -> value. A rank that entries share is marked with `=`."""
    grouped = any(entry.trials > 1 for entry in entries)
    rows = []
    for entry in entries:
        row: dict[str, Any] = {"": f"{entry.rank}{'=' if entry.tied else ''}", metric: entry.mean}
        if grouped:
            half = entry.high - entry.mean
            row["±"] = "" if math.isnan(half) else f"{half:.2g}"
            row["seeds"] = f"{entry.finished}/{entry.trials}"
        if entry.test is not None:
            row[test_metric(metric)] = entry.test
        params = {name: "" if value is None else value for name, value in entry.params.items()}
        rows.append({**row, **params, "best run": (entry.run_id or "")[:_SHORT_ID]})
    return rows
