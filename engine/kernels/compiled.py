"""The compiled kernel: a Program as machine code in which every scalar is a vector of trials.

Determinism: every lane does what the Program says, in one order, with operations that IEEE 754 rounds in one way, and
functions made of such. So a trial's numbers depend on nothing but its own configuration and the data: not on its
neighbours, nor on the processor and the width of its vectors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from engine.batches import Batches, Indexes
from engine.history import Flags, History
from engine.kernels.assembly import Assembly
from engine.kernels.block import FIELDS, Noted, define_run
from engine.kernels.machine import Compiled, Machine, host
from engine.neuron import Floats
from engine.program import Program
from engine.samples import Samples
from engine.training import Integers, Training

NAME = "compiled 1"

_CHUNK_TRIALS = 1024
"""Trials whose results are gathered together: small arrays that stay in the cache."""
_ORDER_BYTES = 1 << 22
"""Of the samples' order that a block is given at once."""
_ALIGNMENT = 64

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class _Step:
    """A program compiled: `run`, what it needs, and what it notes."""

    code: Compiled
    run: Any
    lanes: int
    scratch_bytes: int
    parameters: int
    columns: tuple[str, ...]
    reductions: int
    noted: Noted


def train(training: Training, machine: Machine | None = None) -> History:
    """Train every trial for all steps; on this machine, if no other is said."""
    return _Population(training, machine or host()).train()


@lru_cache(maxsize=128)
def _compile(
    program: Program,
    machine: Machine,
    dtype: str,
    widths: tuple[int, int],
    counts: tuple[int, ...],
    tested: bool,
    batches: bool,
    gradients: bool,
) -> _Step:
    assembly = Assembly(program, machine, dtype, widths, counts)
    noted = define_run(assembly, tested=tested, batches=batches, gradients=gradients)
    code = Compiled(assembly.text(), machine)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address("run"))
    layout = assembly.layout
    return _Step(
        code,
        run,
        assembly.lanes,
        assembly.scratch_bytes,
        layout.parameters,
        layout.columns,
        max(len(layout.reductions), len(layout.evaluated)),
        noted,
    )


class _Population:
    def __init__(self, training: Training, machine: Machine) -> None:
        self._training = training
        batches = training.batches
        samples = len(training.samples.features)
        counts = [samples, *([len(training.test.features)] if training.test else [])]
        counts += [batches.size, samples % batches.size or batches.size] if batches else []
        self._step = _compile(
            training.program,
            machine,
            training.dtype,
            (training.samples.features.shape[1], training.samples.targets.shape[1]),
            tuple(sorted(set(counts))),
            training.test is not None,
            batches is not None,
            training.gradients,
        )
        self._samples = training.samples.cast(training.dtype)
        self._test = training.test and training.test.cast(training.dtype)
        trials, points = training.trials, len(training.record)
        self._curves = {name: np.empty((trials, points)) for name in training.curves}
        self._weights = np.empty((trials, training.program.weight_count))
        self._last_step = np.empty(trials, dtype=np.int64)
        self._diverged: Flags = np.empty(trials, dtype=bool)
        self._gradients = np.empty((trials, points, self._weights.shape[1])) if training.gradients else None

    def train(self) -> History:
        # what is too large for a float32 is an infinity, and its trial diverges; points that it did not live to see are
        # whatever bits the memory held, until History blanks them
        with np.errstate(over="ignore", invalid="ignore"):
            for begin in range(0, self._training.trials, _CHUNK_TRIALS):
                self._train_chunk(slice(begin, min(begin + _CHUNK_TRIALS, self._training.trials)))
        return History.ended(
            self._training,
            curves=self._curves,
            weights=self._weights,
            last_step=self._last_step,
            diverged=self._diverged,
            kernel=NAME,
            gradients=self._gradients,
        )

    def _train_chunk(self, trials: slice) -> None:
        """Train some trials block by block; the lanes of the last block that are left over repeat its last trial."""
        step, part = self._step, self._training.part(trials)
        blocks = -(-part.trials // step.lanes)
        lanes = np.minimum(np.arange(blocks * step.lanes), part.trials - 1).reshape(blocks, step.lanes)
        chunk = _Chunk(step, part, lanes, self._samples, self._test)
        for block in range(blocks):
            if part.batches is None:
                chunk.run(block, end=part.steps, finish=1)
            else:
                self._run_batches(chunk, block, part.batches)
        kept = slice(0, part.trials)
        self._weights[trials] = chunk.by_trial("parameters")[kept, : self._weights.shape[1]]
        curves = np.moveaxis(chunk.by_trial("curves")[kept], 2, 0)
        for name, curve in zip(step.noted.names, curves, strict=True):
            if name:
                self._curves[name][trials] = curve
        if self._gradients is not None:
            self._gradients[trials] = chunk.by_trial("gradients")[kept]
        self._last_step[trials] = chunk.by_trial("last_step")[kept]
        self._diverged[trials] = chunk.by_trial("alive")[kept] == 0

    def _run_batches(self, chunk: _Chunk, block: int, batches: Batches) -> None:
        """Run a block in minibatches, a few epochs at a time, for whose orders there is room."""
        samples, steps = len(self._samples.features), self._training.steps
        per_epoch = batches.per_epoch(samples)
        epochs_in_all = steps // per_epoch + 1  # that of the step that would follow is one of them
        at_once = max(1, _ORDER_BYTES // (4 * samples * self._step.lanes))
        lanes = chunk.lanes[block]
        for first in range(0, epochs_in_all, at_once):
            epochs = range(first, min(first + at_once, epochs_in_all))
            order = batches.order(lanes, epochs, samples)
            order = np.ascontiguousarray(order.swapaxes(1, 2))
            chunk.run(
                block,
                begin=first == 0,
                order=order,
                first_epoch=first,
                per_epoch=per_epoch,
                batch=batches.size,
                end=min(epochs.stop * per_epoch, steps),
                finish=int(epochs.stop == epochs_in_all),
            )


class _Chunk:
    """The memory of some blocks, (blocks, ..., lanes) arrays, and the table by which `run` finds its way in it."""

    def __init__(self, step: _Step, part: Training, lanes: Integers, samples: Samples, test: Samples | None) -> None:
        self.lanes = lanes
        self._run = step.run
        blocks, width = lanes.shape
        points, weights, dtype = len(part.record), part.program.weight_count, np.dtype(part.dtype)

        def memory(*shape: int) -> Floats:
            return _aligned((*shape, width), dtype)

        self._of_blocks = {
            "parameters": memory(blocks, step.parameters),
            "columns": memory(blocks, len(step.columns) + 2),
            "curves": memory(blocks, points, len(step.noted.names)),
            "gradients": memory(blocks, points, weights if part.gradients else 0),
            "alive": memory(blocks),
            "last_step": memory(blocks),
        }
        self._parameters = self._of_blocks["parameters"]
        self._parameters[:, :weights] = part.initial[lanes].swapaxes(1, 2)
        self._parameters[:, weights:] = np.array(part.program.initial_state, dtype=dtype)[None, :, None]
        for place, name in enumerate(step.columns):
            self._of_blocks["columns"][:, place] = part.columns[name][lanes]
        self._of_blocks["alive"][:] = 1
        self._of_blocks["last_step"][:] = part.steps
        # side by side, so that no two have addresses that the processor takes for the same
        vectors = {
            "next": step.parameters,
            "before": step.parameters,
            "sums": step.reductions + 1,
            "evaluated_sums": step.reductions + 1,
            "loss": 1,
            "scratch": -(-step.scratch_bytes // (width * dtype.itemsize)),
        }
        ends = np.cumsum(list(vectors.values()))
        parts = np.split(memory(int(ends[-1])), ends[:-1])
        self._shared: dict[str, np.ndarray[Any, Any]] = {
            **dict(zip(vectors, parts, strict=True)),
            "features": samples.features,
            "targets": samples.targets,
            "recorded": np.ascontiguousarray(part.record, dtype=np.int64),
        }
        counts = {"samples": len(samples.features), "last": part.steps, "steps": part.scheduled_steps, "some_alive": 1}
        if test is not None:
            self._shared |= {"test_features": test.features, "test_targets": test.targets}
            counts["test_samples"] = len(test.features)
        self._table, self._strides = np.zeros((2, len(FIELDS)), dtype=np.int64)
        self._set({**counts, **{name: array.ctypes.data for name, array in self._shared.items()}})
        for name, array in self._of_blocks.items():
            self._set({name: array.ctypes.data})
            self._strides[FIELDS.index(name)] = array.strides[0]
        for name in ("curves", "gradients"):  # the last point of each block
            array = self._of_blocks[name]
            self._set({f"final_{name}": array.ctypes.data + (points - 1) * array.strides[1]})
            self._strides[FIELDS.index(f"final_{name}")] = array.strides[0]
        self._first = self._table.copy()
        self._address = self._table.ctypes.data

    def _set(self, fields: Mapping[str, int]) -> None:
        for name, value in fields.items():
            self._table[FIELDS.index(name)] = value

    def run(self, block: int, *, begin: bool = True, order: Indexes | None = None, **fields: int) -> None:
        """Run a block from its beginning, or from where it stopped; `order` is that of its minibatches' samples."""
        if begin:
            self._table[:] = self._first + block * self._strides
            self._shared["before"][:] = self._parameters[block]
        if order is not None:
            self._shared["order"] = order
            self._set({"order": order.ctypes.data})
        self._set(fields)
        self._run(self._address)

    def by_trial(self, name: str) -> Floats:
        """The array of the blocks as (trials, ...)."""
        moved = np.moveaxis(self._of_blocks[name], -1, 1)
        return moved.reshape(-1, *moved.shape[2:])


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    """An array that begins where a vector may."""
    count = int(np.prod(shape)) * dtype.itemsize
    memory: Bytes = np.empty(count + _ALIGNMENT, dtype=np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    array: Floats = memory[begin : begin + count].view(dtype).reshape(shape)
    return array
