"""Read the tables that a sweep writes while it runs, as one Parquet file a shard."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def read_parts(files: Iterable[bytes], key: list[str]) -> pd.DataFrame:
    """Return the rows of such files as one table; no rows if there are no files.

    key: the columns that identify a row. Of two rows with the same key, the first is taken.
    """
    import pandas as pd
    import pyarrow

    parts = []
    for content in files:
        with suppress(pyarrow.ArrowInvalid):  # cut off by a kill: these trials are trained again
            parts.append(pd.read_parquet(io.BytesIO(content)))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True).drop_duplicates(key) if parts else pd.DataFrame()
