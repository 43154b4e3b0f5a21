"""The reference kernel: one NumPy array, (trials, samples), for each value of the program. It is easy to check.

Determinism: instructions work element by element, and a mean adds a trial's samples in an order that depends only on
their count. So a trial's numbers do not depend on the other trials.

>>> from engine.program import Instruction
>>> inputs = (Input("weight", 0), Input("feature", 0))
>>> program = Program(inputs, (), (Instruction("sample_mean", (0, 1)),), (("loss", (2,)),))
>>> run = Interpreter(program)
>>> samples = Samples(np.array([[1.0], [2.0]]), np.array([[0.0], [0.0]]))
>>> run(weights=np.array([[10.0, 20.0]]), state=np.empty((0, 2)), columns={}, samples=samples)
{'loss': array([[15., 30.]])}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.arrays import Columns, Flags, Floats, Indexes
from engine.history import History, join
from engine.operations import PRIMITIVES, Scalar
from engine.program import LOSS_AND_ACCURACY, Input, Program, Reduction
from engine.samples import Samples
from engine.scores import Accumulators, finished
from engine.train import TrainingJob

NAME = f"reference 2 (numpy {np.__version__})"

_BLOCK_ELEMENTS = 32_768
"""Trials x samples of one array. Some such arrays fit into the cache, and NumPy's cost per call is small for them."""


def train(job: TrainingJob) -> History:
    """Train all trials of a job for all steps, and return their History."""
    size = max(1, _BLOCK_ELEMENTS // len(job.samples.features))
    with np.errstate(all="ignore"):
        return join([_TrialBlock(job.select(slice(n, n + size))).train() for n in range(0, job.trials, size)])


class Interpreter:
    """Runs a program on arrays. Per-sample values are (trials, samples), the others (trials, 1).

    program: any program. dtype: type of all numbers.
    """

    def __init__(self, program: Program, dtype: str = "float64") -> None:
        self._program = program
        self._type = np.dtype(dtype)
        first = program.first_instruction
        outputs = {value for _, values in program.outputs for value in values}
        last_use = {operand: n for n, (_, operands) in enumerate(program.instructions) for operand in operands}
        dead: dict[int, list[int]] = {}
        for value, n in last_use.items():
            if value >= first and value not in outputs:
                dead.setdefault(n, []).append(value)
        self._steps: list[tuple[Callable[..., Scalar], tuple[int, ...], list[int]]] = [
            (_FORWARD[operation], operands, dead.get(n, []))
            for n, (operation, operands) in enumerate(program.instructions)
        ]
        self._constants = [self._type.type(constant) for constant in program.constants]

    def __call__(
        self,
        weights: Floats,
        state: Floats,
        columns: Columns,
        samples: Samples,
        *,
        order: Indexes | None = None,
        step: int = 0,
        steps: int = 0,
    ) -> dict[str, Floats]:
        """Return every output by its name, (values, trials).

        weights, state: (values, trials).
        columns: name -> (trials,).
        samples: the data.
        order: (trials, samples), positions of each trial's samples in the data; all samples if left out.
        step: number of updates before this one.
        steps: number of all updates.
        """
        rows = slice(None) if order is None else order
        readers: dict[str, Callable[[Input], Any]] = {
            "weight": lambda source: weights[source.position][:, None],
            "state": lambda source: state[source.position][:, None],
            "column": lambda source: columns[source.name][:, None],
            "feature": lambda source: np.atleast_2d(samples.features[:, source.position][rows]),
            "target": lambda source: np.atleast_2d(samples.targets[:, source.position][rows]),
            "step": lambda _: self._type.type(step),
            "steps": lambda _: self._type.type(steps),
        }
        values: list[Any] = [readers[source.kind](source) for source in self._program.inputs]
        values.extend(self._constants)
        for forward, operands, dead in self._steps:
            value = forward(*[values[operand] for operand in operands])
            values.append(value if value.dtype == self._type else value.astype(self._type))
            for index in dead:
                values[index] = None  # frees its memory
        trials = weights.shape[1]
        return {name: _gather([values[v] for v in ids], trials) for name, ids in self._program.outputs}


def _sample_mean(x: Floats, y: Floats | None = None) -> Floats:
    values = x if y is None else x * y
    mean: Floats = values.sum(axis=1, keepdims=True) / values.dtype.type(values.shape[1])
    return mean


def _sample_any(x: Floats) -> Floats:
    flags: Floats = (x != 0).any(axis=1, keepdims=True).astype(x.dtype)
    return flags


_FORWARD: dict[str, Callable[..., Scalar]] = {name: row.forward for name, row in PRIMITIVES.items()}
_FORWARD[Reduction.MEAN] = _sample_mean
_FORWARD[Reduction.ANY] = _sample_any


def _gather(values: list[Any], trials: int) -> Floats:
    gathered = np.empty((len(values), trials), dtype=np.result_type(*values) if values else float)
    for row, value in zip(gathered, values, strict=True):
        row[:] = value[:, 0] if isinstance(value, np.ndarray) and value.ndim else value
    return gathered


class _TrialBlock:
    """Trains some trials side by side and records their curves."""

    def __init__(self, job: TrainingJob) -> None:
        self._job = job
        program, config, dtype = job.program, job.config, job.config.dtype
        ratios = program.update_ratios
        measured = [name for name in program.curves if name not in ratios]
        recorded = [*measured, "gradient"] if config.gradients else measured
        self._move = Interpreter(program.only("loss", "weights", "state"), dtype)
        self._move_and_measure = Interpreter(program.only("loss", "weights", "state", *ratios), dtype)
        self._measure = Interpreter(program.only(*recorded), dtype)
        self._evaluate = Interpreter(program.only(*LOSS_AND_ACCURACY), dtype)
        self._samples = job.samples.cast(dtype)
        self._test = job.test and job.test.cast(dtype)
        self._columns = {name: column.astype(dtype) for name, column in job.columns.items()}
        trials, points = job.trials, len(config.recorded_steps)
        self._weights = np.ascontiguousarray(job.initial.T, dtype=dtype)
        self._state = np.repeat(np.array(program.initial_state, dtype=dtype)[:, None], trials, axis=1)
        self._before = self._weights, self._state
        self._alive = np.ones(trials, dtype=bool)
        self._epoch, self._epoch_order = -1, np.empty((trials, 0), dtype=np.int32)
        self._last_step = np.full(trials, config.steps)
        self._curves = {name: np.full((trials, points), np.nan) for name in job.curves}
        self._gradients = np.full((trials, points, len(self._weights)), np.nan) if config.gradients else None
        self._snapshots = np.full((trials, points, len(self._weights)), np.nan) if config.snapshots else None
        self._scores = Accumulators(config.scores, trials, config.steps, dtype)

    def train(self) -> History:
        """Train until the last step, or until all trials have diverged, and return the History."""
        steps, recorded_steps = self._job.config.steps, self._job.config.recorded_steps
        column = {int(step): k for k, step in enumerate(recorded_steps[:-1])}
        for step in range(steps):
            self._step(step, column.get(step))
            if not self._alive.any():
                break
        else:
            self._freeze_diverged(steps, self._run(self._evaluate)["loss"][0])
        self._record(-1, self._run(self._move_and_measure, steps))
        return History.from_kernel(
            self._job.program,
            recorded_steps,
            curves=self._curves,
            weights=np.ascontiguousarray(self._weights.T, dtype=float),
            last_step=self._last_step,
            diverged=~self._alive,
            kernel=NAME,
            gradients=self._gradients,
            snapshots=self._snapshots,
            scores=finished(self._job.config.scores, self._scores.values, self._last_step, ~self._alive, steps),
        )

    def _run(self, interpreter: Interpreter, step: int | None = None) -> dict[str, Floats]:
        """Run on the batch of a step, or on all samples without a step."""
        order = None if step is None else self._order(step)
        return interpreter(
            self._weights,
            self._state,
            self._columns,
            self._samples,
            order=order,
            step=step or 0,
            steps=self._job.schedule_steps,
        )

    def _order(self, step: int) -> Indexes | None:
        batches, samples = self._job.batches, len(self._samples.features)
        if batches is None:
            return None
        epoch, number = divmod(step, batches.per_epoch(samples))
        if epoch != self._epoch:
            self._epoch = epoch
            self._epoch_order = batches.order(slice(None), range(epoch, epoch + 1), samples)[0]
        order: Indexes = self._epoch_order[:, number * batches.size : (number + 1) * batches.size]
        return order

    def _step(self, step: int, column: int | None) -> None:
        results = self._run(self._move if column is None else self._move_and_measure, step)
        self._freeze_diverged(step, results["loss"][0])
        self._scores.add(step, results["loss"][0], self._alive)
        if column is not None:
            self._record(column, results)
        finite = np.isfinite(results["weights"]).all(axis=0) & np.isfinite(results["state"]).all(axis=0)
        self._freeze(self._alive & ~finite, step)
        self._before = self._weights, self._state
        self._weights = np.where(self._alive, results["weights"], self._weights)
        self._state = np.where(self._alive, results["state"], self._state)

    def _freeze_diverged(self, step: int, loss: Floats) -> None:
        """Freeze trials whose loss is infinite or NaN, and undo their last update, if there was one."""
        diverged = self._alive & ~np.isfinite(loss)
        if diverged.any():
            weights, state = self._before
            self._weights = np.where(diverged, weights, self._weights)
            self._state = np.where(diverged, state, self._state)
            self._freeze(diverged, max(step - 1, 0))

    def _freeze(self, trials: Flags, last_step: int) -> None:
        self._last_step[trials] = last_step
        self._alive &= ~trials

    def _record(self, column: int, update: Mapping[str, Floats]) -> None:
        """Record a point: the curves that measure the weights, on all samples, and those that measure the update."""
        measured = self._run(self._measure)
        for name in self._curves.keys() & (measured.keys() | update.keys()):
            self._curves[name][:, column] = (measured[name] if name in measured else update[name])[0]
        if self._snapshots is not None:
            self._snapshots[:, column] = self._weights.T
        if self._gradients is not None:
            self._gradients[:, column] = measured["gradient"].T
        if self._test is not None:
            tested = self._evaluate(self._weights, self._state, self._columns, self._test)
            for name, values in tested.items():
                self._curves[f"test_{name}"][:, column] = values[0]
