"""The trials' table of a running sweep, on this machine's disk: a sweep may have more trials than memory holds."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet

from experiments.hyperparameters import HYPERPARAMETERS
from service.results.metrics import METRICS, PARAMS
from service.results.trials_table import FIRST_COLUMNS, OUTCOME_COLUMNS, metric_order

if TYPE_CHECKING:
    import pandas as pd

_IN_MEMORY = 50_000  # rows


class RowSpool:
    """Takes rows of the trials' table in any order; returns them in the order of the trials' numbers."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._files: list[Path] = []
        self._rows = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __len__(self) -> int:
        """The number of rows."""
        return self._rows

    def add(self, rows: pa.Table) -> None:
        """Add rows. Each trial may be added once."""
        if not len(rows):
            return
        self._parts.append(rows)
        self._rows += len(rows)
        if sum(map(len, self._parts)) >= _IN_MEMORY:
            self._write()

    def table(self) -> pd.DataFrame:
        """Return the table (see `service.results.trials_table`)."""
        parts = [*(pyarrow.parquet.read_table(file) for file in self._files), *self._parts]
        if not parts:
            import pandas as pd

            return pd.DataFrame(columns=[*FIRST_COLUMNS, *OUTCOME_COLUMNS])
        return _sorted(parts).to_pandas()

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()

    def _write(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="gradgrid-")
        path = Path(self._folder.name) / f"{len(self._files)}.parquet"
        pyarrow.parquet.write_table(_sorted(self._parts), path, compression="zstd")
        self._files.append(path)
        self._parts = []


def _sorted(parts: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all parts by number, with the columns in their order."""
    table = pa.concat_tables(parts, promote_options="permissive").sort_by("number")
    params = [PARAMS + name for name in HYPERPARAMETERS if PARAMS + name in table.column_names]
    metrics = sorted((name for name in table.column_names if name.startswith(METRICS)), key=metric_order)
    return table.select([*FIRST_COLUMNS, *params, *OUTCOME_COLUMNS, *metrics])
