"""Read what a sweep's own run has as files: its sweep file, its data, and the table and curves of its trials."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import NotFoundError, StoreError
from service.recording.connection import translated_errors
from service.recording.deleted import lost_runs
from service.recording.finding import Finder
from service.recording.infos import SweepInfo
from service.recording.parquet_parts import CURVES_FOLDER, ROWS_FOLDER, read_parts
from service.recording.sqlite_reader import Unreadable
from service.recording.trials_file import read_frame, read_run_ids, read_tables
from service.recording.weights import WEIGHTS_FILE

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from engine.arrays import Floats, Integers, Words
    from service.results.columns import Choose

SPEC_FILE, PARTS_FILE, DATA_FILE, FRAME_FILE = "spec.yaml", "parts.py", "dataset.json", "data.parquet"
"""Names of the sweep file, the custom functions, the description of the data, and the data if they come from Python."""

POINTS_FILE, BATCH = "points.parquet", "batch"
"""Name of the table of the points that a search has asked for, and of its column with the number of their batch."""

COMPARED_FILE = "compared.parquet"
"""Name of the table of a comparison of trials that the budget cut short."""

STEPS_FILE = "steps.parquet"
"""Name of the table of the steps that each trial is trained for, by its number, if some are stopped before the last."""

BRACKETS_FILE = "brackets.parquet"
"""Name of the table of the rung at which each trial is compared first, by its number, if there are several brackets."""

_TABLE_FILE = "trials.parquet"


class SweepFiles(Finder):
    """Finds sweeps, and reads the files of their runs. Every failure is a StoreError."""

    def final_weights(self, run_id: str) -> list[dict[str, Any]] | None:
        """Return the trial's tensors, with name, shape and values; None if they were not recorded."""
        if WEIGHTS_FILE not in self._artifacts.names(run_id):
            return None
        tensors: list[dict[str, Any]] = json.loads(self._read(run_id, WEIGHTS_FILE))["tensors"]
        return tensors

    def spec(self, sweep: SweepInfo) -> Any:
        """Return the content of the sweep file."""
        import yaml

        return yaml.safe_load(self._read(sweep.run_id, SPEC_FILE))

    def data(self, sweep: SweepInfo) -> dict[str, Any]:
        """Return the description of the sweep's data."""
        description: dict[str, Any] = json.loads(self._read(sweep.run_id, DATA_FILE))
        return description

    def frame(self, sweep: SweepInfo) -> bytes:
        """Return the Parquet file of a sweep's data that came from Python."""
        return self._read(sweep.run_id, FRAME_FILE)

    def steps(self, sweep: SweepInfo) -> Integers | None:
        """Return the steps that each trial is trained for, as they are decided so far, (trials,); None without any."""
        import numpy as np

        table = self._columns(sweep, STEPS_FILE)
        return None if table is None else np.asarray(table.column("steps").to_numpy(), dtype=np.int64)

    def brackets(self, sweep: SweepInfo) -> Integers | None:
        """Return the index of the rung at which each trial is compared first, (trials,); None if it is 0 for all."""
        table = self._columns(sweep, BRACKETS_FILE)
        return None if table is None else table.column("first").to_numpy()

    def compared(self, sweep: SweepInfo) -> tuple[int, Integers, Floats] | None:
        """Return a comparison that was not finished: steps, numbers of trials, and their values; None without one."""
        table = self._columns(sweep, COMPARED_FILE)
        if table is None or not len(table):
            return None
        return (
            int(table.column("steps")[0].as_py()),
            table.column("number").to_numpy(),
            table.column("value").to_numpy(),
        )

    def _columns(self, sweep: SweepInfo, name: str) -> pa.Table | None:
        """Return a table of the sweep's run; None if there is none. Raises StoreError if it can't be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if name not in self._artifacts.names(sweep.run_id):
            return None
        with self._file(sweep.run_id, name) as path:
            try:
                return pq.read_table(path)
            except pa.ArrowInvalid as error:
                raise StoreError(
                    f"{name} of the sweep {sweep.sweep} can't be read ({error}): restore it from a copy, or start a "
                    "new sweep"
                ) from None

    def points(self, sweep: SweepInfo) -> tuple[Words, Integers] | None:
        """Return the points that a search has asked for so far, and the batch of each; None without any.

        They are coordinates, (points, dimensions), and numbers, (points,).
        """
        import numpy as np

        table = self._columns(sweep, POINTS_FILE)
        if table is None:
            return None
        columns = [table.column(name).to_numpy() for name in table.column_names if name != BATCH]
        return np.stack(columns, axis=1).astype(np.uint64), table.column(BATCH).to_numpy()

    def parts(self, sweep: SweepInfo) -> str:
        """Return the text of the sweep's file of custom functions; empty if there was none."""
        if PARTS_FILE not in self._artifacts.names(sweep.run_id):
            return ""
        return self._read(sweep.run_id, PARTS_FILE).decode("utf-8")

    def table(
        self, sweep: SweepInfo, choose: Choose | None = None, numbers: Sequence[int] | None = None
    ) -> pd.DataFrame:
        """Return the sweep's trials.parquet.

        choose: chooses the columns; None for all.
        numbers: of the trials to return, in any order; None for all. Not with `choose`.
        Raises NotFoundError if the sweep is running or was killed.
        """
        with self._table_file(sweep) as path:
            table = read_frame(path, sweep, choose, numbers)
        lost = self._lost_runs(sweep, table["run_id"].dropna()) if "run_id" in table else set()
        return table.assign(run_id=table["run_id"].where(~table["run_id"].isin(lost), None)) if lost else table

    def whole_rows(self, sweep: SweepInfo, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows of the sweep's table with all their columns. rows: with some, of a table as `table` returns it.

        The rows of a sweep that has not ended have all of them.
        """
        if not sweep.ended or not len(rows):
            return rows
        whole = self.table(sweep, numbers=rows["number"].tolist())
        return whole.set_index("number", drop=False).loc[rows["number"]].reset_index(drop=True)

    def tables(self, sweep: SweepInfo) -> Iterator[pa.Table]:
        """Yield the rows of the sweep's trials.parquet some at a time, all with the same columns; at least one table.

        Raises NotFoundError if the sweep is running or was killed.
        """
        with self._table_file(sweep) as path:
            yield from read_tables(path, sweep, self._lost_runs(sweep, read_run_ids(path)))

    @contextmanager
    def _table_file(self, sweep: SweepInfo) -> Iterator[Path]:
        """Yield the path of the sweep's trials.parquet, or of a copy on this machine."""
        if not sweep.ended:
            raise NotFoundError(
                f"the sweep {sweep.sweep} has not ended, so it has no table: wait for it; "
                f"`gradgrid resume {sweep.sweep}` completes a sweep that was killed"
            )
        with self._file(sweep.run_id, _TABLE_FILE) as path:
            yield path

    def read_rows(self, sweep: SweepInfo, choose: Choose | None = None) -> pd.DataFrame:
        """Return the rows of the sweep's table that were written so far; may be empty.

        choose: chooses the columns; None for all.
        """
        import pyarrow as pa

        parts, names = [], dict[str, None]()
        for rows in self.row_tables(sweep):
            names |= dict.fromkeys(rows.column_names)
            chosen = {"trial", *(rows.column_names if choose is None else choose(list(names)))}
            parts.append(rows.select([name for name in rows.column_names if name in chosen]))
        if not parts:
            return read_parts((), ["trial"])
        table = pa.concat_tables(parts, promote_options="permissive").to_pandas()
        return table.drop_duplicates("trial", ignore_index=True)

    def row_tables(self, sweep: SweepInfo) -> Iterator[pa.Table]:
        """Yield those rows, some at a time. A trial may come several times."""
        from pyarrow import ArrowInvalid

        table = [name for name in self._artifacts.names(sweep.run_id) if name == _TABLE_FILE]
        for name in [*table, *self._artifacts.names(sweep.run_id, ROWS_FOLDER)]:
            with self._file(sweep.run_id, name) as path, suppress(ArrowInvalid):  # cut off by a kill: trained again
                yield from filter(len, read_tables(path, sweep, lost=()))

    def curves(self, sweep: SweepInfo) -> pd.DataFrame:
        """Return the curves that were recorded as files, one row a point: number, step, metrics. It may be empty."""
        names = self._artifacts.names(sweep.run_id, CURVES_FOLDER)
        points = read_parts(self._parts(sweep, names), ["number", "step"])
        return points.sort_values(["number", "step"], ignore_index=True) if len(points) else points

    def _parts(self, sweep: SweepInfo, names: Sequence[str]) -> Iterator[bytes]:
        return (self._read(sweep.run_id, name) for name in names)

    def _lost_runs(self, sweep: SweepInfo, run_ids: Collection[str]) -> set[str]:
        """Return those of a sweep's runs that were deleted."""
        if not len(run_ids):
            return set()
        if self._reader:
            with suppress(Unreadable):
                return self._reader.lost_runs(sweep.experiment_id, run_ids)
        with translated_errors(self.uri):
            return lost_runs(self._runs, sweep.experiment_id, run_ids)

    def _read(self, run_id: str, name: str) -> bytes:
        """Return the content of an artifact."""
        with self._file(run_id, name) as path:
            return path.read_bytes()

    @contextmanager
    def _file(self, run_id: str, name: str) -> Iterator[Path]:
        """Yield the path of an artifact, or of a copy on this machine."""
        path = None
        if self._reader:
            with suppress(Unreadable):
                path = self._reader.artifact(run_id, name)
        with nullcontext(path) if path else self._artifacts.file(run_id, name) as path:
            yield path
