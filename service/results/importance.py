"""The importance of each axis: its share of the variance of the results, exact because the grid is complete.

The result of a trial is its rank by the metric. Diverged trials share the last rank, so that a loss of 1e30 does not
drown the rest. `first_order` is the share of the variance between an axis's own means (Sobol, 1993). `total` is the
share left when all other axes are fixed (Homma and Saltelli, 1996), so it includes the interactions. The seed's share
measures chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from engine import DIVERGED
from service.results.metrics import METRICS, PARAMS, lower_is_better


@dataclass(frozen=True)
class Importance:
    """Shares of the variance, from 0 to 1."""

    axis: str
    first_order: float
    total: float


def importance(table: pd.DataFrame, metric: str, swept: Sequence[str]) -> list[Importance]:
    """The importance of each axis that differs, the greatest first; none if all trials came to the same result."""
    values = table[METRICS + metric].where(table["outcome"] != DIVERGED).astype(float)
    ranks = values.rank(ascending=lower_is_better(metric), na_option="bottom")
    total = ranks.var(ddof=0)
    names = [name for name in swept if PARAMS + name in table and table[PARAMS + name].nunique(dropna=False) > 1]
    if not total or len(table) < 2:
        return []
    keys = {name: table[PARAMS + name] for name in names}
    found = []
    for name in names:
        means = ranks.groupby(keys[name], dropna=False).transform("mean")
        others = [key for other, key in keys.items() if other != name]
        rest = ranks.groupby(others, dropna=False).transform("mean") if others else pd.Series(ranks.mean(), ranks.index)
        found.append(Importance(name, float(means.var(ddof=0) / total), float(((ranks - rest) ** 2).mean() / total)))
    return sorted(found, key=lambda share: -share.total)
