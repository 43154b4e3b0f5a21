"""The trials' table of a running sweep, on this machine's disk: a sweep may have more trials than memory holds."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from experiments.hyperparameters import in_order
from service.results.columns import main_columns
from service.results.metrics import METRICS, PARAMS, test_metric
from service.results.parquet_columns import count_missing, read_columns
from service.results.trials_table import FIRST_COLUMNS, OUTCOME_COLUMNS, metric_order

_IN_MEMORY = 20_000  # rows
_MAIN_METRICS = ("loss", "accuracy", "test_loss", "test_accuracy", "validation_loss", "validation_accuracy")
_A_GROUP = 2_000  # rows of such a file that are read at once: rows that come in any order are read for many windows
_AT_ONCE = 20_000  # rows of the whole table that are written at once, a row group


@dataclass(frozen=True)
class _File:
    """A file of rows. first, last: the least and the greatest number of their trials."""

    path: Path
    first: int
    last: int


class RowSpool:
    """Collects rows of the trials' table in any order, on disk; writes them in the order of the trials' numbers.

    Its files are removed when it is closed, or when nothing refers to it.
    """

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._files: list[_File] = []
        self._rows = 0
        self._last = -1
        self._schemas: list[pa.Schema] = []
        self._runs: dict[int, str] = {}
        self._written: Path | None = None  # the whole table's file, until something is added
        self._folder: Path | None = None
        self._remove: Callable[[], object] = lambda: None

    def __len__(self) -> int:
        """The number of rows."""
        return self._rows

    def add(self, rows: pa.Table) -> None:
        """Add rows. Each trial may be added once."""
        if not len(rows):
            return
        self._written = None
        self._parts.append(rows)
        self._rows += len(rows)
        self._last = max(self._last, pa.compute.max(rows.column("number")).as_py())
        if rows.schema not in self._schemas:
            self._schemas.append(rows.schema)
        if sum(map(len, self._parts)) >= _IN_MEMORY:
            self._spill()

    def add_run(self, number: int, run_id: str) -> None:
        """Add the run id of a trial whose row has none. number: the trial's."""
        self._written = None
        self._runs[number] = run_id

    def write(self) -> Path:
        """Write the whole table to a file trials.parquet (see `service.results.trials_table`) and return its path."""
        if self._written is not None:
            return self._written
        schema = self._schema()
        path = self._path("trials")
        with pa.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            for table in self._windows():
                writer.write_table(_with_runs(_conformed(table, schema), self._runs))
        pa.default_memory_pool().release_unused()  # else the windows stay with the process
        self._written = path
        return path

    def close(self) -> None:
        """Remove the files."""
        self._remove()
        self._folder = self._written = None

    def _schema(self) -> pa.Schema:
        if not self._schemas:
            texts = [*FIRST_COLUMNS[1:], OUTCOME_COLUMNS[0]]
            names = [*FIRST_COLUMNS, *OUTCOME_COLUMNS]
            return pa.schema([(name, pa.string() if name in texts else pa.int64()) for name in names])
        schema = pa.unify_schemas([s.remove_metadata() for s in self._schemas], promote_options="permissive")
        given = [name.removeprefix(PARAMS) for name in schema.names if name.startswith(PARAMS)]
        params = [PARAMS + name for name in in_order(given)]
        metrics = sorted((name for name in schema.names if name.startswith(METRICS)), key=metric_order)
        names = [*FIRST_COLUMNS, *params, *OUTCOME_COLUMNS, *metrics]
        return pa.schema([schema.field(name) for name in names])

    def _windows(self) -> Iterator[pa.Table]:
        """Yield the rows by number, so many numbers at a time."""
        rest = [_sorted(self._parts)] if self._parts else []
        for first in range(0, self._last + 1, _AT_ONCE):
            end = first + _AT_ONCE
            files = [file.path for file in self._files if file.first < end and file.last >= first]
            parts = [
                *(_read_between(file, first, end) for file in files),
                *(_between(part, first, end) for part in rest),
            ]
            filled = [part for part in parts if len(part)]
            if filled:
                yield _sorted(filled)

    def _spill(self) -> None:
        """Move the rows in memory to a file."""
        table = _sorted(self._parts)
        path = self._path(str(len(self._files)))
        pa.parquet.write_table(table, path, row_group_size=_A_GROUP, compression="zstd")
        numbers = table.column("number")
        self._files.append(_File(path, numbers[0].as_py(), numbers[-1].as_py()))
        self._parts = []

    def _path(self, name: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="gradgrid-"))
            self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / f"{name}.parquet"


def _sorted(parts: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all parts by number."""
    table = pa.concat_tables(parts, promote_options="permissive")
    numbers = table.column("number").to_numpy()
    return table if (np.diff(numbers) > 0).all() else table.take(np.argsort(numbers))


def _between(table: pa.Table, first: int, end: int) -> pa.Table:
    """Return the rows with numbers from `first` to before `end`. table: sorted by number."""
    start, stop = np.searchsorted(table.column("number").to_numpy(), (first, end))
    return table.slice(start, stop - start)


def _read_between(file: Path, first: int, end: int) -> pa.Table:
    """Return these rows of a file. Reads no row group without one."""
    groups = _read_groups(file, lambda low, high: low < end and high >= first)
    return pa.concat_tables([_between(rows, first, end) for rows in groups])


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the schema's columns; those that it has not are missing values."""
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _with_runs(table: pa.Table, run_ids: Mapping[int, str]) -> pa.Table:
    if not run_ids:
        return table
    given, numbers = table.column("run_id").to_pylist(), table.column("number").to_pylist()
    texts = [run_id or run_ids.get(number) for number, run_id in zip(numbers, given, strict=True)]
    return table.set_column(table.column_names.index("run_id"), "run_id", pa.array(texts, pa.string()))


def read_row(file: Path, number: int) -> pd.Series:
    """Return the row of the trial with this number. file: a Parquet file of the whole table."""
    return _rows_of(file, [number]).to_pandas().iloc[0]


def read_run_ids(file: Path, numbers: Sequence[int]) -> list[str | None]:
    """Return the run ids of the trials with these numbers, in their order; None for a trial without a run.

    file: a Parquet file of the whole table.
    """
    rows = _rows_of(file, numbers, ["number", "run_id"])
    found = dict(zip(rows.column("number").to_pylist(), rows.column("run_id").to_pylist(), strict=True))
    return [found[number] for number in numbers]


def _rows_of(file: Path, numbers: Sequence[int], columns: list[str] | None = None) -> pa.Table:
    """Return the rows of the trials with these numbers. columns: the columns to read; None for all."""
    wanted = np.sort(np.asarray(numbers, dtype=np.int64))

    def has_some(low: int, high: int) -> bool:
        return bool(np.searchsorted(wanted, low) < np.searchsorted(wanted, high, side="right"))

    def chosen(rows: pa.Table) -> pa.Table:
        return rows.filter(pa.compute.is_in(rows.column("number"), value_set=pa.array(wanted)))

    parts = [chosen(rows) for rows in _read_groups(file, has_some, columns)]
    pa.default_memory_pool().release_unused()
    return pa.concat_tables(parts)


def _read_groups(
    file: Path, wanted: Callable[[int, int], bool], columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Yield a table without rows, and then the row groups of a file that are wanted.

    wanted: takes the least and the greatest number of a group's trials.
    columns: the columns to read; None for all.
    """
    with pa.parquet.ParquetFile(file) as source:
        yield source.read_row_groups([], columns=columns)
        place = source.metadata.schema.names.index("number")
        for k in range(source.num_row_groups):
            ends = source.metadata.row_group(k).column(place).statistics
            if wanted(ends.min, ends.max):
                yield source.read_row_group(k, columns=columns, use_threads=False)


def count_runs(file: Path) -> int:
    """Return the number of trials that have a run. file: a Parquet file of the whole table."""
    return int(pa.parquet.read_metadata(file).num_rows) - count_missing(file, "run_id")


def main_metrics(file: Path, objective: str) -> list[str]:
    """Return those of the objective, the losses and the accuracies that a trials' table has, in the table's order.

    file: a Parquet file of the table.
    """
    main = {METRICS + name for name in (objective, *_MAIN_METRICS)}
    return [name.removeprefix(METRICS) for name in pa.parquet.read_schema(file).names if name in main]


def read_overview(file: Path, objective: str, swept: Sequence[str]) -> pd.DataFrame:
    """Return a trials' table without the columns that take most memory.

    file: a Parquet file of the whole table.
    It has no `trial`, `run_id` and `last_step`; of the hyperparameters only the swept ones; and of the metrics the
    objective, with its value on the test part if the objective is of the validation part. For its types see
    `read_columns`.
    """
    names = pa.parquet.read_schema(file).names
    return read_columns(file, main_columns(names, swept, (objective, test_metric(objective))))
