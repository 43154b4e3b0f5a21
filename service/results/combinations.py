"""How many combinations of values a table has, without a copy of it: it may have millions of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

_MOST_CODES = 1 << 26  # combinations that are counted with a number for each


def count_combinations(table: pd.DataFrame, columns: Sequence[str]) -> int:
    """Return the number of different rows that a table has in these columns. A missing value is a value."""
    codes, size = np.zeros(len(table), dtype=np.int64), 1
    for column in columns:
        places, values = pd.factorize(table[column], use_na_sentinel=False)
        codes *= len(values)
        codes += places
        size *= len(values)
        if size > _MOST_CODES:
            codes, found = pd.factorize(codes)
            size = len(found)
    return int(np.count_nonzero(np.bincount(codes)))
