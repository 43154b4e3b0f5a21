"""The compiled kernel: runs a Program as machine code in which every scalar is a vector of trials.

Determinism: every lane runs the Program in a fixed order, with operations that IEEE 754 rounds in one way only, and
functions that consist of them. So a trial's numbers depend only on its configuration and the data. They do not depend
on the trials in other lanes, the processor or the width of its vectors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from engine.arrays import Array, Flags, Floats, Indexes, Integers
from engine.batches import Batches
from engine.history import History
from engine.kernels.codegen.pipeline import Options, compile_program
from engine.kernels.codegen.target import Target, host_target
from engine.kernels.codegen.train_loop import CONTEXT_FIELDS
from engine.program import Program
from engine.samples import Samples
from engine.scores import finished, start_values
from engine.train import TrainingJob

NAMES = {"float64": "compiled 1", "float32": "compiled 2"}
"""Name and version of the kernel, by the type of numbers. In version 2, exp, expm1 and tanh compute in floats."""

_CHUNK_TRIALS = 1024
"""Largest number of trials whose memory is allocated together."""
_CHUNK_BYTES = 1 << 24
"""Approximate memory of these trials, so that a population of wide networks needs little more than its weights."""
_ORDER_BYTES = 1 << 22
"""Largest number of bytes of the order of samples that is computed at once."""
_KEPT_ORDER_BYTES = 1 << 25
"""Largest number of bytes of the orders that are kept for other trials with the same seeds."""
_ALIGNMENT = 64


class _CompiledProgram:
    """Machine code of a program, and the sizes of its arrays.

    `run(address)` trains a block of trials; see `codegen/train_loop.py`.
    """

    def __init__(self, program: Program, target: Target, options: Options) -> None:
        compiled = compile_program(program, target, options)
        self._code = compiled.code  # the function exists as long as this object
        layout, module = compiled.stages.layout, compiled.stages.module
        self.run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._code.address("run"))
        self.lanes = module.lanes
        self.scratch_bytes = module.scratch_bytes
        self.parameters = layout.parameters
        self.columns = layout.columns
        self.sums = layout.sum_count
        self.curves = layout.recorded.names


_compile = lru_cache(maxsize=128)(_CompiledProgram)


def train(job: TrainingJob, target: Target | None = None) -> History:
    """Train all trials of a job for all steps, and return their History.

    target: the processor to compile for; that of this machine if left out.
    """
    return _PopulationRun(job, target or host_target()).train()


def _options(job: TrainingJob) -> Options:
    batches, samples = job.batches, len(job.samples.features)
    counts = [samples, *([len(job.test.features)] if job.test else [])]
    if batches:
        counts += [batches.size] if batches.replacement else [batches.size, samples % batches.size or batches.size]
    return Options(
        job.config.dtype,
        widths=(job.samples.features.shape[1], job.samples.targets.shape[1]),
        sample_counts=tuple(sorted(set(counts))),
        tested=job.test is not None,
        batches=batches is not None,
        gradients=job.config.gradients,
        scores=job.config.scores,
    )


class _PopulationRun:
    """Trains all trials of a job, chunk by chunk, and collects their records."""

    def __init__(self, job: TrainingJob, target: Target) -> None:
        self._job = job
        self._program = _compile(job.program, target, _options(job))
        self._orders = _Orders()
        self._samples = job.samples.cast(job.config.dtype)
        self._test = job.test and job.test.cast(job.config.dtype)
        trials, points = job.trials, len(job.config.recorded_steps)
        self._curves = {name: np.empty((trials, points)) for name in job.curves}
        self._weights = np.empty((trials, job.program.weight_count))
        self._last_step = np.empty(trials, dtype=np.int64)
        self._diverged: Flags = np.empty(trials, dtype=bool)
        self._gradients = np.empty((trials, points, self._weights.shape[1])) if job.config.gradients else None
        self._scores = np.empty((len(start_values(job.config.scores, job.config.dtype)), trials))

    def train(self) -> History:
        """Train all chunks, and return the History."""
        # a number that is too large for float32 becomes infinite, and its trial diverges; points after a trial's last
        # step are undefined until History sets them to NaN
        with np.errstate(over="ignore", invalid="ignore"):
            size = self._chunk_trials()
            for begin in range(0, self._job.trials, size):
                self._train_chunk(slice(begin, min(begin + size, self._job.trials)))
        return History.from_kernel(
            self._job.program,
            self._job.config.recorded_steps,
            curves=self._curves,
            weights=self._weights,
            last_step=self._last_step,
            diverged=self._diverged,
            kernel=NAMES[self._job.config.dtype],
            gradients=self._gradients,
            scores=finished(
                self._job.config.scores, self._scores, self._last_step, self._diverged, self._job.config.steps
            ),
        )

    def _chunk_trials(self) -> int:
        """Return the number of trials whose memory is allocated together: some whole blocks."""
        program, config = self._program, self._job.config
        recorded = len(program.curves) + (self._job.program.weight_count if config.gradients else 0)
        numbers = program.parameters + len(config.recorded_steps) * recorded
        blocks = _CHUNK_BYTES // (numbers * np.dtype(config.dtype).itemsize * program.lanes)
        return min(_CHUNK_TRIALS, max(1, blocks) * program.lanes)

    def _train_chunk(self, trials: slice) -> None:
        """Train some trials, block by block. Unused lanes of the last block repeat its last trial."""
        program, job = self._program, self._job.select(trials)
        blocks = -(-job.trials // program.lanes)
        lanes = np.minimum(np.arange(blocks * program.lanes), job.trials - 1).reshape(blocks, program.lanes)
        chunk = _Chunk(program, job, lanes, self._samples, self._test)
        for block in range(blocks):
            if job.batches is None:
                chunk.run(block, end=job.config.steps, finish=1)
            else:
                self._run_batches(chunk, block, job.batches)
        used = slice(0, job.trials)
        self._weights[trials] = chunk.by_trial("parameters")[used, : self._weights.shape[1]]
        curves = np.moveaxis(chunk.by_trial("curves")[used], 2, 0)
        for name, curve in zip(program.curves, curves, strict=True):
            if name:
                self._curves[name][trials] = curve
        if self._gradients is not None:
            self._gradients[trials] = chunk.by_trial("gradients")[used]
        self._scores[:, trials] = chunk.by_trial("scores")[used].T
        self._last_step[trials] = chunk.by_trial("last_step")[used]
        self._diverged[trials] = chunk.by_trial("alive")[used] == 0

    def _run_batches(self, chunk: _Chunk, block: int, batches: Batches) -> None:
        """Train a block in minibatches. The order of samples is computed for a few epochs at a time."""
        samples, steps = len(self._samples.features), self._job.config.steps
        per_epoch = batches.per_epoch(samples)
        epochs_in_all = steps // per_epoch + 1  # the final weights are measured with the batch of the next step
        at_once = max(1, _ORDER_BYTES // (4 * samples * self._program.lanes))
        lanes = chunk.lanes[block]
        for first in range(0, epochs_in_all, at_once):
            epochs = range(first, min(first + at_once, epochs_in_all))
            order = self._orders.of(batches, lanes, epochs, samples)
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


class _Orders:
    """Orders of samples, kept for the next blocks: the trials of a sweep have few seeds."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, range], Indexes] = {}
        self._bytes = 0

    def of(self, batches: Batches, trials: Integers, epochs: range, samples: int) -> Indexes:
        """Return the positions of the samples of some trials in some epochs, (epochs, samples, trials)."""
        seeds = batches.seeds[trials].tolist()
        position = dict(zip(seeds, trials.tolist(), strict=True))
        missing = [seed for seed in position if (seed, epochs) not in self._kept]
        if missing:
            found = batches.order(np.array([position[seed] for seed in missing]), epochs, samples)
            if self._bytes + found.nbytes > _KEPT_ORDER_BYTES:
                self._kept, self._bytes = {}, 0
                return np.ascontiguousarray(batches.order(trials, epochs, samples).swapaxes(1, 2))
            self._bytes += found.nbytes
            self._kept.update(((seed, epochs), found[:, k]) for k, seed in enumerate(missing))
        return np.stack([self._kept[seed, epochs] for seed in seeds], axis=2)


class _Chunk:
    """The memory of some blocks, and the table that tells the compiled function the addresses of its arrays.

    lanes: (blocks, lanes), the trial in each lane.

    Some arrays have a part for each block: (blocks, ..., lanes). One block after another uses the others.
    """

    def __init__(
        self, program: _CompiledProgram, job: TrainingJob, lanes: Integers, samples: Samples, test: Samples | None
    ) -> None:
        self.lanes = lanes
        self._run = program.run
        self._of_blocks = _block_arrays(program, job, lanes)
        self._parameters = self._of_blocks["parameters"]
        self._shared: dict[str, Array] = {
            **_shared_vectors(program, lanes.shape[1], self._parameters.dtype),
            "features": samples.features,
            "targets": samples.targets,
            "recorded": np.ascontiguousarray(job.config.recorded_steps, dtype=np.int64),
        }
        counts = {"samples": len(samples.features), "last": job.config.steps, "steps": job.schedule_steps}
        if test is not None:
            self._shared |= {"test_features": test.features, "test_targets": test.targets}
            counts["test_samples"] = len(test.features)
        self._table, self._strides = np.zeros((2, len(CONTEXT_FIELDS)), dtype=np.int64)
        self._set({"any_alive": 1, **counts, **{name: array.ctypes.data for name, array in self._shared.items()}})
        for name, array in self._of_blocks.items():
            self._set_array(name, array)
        self._set_array("home", self._parameters)
        for name in ("curves", "gradients"):  # the last point of each block
            self._set_array(f"final_{name}", self._of_blocks[name][:, -1:])
        self._first = self._table.copy()
        self._address = self._table.ctypes.data

    def _set_array(self, field: str, array: Floats) -> None:
        """Set the address of the first block's array, and the distance to the next block's."""
        self._set({field: array.ctypes.data})
        self._strides[CONTEXT_FIELDS.index(field)] = array.strides[0]

    def _set(self, fields: Mapping[str, int]) -> None:
        for name, value in fields.items():
            self._table[CONTEXT_FIELDS.index(name)] = value

    def run(self, block: int, *, begin: bool = True, order: Indexes | None = None, **fields: int) -> None:
        """Train a block.

        begin: whether to start at step 0. Otherwise training continues where it stopped.
        order: (epochs, samples, lanes), positions of the samples in the data.
        fields: numbers of the table to set before.
        """
        if begin:
            self._table[:] = self._first + block * self._strides
            self._shared["before"][:] = self._parameters[block]
        if order is not None:
            self._shared["order"] = order
            self._set({"order": order.ctypes.data})
        self._set(fields)
        self._run(self._address)

    def by_trial(self, name: str) -> Floats:
        """Return an array that has a part for each block, as (trials, ...)."""
        moved = np.moveaxis(self._of_blocks[name], -1, 1)
        return moved.reshape(-1, *moved.shape[2:])


def _block_arrays(program: _CompiledProgram, job: TrainingJob, lanes: Integers) -> dict[str, Floats]:
    """Return the arrays that have a part for each block, with the values at the start of training."""
    blocks, width = lanes.shape
    points, weights, dtype = len(job.config.recorded_steps), job.program.weight_count, np.dtype(job.config.dtype)
    scores = start_values(job.config.scores, job.config.dtype)
    shapes = {
        "parameters": (program.parameters,),
        "columns": (len(program.columns) + 2,),
        "curves": (points, len(program.curves)),
        "gradients": (points, weights if job.config.gradients else 0),
        "alive": (),
        "last_step": (),
        "scores": (len(scores),),
    }
    arrays = {name: _aligned((blocks, *shape, width), dtype) for name, shape in shapes.items()}
    arrays["parameters"][:, :weights] = job.initial[lanes].swapaxes(1, 2)
    arrays["parameters"][:, weights:] = np.array(job.program.initial_state, dtype=dtype)[None, :, None]
    for position, name in enumerate(program.columns):
        arrays["columns"][:, position] = job.columns[name][lanes]
    arrays["scores"][:] = scores[None, :, None]
    arrays["alive"][:] = 1
    arrays["last_step"][:] = job.config.steps
    return arrays


def _shared_vectors(program: _CompiledProgram, width: int, dtype: np.dtype[Any]) -> dict[str, Array]:
    """Return the arrays that one block after another uses.

    They are one piece of memory. In separate pieces, addresses could differ by a large power of two, and the processor
    confuses such addresses, which costs time.
    """
    vectors = {
        "before": program.parameters,
        "sums": program.sums + 1,
        "evaluated_sums": program.sums + 1,
        "loss": 1,
        "scratch": -(-program.scratch_bytes // (width * dtype.itemsize)),
    }
    ends = np.cumsum(list(vectors.values()))
    return dict(zip(vectors, np.split(_aligned((int(ends[-1]), width), dtype), ends[:-1]), strict=True))


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    """Return an array whose address is a multiple of _ALIGNMENT, as loads and stores of vectors require."""
    count = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(count + _ALIGNMENT, dtype=np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    array: Floats = memory[begin : begin + count].view(dtype).reshape(shape)
    return array
