"""Read the trials' table of a sweep that has ended, trials.parquet: some columns, some trials, or a part at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.recording.infos import SweepInfo
from service.recording.old_names import ACTIVATION, columns_to_rename, table_as_written

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from service.results.columns import Choose

_RUN_ID = "run_id"


def read_frame(
    path: Path, sweep: SweepInfo, choose: Choose | None = None, numbers: Sequence[int] | None = None
) -> pd.DataFrame:
    """Return the table with the names of the sweep file.

    choose: chooses the columns, which then have the types of `read_columns`; None for all.
    numbers: of the trials, in any order; None for all. Not with `choose`.
    """
    import pandas as pd
    import pyarrow.parquet

    from service.results.parquet_columns import read_columns

    if choose is None:
        filters = None if numbers is None else [("number", "in", list(numbers))]
        return table_as_written(pd.read_parquet(path, filters=filters), sweep)
    if numbers is not None:
        raise ValueError("choose columns or trials, not both")
    names = pyarrow.parquet.read_schema(path).names
    to_rename = _columns_to_rename(path, names, sweep)
    needed = {*choose(names), *to_rename}
    table = read_columns(path, [name for name in names if name in needed])
    return table_as_written(table, sweep) if to_rename else table


def _columns_to_rename(path: Path, names: Sequence[str], sweep: SweepInfo) -> list[str]:
    """Return `columns_to_rename`, or none if every trial has an activation: then there is nothing to rename."""
    from service.results.parquet_columns import count_missing

    needed = columns_to_rename(names, sweep)
    return needed if needed and count_missing(path, ACTIVATION) else []


def _is_renamed(path: Path, sweep: SweepInfo) -> bool:
    """Return whether an older version recorded some trials with other names."""
    import pandas as pd
    import pyarrow.parquet

    needed = _columns_to_rename(path, pyarrow.parquet.read_schema(path).names, sweep)
    table = pd.read_parquet(path, columns=needed) if needed else None
    return table is not None and table_as_written(table, sweep) is not table


def read_run_ids(path: Path) -> list[str]:
    """Return the run ids of the trials that have runs."""
    import pyarrow.parquet

    if _RUN_ID not in pyarrow.parquet.read_schema(path).names:
        return []
    column = pyarrow.parquet.read_table(path, columns=[_RUN_ID]).column(_RUN_ID)
    return [str(run_id) for run_id in column.drop_null().to_pylist()]


def read_tables(path: Path, sweep: SweepInfo, lost: Collection[str]) -> Iterator[pa.Table]:
    """Yield the rows some at a time, all with the same columns; at least one table, which may have no rows.

    lost: run ids that are left out.
    """
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    if _is_renamed(path, sweep):  # which columns are left depends on all rows
        tables = iter([pa.Table.from_pandas(read_frame(path, sweep), preserve_index=False)])
    else:
        groups = map(file.read_row_group, range(file.num_row_groups))
        tables = groups if file.num_row_groups else iter([file.schema_arrow.empty_table()])
    for table in tables:
        if lost and _RUN_ID in table.column_names:
            is_lost = pyarrow.compute.is_in(table.column(_RUN_ID), value_set=pa.array(lost, pa.string()))
            there = pyarrow.compute.if_else(is_lost, None, table.column(_RUN_ID))
            table = table.set_column(table.column_names.index(_RUN_ID), _RUN_ID, there)
        yield table
