"""How many combinations of values a table has, without a copy of it: it may have millions of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

_MOST_CODES = 1 << 28  # combinations that are counted with a byte for each


def count_combinations(table: pd.DataFrame, columns: Sequence[str]) -> int:
    """Return the number of different rows that a table has in these columns. A missing value is a value."""
    codes, size = np.zeros(len(table), dtype=np.int32), 1
    for column in columns:
        places, values = pd.factorize(table[column], use_na_sentinel=False)
        size *= len(values)
        if size > _MOST_CODES:
            places, found = pd.factorize(codes.astype(np.int64) * len(values) + places)
            codes, size = places.astype(np.int32), len(found)
        else:
            codes *= len(values)
            codes += places.astype(np.int32)
    there = np.zeros(size, dtype=bool)
    there[codes] = True
    return int(np.count_nonzero(there))
