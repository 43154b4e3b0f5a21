"""The trials' table of a running sweep, on this machine's disk: a sweep may have more trials than memory holds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from experiments.hyperparameters import in_order
from service.results.columns import main_columns
from service.results.metrics import METRICS, PARAMS, test_metric
from service.results.trials_table import FIRST_COLUMNS, OUTCOME_COLUMNS, metric_order

_IN_MEMORY = 50_000  # rows
_MAIN_METRICS = ("loss", "accuracy", "test_loss", "test_accuracy", "validation_loss", "validation_accuracy")
_AT_ONCE = 50_000  # rows of the whole table that are written at once, a row group


@dataclass(frozen=True)
class _File:
    """A file of rows. first, last: the least and the greatest number of their trials."""

    path: Path
    first: int
    last: int


class RowSpool:
    """Collects rows of the trials' table in any order, on disk; writes them in the order of the trials' numbers."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._files: list[_File] = []
        self._rows = 0
        self._last = -1
        self._schemas: list[pa.Schema] = []
        self._runs: dict[int, str] = {}
        self._written: Path | None = None  # the whole table's file, until something is added
        self._folder: tempfile.TemporaryDirectory[str] | None = None

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
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

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
        for first in range(0, self._last + 1, _AT_ONCE):
            end = first + _AT_ONCE
            conditions = [("number", ">=", first), ("number", "<", end)]
            files = [file.path for file in self._files if file.first < end and file.last >= first]
            inside = (pa.compute.field("number") >= first) & (pa.compute.field("number") < end)
            parts = [pa.parquet.read_table(file, filters=conditions) for file in files]
            parts += [part.filter(inside) for part in self._parts]
            filled = [part for part in parts if len(part)]
            if filled:
                yield pa.concat_tables(filled, promote_options="permissive").sort_by("number")

    def _spill(self) -> None:
        """Move the rows in memory to a file."""
        table = pa.concat_tables(self._parts, promote_options="permissive").sort_by("number")
        path = self._path(str(len(self._files)))
        pa.parquet.write_table(table, path, compression="zstd")
        numbers = table.column("number")
        self._files.append(_File(path, numbers[0].as_py(), numbers[-1].as_py()))
        self._parts = []

    def _path(self, name: str) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="gradgrid-")
        return Path(self._folder.name) / f"{name}.parquet"


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
    return pa.parquet.read_table(file, filters=[("number", "=", number)]).to_pandas().iloc[0]


def main_metrics(file: Path, objective: str) -> list[str]:
    """Return those of the objective, the losses and the accuracies that a trials' table has, in the table's order.

    file: a Parquet file of the table.
    """
    main = {METRICS + name for name in (objective, *_MAIN_METRICS)}
    return [name.removeprefix(METRICS) for name in pa.parquet.read_schema(file).names if name in main]


def read_overview(file: Path, objective: str, swept: Sequence[str]) -> pd.DataFrame:
    """Return a trials' table without the columns that take most memory.

    file: a Parquet file of the whole table.
    It has no `trial`; of the hyperparameters only the swept ones; and of the metrics the objective, with its value on
    the test part if the objective is of the validation part.
    """
    names = main_columns(pa.parquet.read_schema(file).names, swept, (objective, test_metric(objective)))
    # one column after another, so that none but one is there twice
    table = pa.parquet.read_table(file, columns=names, use_threads=False, pre_buffer=False)
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    del table
    pa.default_memory_pool().release_unused()
    return frame
