"""The importance of each axis: its share of the variance of the results. It is exact, because the grid is complete.

A trial's result is its rank by the metric. Diverged trials share the last rank, so that a loss of 1e30 does not
outweigh everything else. `first_order` is the variance of the mean ranks of an axis's values (Sobol, 1993). `total` is
the variance that remains when all other axes are fixed (Homma and Saltelli, 1996), so it includes interactions. Both
are shares of the whole variance. The seed's share measures chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from engine import DIVERGED
from service.results.metrics import METRICS, PARAMS, lower_is_better


@dataclass(frozen=True)
class Importance:
    """The importance of an axis.

    axis: the hyperparameter.
    first_order: the share of the variance that the axis explains by itself, from 0 to 1.
    total: the same with its interactions with other axes.
    """

    axis: str
    first_order: float
    total: float


def importance(table: pd.DataFrame, metric: str, swept: Sequence[str]) -> list[Importance]:
    """Return the importance of each axis with more than one value, the greatest total first.

    Empty if all trials have the same result.
    table: see `service.results.trials_table`; it has the column of the metric.
    metric: its name, without prefix.
    swept: the swept hyperparameters.
    """
    values = table[METRICS + metric].where(table["outcome"] != DIVERGED).astype(float)
    ranks = values.rank(ascending=lower_is_better(metric), na_option="bottom")
    total = ranks.var(ddof=0)
    names = [name for name in swept if PARAMS + name in table and table[PARAMS + name].nunique(dropna=False) > 1]
    if not total or len(table) < 2:
        return []
    keys = {name: table[PARAMS + name] for name in names}
    shares = []
    for name in names:
        means = ranks.groupby(keys[name], dropna=False).transform("mean")
        others = [key for other, key in keys.items() if other != name]
        rest = ranks.groupby(others, dropna=False).transform("mean") if others else pd.Series(ranks.mean(), ranks.index)
        shares.append(Importance(name, float(means.var(ddof=0) / total), float(((ranks - rest) ** 2).mean() / total)))
    return sorted(shares, key=lambda share: -share.total)
