"""A shard's trials as runs, in columns: an Arrow table with a row for each run. Every recorder takes one.

| column | Arrow type | meaning |
|---|---|---|
| `number` | int64 | the trial's position in the grid |
| `trial` | string | the trial's id, 32 hexadecimal digits |
| `run_id` | string | the id of the trial's run, for recorders that choose it themselves |
| `name` | string | the run's name |
| `status` | string | of the run, `FINISHED` or `FAILED` |
| `start_time`, `end_time` | int64 | of the run, milliseconds since 1970 |
| `params.<name>` | string | a hyperparameter |
| `tags.<name>` | string | a tag; see `Tag` |
| `step`, `time` | list of int64 | a run's recorded points: the step, rising, and the time in milliseconds since 1970 |
| `curves.<name>` | list of float64 or float32 | a metric at those points; it may be infinite or NaN |
| `measures.<name>` | float64 | a metric of the final weights alone; it has one point, the last |
| `weights` | list of float64 or float32 | the final weights, one tensor after another; left out if written elsewhere |

The table's metadata has names and shapes of the tensors. The worker that trains a shard makes its table. A table is
columns of plain memory, so Ray hands it to a recorder without a copy, and a recorder turns it into its store's form
without a Python object for each point.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from engine.arrays import Flags, Floats, Integers
from engine.tensors import Tensor, split
from service.recording.trial_record import TrialRecord

PARAMS, TAGS, CURVES, MEASURES = "params.", "tags.", "curves.", "measures."
"""What the names of the columns begin with."""

_TENSORS = b"gradgrid.tensors"


@dataclass(frozen=True)
class RunTable:
    """A table with the columns of this module."""

    table: pa.Table

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Sequence[Any] | Integers],
        *,
        params: Mapping[str, Sequence[str]],
        tags: Mapping[str, Sequence[str]],
        points: Integers,
        step: Integers,
        time: Integers,
        curves: Mapping[str, Floats],
        measures: Mapping[str, Floats],
        weights: Floats,
        tensors: Sequence[Tensor],
    ) -> RunTable:
        """Return the table of these columns.

        columns: number, trial, run_id, name, status, start_time and end_time, (runs,) each.
        params, tags: name -> (runs,) texts.
        points: (runs,) the number of points of each run.
        step, time, curves: (points of all runs,), run after run.
        measures: (runs,) values of metrics that have a last point alone.
        weights: (runs, weights), flat in the order of `tensors`.
        """
        offsets = pa.array(np.concatenate([[0], np.cumsum(points)]), pa.int32())

        def lists(values: Integers | Floats) -> pa.ListArray:
            return pa.ListArray.from_arrays(offsets, pa.array(values))

        runs, width = weights.shape
        weight_offsets = pa.array(np.arange(runs + 1) * width, pa.int32())
        arrays = {
            **{name: pa.array(values) for name, values in columns.items()},
            **{PARAMS + name: pa.array(texts, pa.string()) for name, texts in params.items()},
            **{TAGS + name: pa.array(texts, pa.string()) for name, texts in tags.items()},
            "step": lists(step),
            "time": lists(time),
            **{CURVES + name: lists(values) for name, values in curves.items()},
            **{MEASURES + name: pa.array(values) for name, values in measures.items()},
            "weights": pa.ListArray.from_arrays(weight_offsets, pa.array(weights.ravel())),
        }
        shapes = json.dumps([[tensor.name, list(tensor.shape)] for tensor in tensors])
        return cls(pa.table(arrays, metadata={_TENSORS: shapes.encode()}))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return int(self.table.nbytes)

    def slice(self, first: int, count: int) -> RunTable:
        """Return the runs from the one at position `first`, at most `count` of them."""
        return RunTable(self.table.slice(first, count))

    def select(self, chosen: Flags | Sequence[bool]) -> RunTable:
        """Return the chosen runs. chosen: (runs,)."""
        return RunTable(self.table.filter(pa.array(chosen, pa.bool_())))

    def without_weights(self) -> RunTable:
        """Return the runs without the column `weights`."""
        return RunTable(self.table.drop_columns(["weights"]))

    @property
    def has_weights(self) -> bool:
        """Whether it has the column `weights`."""
        return "weights" in self.table.column_names

    def texts(self, column: str) -> list[str]:
        """Return a column of texts, (runs,)."""
        return list(self.table.column(column).to_pylist())

    def integers(self, column: str) -> Integers:
        """Return a column of integers, (runs,)."""
        return np.asarray(self.table.column(column).to_numpy())

    @cached_property
    def params(self) -> dict[str, list[str]]:
        """Hyperparameter -> its text for each run."""
        return self._texts_of(PARAMS)

    @cached_property
    def tags(self) -> dict[str, list[str]]:
        """Tag -> its text for each run."""
        return self._texts_of(TAGS)

    @cached_property
    def curve_names(self) -> list[str]:
        """The names of the metrics that are curves."""
        return self._names_of(CURVES)

    @cached_property
    def measure_names(self) -> list[str]:
        """The names of the metrics that have a last point alone."""
        return self._names_of(MEASURES)

    @cached_property
    def points(self) -> Integers:
        """(runs,) the number of points of each run."""
        lengths = self.table.column("step").combine_chunks().value_lengths()
        return np.asarray(lengths.to_numpy(zero_copy_only=False)).astype(np.int64)

    @property
    def steps(self) -> Integers:
        """(points,) the steps of all runs, run after run."""
        return np.asarray(self._flat("step"))

    @property
    def times(self) -> Integers:
        """(points,) the times of all runs, run after run."""
        return np.asarray(self._flat("time"))

    def curve(self, name: str) -> Floats:
        """Return a metric at all points, run after run, (points,)."""
        return np.asarray(self._flat(CURVES + name))

    def measure(self, name: str) -> Floats:
        """Return a metric of the final weights, (runs,)."""
        return np.asarray(self.table.column(MEASURES + name).to_numpy())

    @cached_property
    def last_points(self) -> Integers:
        """(runs,) the position of each run's last point among the points of all runs."""
        return np.asarray(np.cumsum(self.points) - 1)

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """Names and shapes of the weights."""
        shapes = json.loads(self.table.schema.metadata[_TENSORS])
        return tuple(Tensor(name, tuple(shape)) for name, shape in shapes)

    def weights(self) -> Iterator[list[dict[str, Any]]]:
        """Yield each run's final weights: a dict of name, shape and values for each tensor."""
        width = sum(tensor.size for tensor in self.tensors)
        for flat in self._flat("weights").reshape(len(self), width).tolist():
            yield [
                {"name": tensor.name, "shape": list(tensor.shape), "values": values}
                for tensor, values in split(flat, self.tensors)
            ]

    def records(self) -> Iterator[TrialRecord]:
        """Yield each run in the form for a recorder that writes run after run."""
        texts = {name: self.texts(name) for name in ("trial", "name", "status")}
        whole = {name: self.integers(name).tolist() for name in ("number", "start_time", "end_time")}
        steps, times = self.steps.tolist(), self.times.tolist()
        curves = {name: self.curve(name).tolist() for name in self.curve_names}
        measures = {name: self.measure(name).tolist() for name in self.measure_names}
        ends = np.cumsum(self.points).tolist()
        for run, (first, end, weights) in enumerate(zip([0, *ends], ends, self.weights(), strict=False)):
            part = slice(first, end)
            yield TrialRecord(
                number=whole["number"][run],
                trial=texts["trial"][run],
                name=texts["name"][run],
                status=texts["status"][run],
                params={name: values[run] for name, values in self.params.items()},
                tags={name: values[run] for name, values in self.tags.items()},
                curves={
                    name: list(zip(steps[part], values[part], times[part], strict=True))
                    for name, values in curves.items()
                }
                | {name: [(steps[end - 1], values[run], times[end - 1])] for name, values in measures.items()},
                weights=weights,
                start_time=whole["start_time"][run],
                end_time=whole["end_time"][run],
            )

    def to_bytes(self) -> bytes:
        """Return the table as an Arrow IPC stream."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        return bytes(sink.getvalue())

    def _texts_of(self, prefix: str) -> dict[str, list[str]]:
        return {name: self.texts(prefix + name) for name in self._names_of(prefix)}

    def _names_of(self, prefix: str) -> list[str]:
        return [name.removeprefix(prefix) for name in self.table.column_names if name.startswith(prefix)]

    def _flat(self, column: str) -> Any:
        return self.table.column(column).combine_chunks().flatten().to_numpy(zero_copy_only=False)
