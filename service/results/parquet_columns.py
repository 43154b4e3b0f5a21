"""Read a large trials' table without copies of its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet


def read_columns(file: Path, names: Sequence[str]) -> pd.DataFrame:
    """Return some columns of a Parquet file of trials (see `service.results.trials_table`).

    `outcome` is a categorical, and whole numbers are int32 if they fit.
    """
    columns = dict(_columns(file, names))
    pa.default_memory_pool().release_unused()  # also what the reader took, which is gone by now
    return pd.DataFrame(columns, copy=False)


def _columns(file: Path, names: Sequence[str]) -> Iterator[tuple[str, pd.Series]]:
    """Yield one column after another, so that none but one is there twice."""
    with pa.parquet.ParquetFile(file, read_dictionary=["outcome"]) as source:
        for name in names:
            yield name, _narrow(source.read([name], use_threads=False).column(name)).to_pandas()


def count_missing(file: Path, name: str) -> int:
    """Return how many rows of a Parquet file have no value in a column; all of them if there is no such column.

    It is read from the file's statistics. Rows of a group without statistics count as missing.
    """
    metadata = pa.parquet.read_metadata(file)
    if name not in metadata.schema.names:
        return int(metadata.num_rows)
    place, missing = metadata.schema.names.index(name), 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        statistics = group.column(place).statistics
        missing += group.num_rows if statistics is None else statistics.null_count
    return missing


def _narrow(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of whole numbers as int32 if they fit, another one as it is."""
    if column.type != pa.int64() or not len(column):
        return column
    ends = pa.compute.min_max(column).as_py()
    fits = all(end is not None and -(2**31) <= end < 2**31 for end in ends.values())
    return column.cast(pa.int32()) if fits else column
