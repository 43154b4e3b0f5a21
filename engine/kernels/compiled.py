"""The compiled kernel: runs a Program as machine code in which every scalar is a vector of trials.

Determinism: every lane runs the Program in a fixed order, with operations that IEEE 754 rounds in one way only, and
functions that consist of them. So a trial's numbers depend only on its configuration and the data. They do not depend
on the trials in other lanes, the processor or the width of its vectors.
"""

from __future__ import annotations

import ctypes
import threading
from functools import lru_cache

import numpy as np

from engine.arrays import Flags
from engine.history import History
from engine.kernels.chunk import Chunk
from engine.kernels.codegen.pipeline import Options, compile_program
from engine.kernels.codegen.target import Target, host_target
from engine.kernels.orders import Orders
from engine.kernels.packing import train_blocks
from engine.program import Program
from engine.scores import finished, start_values
from engine.train import TrainingJob

NAMES = {"float64": "compiled 1", "float32": "compiled 2"}
"""Name and version of the kernel, by the type of numbers. In version 2, exp, expm1 and tanh compute in floats."""

_CHUNK_TRIALS = 1024
"""Largest number of trials whose memory is allocated together."""
_CHUNK_BYTES = 1 << 25
"""Approximate memory of these trials, so that a population of wide networks needs little more than its weights."""
_PAUSES = 64
"""Number of steps, spread evenly over a training, at which blocks pause that have lost a trial."""


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


_cached = lru_cache(maxsize=128)(_CompiledProgram)
_compiling = threading.Lock()


def _compile(program: Program, target: Target, options: Options) -> _CompiledProgram:
    """Compile a program, once: of several threads that need it, one compiles."""
    with _compiling:
        return _cached(program, target, options)


def train(job: TrainingJob, target: Target | None = None) -> History:
    """Train all trials of a job for all steps, and return their History.

    target: the processor to compile for; that of this machine if left out.
    """
    return _PopulationRun(job, target or host_target()).train()


def _options(job: TrainingJob) -> Options:
    batches, samples = job.batches, len(job.samples.features)
    counts = [samples, *([len(job.test.features)] if job.test else [])]
    updates = [samples]
    if batches:
        updates = [batches.size] if batches.replacement else [batches.size, samples % batches.size or batches.size]
    return Options(
        job.config.dtype,
        widths=(job.samples.features.shape[1], job.samples.targets.shape[1]),
        sample_counts=tuple(sorted({*counts, *updates})),
        tested=job.test is not None,
        batches=batches is not None,
        gradients=job.config.gradients,
        scores=job.config.scores,
        update_counts=tuple(sorted(set(updates))),
    )


class _PopulationRun:
    """Trains all trials of a job, chunk by chunk, and collects their records."""

    def __init__(self, job: TrainingJob, target: Target) -> None:
        self._job = job
        self._program = _compile(job.program, target, _options(job))
        self._orders = Orders(job.batches, len(job.samples.features)) if job.batches else None
        self._samples = job.samples.cast(job.config.dtype)
        self._test = job.test and job.test.cast(job.config.dtype)
        trials, points = job.trials, len(job.config.recorded_steps)
        self._curves = {name: np.empty((trials, points)) for name in job.curves}
        self._weights = np.empty((trials, job.program.weight_count))
        self._last_step = np.empty(trials, dtype=np.int64)
        self._diverged: Flags = np.empty(trials, dtype=bool)
        self._gradients = np.empty((trials, points, self._weights.shape[1])) if job.config.gradients else None
        self._snapshots = np.empty((trials, points, self._weights.shape[1])) if job.config.snapshots else None
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
            snapshots=self._snapshots,
            scores=finished(
                self._job.config.scores, self._scores, self._last_step, self._diverged, self._job.config.steps
            ),
        )

    def _chunk_trials(self) -> int:
        """Return the number of trials whose memory is allocated together: some whole blocks."""
        program, config = self._program, self._job.config
        recorded = len(program.curves) + (self._job.program.weight_count if config.gradients else 0)
        numbers = 2 * program.parameters + len(config.recorded_steps) * recorded
        blocks = _CHUNK_BYTES // (numbers * np.dtype(config.dtype).itemsize * program.lanes)
        return min(_CHUNK_TRIALS, max(1, blocks) * program.lanes)

    def _train_chunk(self, trials: slice) -> None:
        """Train some trials, block by block."""
        program, job = self._program, self._job.select(trials)
        steps, points = job.config.steps, len(job.config.recorded_steps)
        chunk = Chunk(program, job, self._samples, self._test, pause_every=-(-steps // _PAUSES))

        def train_block(block: int, until: int) -> None:
            chunk.pause_at(block, until)
            if self._orders is None:
                chunk.run(block, finish=1)
            else:
                self._train_batches(chunk, block, self._orders, trials.start)

        width = self._weights.shape[1]
        if self._snapshots is not None:
            for point, step in enumerate(job.config.recorded_steps[:-1].tolist()):
                train_blocks(chunk, train_block, step)
                self._snapshots[trials, point] = chunk.parameters()[:, :width]
        train_blocks(chunk, train_block, steps)
        self._weights[trials] = chunk.by_trial("parameters")[:, :width]
        if self._snapshots is not None:
            self._snapshots[trials, -1] = self._weights[trials]
        curves = chunk.by_trial("curves").reshape(job.trials, points, len(program.curves))
        for name, curve in zip(program.curves, np.moveaxis(curves, 2, 0), strict=True):
            if name:
                self._curves[name][trials] = curve
        if self._gradients is not None:
            self._gradients[trials] = chunk.by_trial("gradients").reshape(job.trials, points, -1)
        self._scores[:, trials] = chunk.by_trial("scores").T
        self._last_step[trials] = chunk.by_trial("last_step")[:, 0]
        self._diverged[trials] = chunk.by_trial("alive")[:, 0] == 0

    def _train_batches(self, chunk: Chunk, block: int, orders: Orders, first_trial: int) -> None:
        """Train a block in minibatches. The order of samples is computed for a few epochs at a time."""
        steps, per_epoch = self._job.config.steps, orders.batches_per_epoch
        epochs_in_all = steps // per_epoch + 1  # the final weights are measured with the batch of the next step
        while True:
            epoch = chunk.step(block) // per_epoch if chunk.any_alive(block) else epochs_in_all - 1
            epochs = orders.epochs(epoch, epochs_in_all, self._program.lanes)
            is_last = epochs.stop == epochs_in_all
            chunk.run(
                block,
                order=orders.of(first_trial + chunk.lanes[block], epochs),
                first_epoch=epochs.start,
                per_epoch=per_epoch,
                batch=orders.batch_size,
                end=min(epochs.stop * per_epoch, steps),
                finish=int(is_last),
            )
            if is_last if chunk.is_over(block) else chunk.is_paused(block):
                return
