"""Writing a sweep's trials in a format of the user's choice."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from experiments.errors import UserError
from service.inspection.files import write_file
from service.recording.infos import SweepInfo
from service.recording.store import Store


def _write_parquet(tables: Iterator[pa.Table], path: Path) -> int:
    rows, first = 0, next(tables)
    with pyarrow.parquet.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table)
            rows += len(table)
    return rows


def _write_csv(tables: Iterator[pa.Table], path: Path) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for index, table in enumerate(tables):
            _frame(table).to_csv(file, index=False, header=index == 0)
            rows += len(table)
    return rows


def _write_json(tables: Iterator[pa.Table], path: Path) -> int:
    rows = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for table in tables:
            for row in table.to_pylist():
                values = {name: None if _is_no_number(value) else value for name, value in row.items()}
                file.write(f"{',' * (rows > 0)}\n{json.dumps(values, ensure_ascii=False)}")
                rows += 1
        file.write("\n]\n")
    return rows


FORMATS: dict[str, Callable[[Iterator[pa.Table], Path], int]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "json": _write_json,
}
"""Ending of a file -> what writes tables to it, and returns the number of rows."""


def export_sweep(store: Store, sweep: SweepInfo, path: Path) -> int:
    """Write the sweep's trials in the format of the file's ending, and return how many there are.

    The columns are those of `service.results.trials_table`. Raises UserError for another ending, NotFoundError if the
    sweep has not ended, GradgridError if the file can't be written.
    """
    write = FORMATS.get(path.suffix.lstrip(".").lower())
    if write is None:
        raise UserError(f"{path}: the name of the file says its format; end it in .{', .'.join(FORMATS)}")
    return write_file(path, lambda partial: write(store.tables(sweep), partial))


def _is_no_number(value: object) -> bool:
    """Return whether a value is NaN or infinite, for which JSON has no word."""
    return isinstance(value, float) and not math.isfinite(value)


def _frame(table: pa.Table) -> pd.DataFrame:
    """Return rows in which whole numbers stay whole where some are missing, so that parts look alike."""
    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
