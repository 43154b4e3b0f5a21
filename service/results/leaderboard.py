"""The leaderboard that tells the truth about seeds: trials that differ in the seed alone are one entry.

An entry's value is the mean over its seeds, with a 95 % confidence interval by Student's t. Entries whose means the
data can't tell apart from the leader's share its rank: Welch's t-test (Welch 1947, Biometrika 34:28) at the 5 % level.
One seed has no interval and can be told apart from nothing but by its value.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Array
from experiments.errors import NotFoundError, UserError, nearest
from service.results.metrics import METRICS, PARAMS, lower_is_better
from service.results.trials_table import none_if_missing

_LEVEL = 0.95
_SHORT_ID = 8
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"\s*([\w.]+)\s*(<=|>=|!=|==|=|<|>)\s*(.+?)\s*")


@dataclass(frozen=True)
class Entry:
    """Trials that differ in the seed alone.

    rank: 1 for the best; equal where the data can't separate them, and then `tied`. params: what was swept, but the
    seed. trials, finished: how many there are, and how many did not diverge. mean, low, high: of the finished ones'
    metric, and its confidence interval, NaN for a single one. run_id: the best of them; None where it has no run.
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


def ranked(
    table: pd.DataFrame,
    metric: str,
    swept: Sequence[str],
    where: Sequence[str] = (),
    *,
    over_seeds: bool = True,
    count: int | None = None,
) -> list[Entry]:
    """The leaderboard of a sweep's table by a metric, the best first, `count` entries at most.

    Entries that lost seeds to divergence come after those that lost none; without `over_seeds` each trial is an entry.
    `swept`: the axes. `where`: conditions such as `activation=relu` or `learning_rate<0.1`, all of which hold. Raises
    NotFoundError where no trial has the metric, UserError for a condition that can't be read.
    """
    column = METRICS + metric
    if not len(table):
        return []
    if column not in table:
        known = [name.removeprefix(METRICS) for name in table.columns if name.startswith(METRICS)]
        raise NotFoundError(f"no trial has the metric {metric!r}{nearest(metric, known)}")
    table = matching(table, where)
    names = [name for name in swept if not (over_seeds and name == "seed") and PARAMS + name in table]
    sign = 1 if lower_is_better(metric) else -1
    table = table.sort_values([column, "number"], ascending=[sign > 0, True], ignore_index=True)
    finished = ((table["outcome"] != DIVERGED) & table[column].notna()).to_numpy()
    values, run_ids = table[column].to_numpy(dtype=float), table["run_id"].tolist()
    groups = []
    for key, places in _grouped(table, names):
        kept = places[finished[places]]
        if len(kept):
            params = {name: none_if_missing(value) for name, value in zip(names, key, strict=True)}
            groups.append((params, len(places), values[kept], none_if_missing(run_ids[kept[0]])))
    groups.sort(key=lambda g: (-len(g[2]) / g[1], sign * _mean(g[2])))
    return _entries(groups if count is None else groups[: count + 1])[:count]


def matching(table: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """The trials for which all conditions hold. Raises UserError for a condition that no sweep like this can meet."""
    meeting = np.ones(len(table), dtype=bool)
    for condition in where if len(table) else ():
        meeting &= _holds(table, condition).to_numpy()
    return table[meeting]


def _grouped(table: pd.DataFrame, names: Sequence[str]) -> list[tuple[tuple[Any, ...], Array]]:
    """The values of these hyperparameters, and the places of the rows that have them, in the order of the table."""
    if not names or not len(table):
        return [((), np.arange(len(table)))]
    columns = [PARAMS + name for name in names]
    numbers = table.groupby(columns, dropna=False, sort=False).ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    firsts = table[columns].iloc[order[starts]].itertuples(index=False, name=None)
    return list(zip(firsts, np.split(order, starts[1:]), strict=True))


def _entries(groups: Sequence[tuple[dict[str, Any], int, Array, str | None]]) -> list[Entry]:
    ranks: list[int] = []
    leader = 0
    for place, (_, trials, samples, _) in enumerate(groups):
        _, leader_trials, leader_samples, _ = groups[leader]
        whole = len(samples) == trials and len(leader_samples) == leader_trials
        if place and not (whole and _alike(samples, leader_samples)):
            leader = place
        ranks.append(leader + 1)
    return [
        Entry(rank, ranks.count(rank) > 1, params, trials, len(samples), *_interval(samples), run_id)
        for rank, (params, trials, samples, run_id) in zip(ranks, groups, strict=True)
    ]


def _interval(samples: Array) -> tuple[float, float, float]:
    """Mean, and the ends of its confidence interval."""
    from scipy.special import stdtrit

    mean, count = _mean(samples), len(samples)
    if count < 2:
        return mean, math.nan, math.nan
    scale = _scale(samples)
    half = float(stdtrit(count - 1, (1 + _LEVEL) / 2) * np.std(samples / scale, ddof=1) / math.sqrt(count)) * scale
    return mean, mean - half, mean + half


def _alike(first: Array, second: Array) -> bool:
    """Whether the data can't separate two means."""
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
    """The power of two to divide samples by, so that no sum or square overflows or vanishes. It rounds nothing."""
    return float(2.0 ** np.clip(math.frexp(float(np.abs(samples).max()))[1] - 1, -1000, 1000))


def _holds(table: pd.DataFrame, condition: str) -> pd.Series:
    """Which trials a condition holds for."""
    read = _CONDITION.fullmatch(condition)
    if read is None:
        raise UserError(f"--where {condition!r}: write NAME=VALUE, or <, <=, >, >=, != for =; as learning_rate<0.1")
    name, sign, text = read.groups()
    short = {c.removeprefix(prefix): c for prefix in (PARAMS, METRICS) for c in table.columns if c.startswith(prefix)}
    columns = {
        **{c: c for c in table.columns},
        **short,
    }  # of a loss that was chosen and one that was come to, the latter
    if name not in columns:
        raise UserError(f"--where {condition!r}: no trial has {name!r}{nearest(name, [*short, 'outcome'])}")
    values = table[columns[name]]
    number = pd.to_numeric(values, errors="coerce")
    try:
        wanted = float(text)
    except ValueError:
        if sign not in ("=", "==", "!="):
            raise UserError(f"--where {condition!r}: {text!r} is no number to compare with") from None
        return _COMPARISONS[sign](_words(values), _known_word(values, text, condition))
    return _COMPARISONS[sign](number, wanted)


def _words(values: pd.Series) -> pd.Series:
    """Cells as conditions name them: without blanks, so that [8,8] is [8, 8]."""
    return values.astype(str).str.replace(" ", "")


def _known_word(values: pd.Series, text: str, condition: str) -> str:
    """The word of a condition, which may be in quotes. Raises UserError for one that no trial has."""
    word = text.replace(" ", "")
    if word[:1] in ("'", '"') and word[-1:] == word[:1]:
        word = word[1:-1]
    known = list(dict.fromkeys(_words(values)))
    if word not in known and str(values.name).startswith(PARAMS):
        raise UserError(f"--where {condition!r}: no trial has the value {word!r}{nearest(word, known)}")
    return word


def entry_rows(entries: Sequence[Entry], metric: str) -> list[dict[str, Any]]:
    """A leaderboard's entries; what can't be told apart has one rank, marked with =."""
    grouped = any(entry.trials > 1 for entry in entries)
    rows = []
    for entry in entries:
        row: dict[str, Any] = {"": f"{entry.rank}{'=' if entry.tied else ''}", metric: entry.mean}
        if grouped:
            half = entry.high - entry.mean
            row["±"] = "" if math.isnan(half) else f"{half:.2g}"
            row["seeds"] = f"{entry.finished}/{entry.trials}"
        params = {name: "" if value is None else value for name, value in entry.params.items()}
        rows.append({**row, **params, "best run": (entry.run_id or "")[:_SHORT_ID]})
    return rows
