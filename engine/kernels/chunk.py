"""The memory of some blocks of trials, and the tables that tell the compiled function the addresses of their arrays.

A block has a trial in each of its lanes. All that belongs to a lane is in one array, so that lanes can be exchanged:

>>> memory = _aligned((2, 3, 4), np.dtype("float64"))  # two blocks of three rows of four lanes
>>> memory.ctypes.data % 64
0
>>> memory[:] = np.arange(24).reshape(2, 3, 4)
>>> lanes = np.moveaxis(memory, 1, 2)
>>> lanes[0, 1], lanes[1, 3] = lanes[1, 3].copy(), lanes[0, 1].copy()
>>> memory[0]
array([[ 0., 15.,  2.,  3.],
       [ 4., 19.,  6.,  7.],
       [ 8., 23., 10., 11.]])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from engine.arrays import Array, Floats, Indexes, Integers
from engine.kernels.codegen.train_loop import CONTEXT_FIELDS
from engine.kernels.packing import exchanges
from engine.samples import Samples
from engine.scores import start_values
from engine.train import TrainingJob

_ALIGNMENT = 64
_FIELDS = {name: place for place, name in enumerate(CONTEXT_FIELDS)}
_PAGE = 4096


class Code(Protocol):
    """The machine code of a program, and the sizes of its arrays.

    lanes: number of trials in a block.
    scratch_bytes: memory for intermediate values.
    parameters, sums: number of vectors of each of these arrays.
    columns, curves: names of the hyperparameters, and of the recorded curves.
    """

    lanes: int
    scratch_bytes: int
    parameters: int
    columns: tuple[str, ...]
    sums: int
    curves: tuple[str, ...]

    @property
    def run(self) -> Callable[[int], None]:
        """The function that trains a block of trials, given the address of a table; see `codegen/train_loop.py`."""


class Chunk:
    """The memory of some blocks.

    code: the compiled program.
    job: the trials. Unused lanes of the last block repeat the last trial.
    samples, test: training data, and test data if there is any, as numbers of the job's type.
    pause_every: a block that has lost a trial pauses at the next step that is a multiple of this.

    `trials`: (blocks, lanes), the trial in each lane. Numbers beyond the job's trials are unused lanes.
    """

    def __init__(self, code: Code, job: TrainingJob, samples: Samples, test: Samples | None, pause_every: int) -> None:
        blocks = -(-job.trials // code.lanes)
        self.trials: Integers = np.arange(blocks * code.lanes).reshape(blocks, code.lanes)
        self._count = job.trials
        self._run = code.run
        self._rows, self._of_blocks = _block_memory(code, job, blocks)
        self._points = len(job.config.recorded_steps)
        _fill(self._of_blocks, self._rows, job, code.columns, self.lanes)
        self._shared: dict[str, Array] = {
            **_shared_vectors(code, self._of_blocks.dtype),
            "features": samples.features,
            "targets": samples.targets,
            "recorded": np.ascontiguousarray(job.config.recorded_steps, dtype=np.int64),
        }
        numbers = {"samples": len(samples.features), "last": job.config.steps, "steps": job.schedule_steps}
        if test is not None:
            self._shared |= {"test_features": test.features, "test_targets": test.targets}
            numbers["test_samples"] = len(test.features)
        numbers |= {"any_alive": 1, "pause_every": pause_every, "end": job.config.steps}
        self._tables = np.zeros((blocks, len(CONTEXT_FIELDS)), dtype=np.int64)
        for name, number in numbers.items():
            self._tables[:, _FIELDS[name]] = number
        for name, array in self._shared.items():
            self._tables[:, _FIELDS[name]] = array.ctypes.data
        for name, address in self._addresses().items():
            self._tables[:, _FIELDS[name]] = address
        self._table, self._table_bytes = self._tables.ctypes.data, self._tables.strides[0]

    @property
    def lanes(self) -> Integers:
        """The trial whose numbers each lane computes, (blocks, lanes): unused lanes repeat the last trial."""
        return np.minimum(self.trials, self._count - 1)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.trials)

    def _addresses(self) -> Mapping[str, Integers]:
        """Return the address of each field that a block has an array of its own for, (blocks,)."""
        memory = self._of_blocks
        starts = memory.ctypes.data + np.arange(len(memory)) * memory.strides[0]
        firsts = {name: rows.start for name, rows in self._rows.items()} | {"home": self._rows["parameters"].start}
        for name in ("curves", "gradients"):  # the last of the points
            rows = self._rows[name]
            firsts[f"final_{name}"] = rows.stop - (rows.stop - rows.start) // self._points
        return {name: starts + row * memory.strides[1] for name, row in firsts.items()}

    def run(self, block: int, *, order: Indexes | None = None, **fields: int) -> None:
        """Train a block from where it is.

        order: (epochs, samples, lanes), positions of the samples in the data.
        fields: numbers of its table to set before.
        """
        table = self._tables[block]
        if order is not None:
            self._shared["order"] = order
            table[_FIELDS["order"]] = order.ctypes.data
        for name, value in fields.items():
            table[_FIELDS[name]] = value
        self._run(self._table + block * self._table_bytes)

    def pause_at(self, block: int, step: int) -> None:
        """Tell a block to pause at a step. It pauses earlier if it loses a trial."""
        self._tables[block, _FIELDS["pause"]] = step

    def step(self, block: int) -> int:
        """Return the number of updates that a block has done."""
        return int(self._tables[block, _FIELDS["step"]])

    def is_paused(self, block: int) -> bool:
        """Return whether a block is at the step at which it was told to pause."""
        return bool(self._tables[block, _FIELDS["step"]] >= self._tables[block, _FIELDS["pause"]])

    def any_alive(self, block: int) -> bool:
        """Return whether a trial of a block has not diverged."""
        return bool(self._tables[block, _FIELDS["any_alive"]])

    def is_over(self, block: int) -> bool:
        """Return whether a block has done all steps, or has no living trial."""
        return not self.any_alive(block) or self.step(block) >= self._tables[block, _FIELDS["last"]]

    def pack(self, blocks: Sequence[int]) -> list[int]:
        """Exchange trials of blocks that are at the same step, so that the living ones fill as few blocks as possible.

        Returns the blocks that have both living trials and lanes without one.
        """
        chosen = np.array(blocks)
        alive = self._of_blocks[chosen, self._rows["alive"].start] != 0
        living = alive & (self.trials[chosen] < self._count)
        (row, lane), (other_row, other) = exchanges(living)
        here, there = chosen[row], chosen[other_row]
        for array in (np.moveaxis(self._of_blocks, 1, 2), self.trials):
            array[here, lane], array[there, other] = array[there, other], array[here, lane]
        living[row, lane], living[other_row, other] = True, False
        counts = living.sum(axis=1)
        self._tables[chosen, _FIELDS["any_alive"]] = counts > 0
        return [block for block, count in zip(blocks, counts.tolist(), strict=True) if 0 < count < living.shape[1]]

    def parameters(self) -> Floats:
        """Return the current parameters, (trials, parameters), also of trials that have diverged."""
        home = self._tables[:, _FIELDS["parameters"]] == self._tables[:, _FIELDS["home"]]
        home |= self._tables[:, _FIELDS["any_alive"]] == 0  # a finished block has brought them home
        rows = [self._of_blocks[:, self._rows[name]] for name in ("parameters", "before")]
        return self._by_trial(np.where(home[:, None, None], *rows))

    def by_trial(self, name: str) -> Floats:
        """Return an array that every block has, as (trials, numbers)."""
        return self._by_trial(self._of_blocks[:, self._rows[name]])

    def _by_trial(self, rows: Floats) -> Floats:
        """Return the numbers of each trial, (trials, numbers). rows: (blocks, numbers, lanes)."""
        numbers = np.moveaxis(rows, 1, 2).reshape(-1, rows.shape[1])
        places = self.trials.ravel()
        if (places[1:] > places[:-1]).all():
            return numbers[: self._count]
        return numbers[np.argsort(places)[: self._count]]


def _block_memory(code: Code, job: TrainingJob, blocks: int) -> tuple[dict[str, slice], Floats]:
    """Return the rows of each array of a block, and the memory of all blocks, (blocks, rows, lanes)."""
    points, dtype = len(job.config.recorded_steps), np.dtype(job.config.dtype)
    counts = {
        "parameters": code.parameters,
        "columns": len(code.columns) + 2,
        "scores": len(job.config.scores) + 1,
        "alive": 1,
        "last_step": 1,
        "before": code.parameters,
        "curves": points * len(code.curves),
        "gradients": points * job.program.weight_count if job.config.gradients else 0,
    }
    rows, end = {}, 0
    for name, count in counts.items():
        # an update reads from one and writes to the other; the processor confuses addresses that differ by whole pages
        end += name == "before" and end * code.lanes * dtype.itemsize % _PAGE == 0
        rows[name] = slice(end, end + count)
        end += count
    return rows, _aligned((blocks, end, code.lanes), dtype)


def _fill(memory: Floats, rows: Mapping[str, slice], job: TrainingJob, columns: Sequence[str], lanes: Integers) -> None:
    """Write the values at the start of training into the memory of blocks."""
    weights = job.program.weight_count
    parameters = memory[:, rows["parameters"]]
    parameters[:, :weights] = job.initial[lanes].swapaxes(1, 2)
    parameters[:, weights:] = np.array(job.program.initial_state, dtype=memory.dtype)[None, :, None]
    memory[:, rows["before"]] = parameters
    for row, name in enumerate(columns, start=rows["columns"].start):
        memory[:, row] = job.columns[name][lanes]
    memory[:, rows["scores"]] = start_values(job.config.scores, job.config.dtype)[None, :, None]
    memory[:, rows["alive"]] = 1
    memory[:, rows["last_step"]] = job.config.steps


def _shared_vectors(code: Code, dtype: np.dtype[Any]) -> dict[str, Array]:
    """Return the arrays that one block after another uses.

    They are one piece of memory. In separate pieces, addresses could differ by a large power of two, and the processor
    confuses such addresses, which costs time.
    """
    vectors = {
        "sums": code.sums + 1,
        "evaluated_sums": code.sums + 1,
        "loss": 1,
        "scratch": -(-code.scratch_bytes // (code.lanes * dtype.itemsize)),
    }
    ends = np.cumsum(list(vectors.values()))
    return dict(zip(vectors, np.split(_aligned((int(ends[-1]), code.lanes), dtype), ends[:-1]), strict=True))


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    """Return an array whose address is a multiple of _ALIGNMENT, as loads and stores of vectors require."""
    count = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(count + _ALIGNMENT, dtype=np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    array: Floats = memory[begin : begin + count].view(dtype).reshape(shape)
    return array
