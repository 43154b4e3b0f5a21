"""The reference kernel: one NumPy array of (trials, samples) for each scalar of the program. Plain, and right.

Determinism: every instruction works element by element, and a mean adds a trial's samples in an order that depends on
their number alone, so a trial's numbers do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.batches import Indexes
from engine.history import History, join
from engine.neuron import Floats
from engine.operations import PRIMITIVES, Scalar
from engine.program import Program, Reduction
from engine.samples import Samples
from engine.training import Training

NAME = f"reference 2 (numpy {np.__version__})"

_BLOCK_ELEMENTS = 32_768
"""Trials x samples of one array: small enough that a handful of arrays stay in the cache, large enough for NumPy."""

_AFTER_UPDATE = "update_ratio"  # curves of this beginning are measured of the update, the others of the weights


def train(training: Training) -> History:
    """Train every trial for all steps."""
    size = max(1, _BLOCK_ELEMENTS // len(training.samples.features))
    with np.errstate(all="ignore"):
        return join([_Block(training.part(slice(n, n + size))).train() for n in range(0, training.trials, size)])


class Evaluator:
    """A program made ready to be run on arrays: per-sample values are (trials, samples), the others (trials, 1)."""

    def __init__(self, program: Program, dtype: str = "float64") -> None:
        self._program = program
        self._type = np.dtype(dtype)
        first = program.first_instruction
        kept = {value for _, values in program.outputs for value in values}
        last_use = {operand: n for n, (_, operands) in enumerate(program.instructions) for operand in operands}
        dead: dict[int, list[int]] = {}
        for value, n in last_use.items():
            if value >= first and value not in kept:
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
        columns: Mapping[str, Floats],
        samples: Samples,
        *,
        order: Indexes | None = None,
        step: int = 0,
        steps: int = 0,
    ) -> dict[str, Floats]:
        """Every output as an array of (values, trials), from weights and state of that shape.

        `order`: (trials, samples) which samples each trial sees, where not all see all.
        """
        rows = slice(None) if order is None else order
        sources: dict[str, Callable[[Any], Any]] = {
            "weight": lambda i: weights[i][:, None],
            "state": lambda i: state[i][:, None],
            "column": lambda name: columns[name][:, None],
            "feature": lambda j: np.atleast_2d(samples.features[:, j][rows]),
            "target": lambda k: np.atleast_2d(samples.targets[:, k][rows]),
            "step": lambda _: self._type.type(step),
            "steps": lambda _: self._type.type(steps),
        }
        values: list[Any] = [sources[kind](key) for kind, key in self._program.inputs]
        values.extend(self._constants)
        for forward, operands, dead in self._steps:
            value = forward(*[values[operand] for operand in operands])
            values.append(value if value.dtype == self._type else value.astype(self._type))
            for last in dead:
                values[last] = None
        trials = weights.shape[1]
        return {name: _gather([values[v] for v in ids], trials) for name, ids in self._program.outputs}


def _sample_mean(x: Floats, y: Floats | None = None) -> Floats:
    values = x if y is None else x * y
    mean: Floats = values.sum(axis=1, keepdims=True) / values.dtype.type(values.shape[1])
    return mean


def _sample_any(x: Floats) -> Floats:
    found: Floats = (x != 0).any(axis=1, keepdims=True).astype(x.dtype)
    return found


_FORWARD: dict[str, Callable[..., Scalar]] = {name: row.forward for name, row in PRIMITIVES.items()}
_FORWARD[Reduction.MEAN] = _sample_mean
_FORWARD[Reduction.ANY] = _sample_any


def _gather(values: list[Any], trials: int) -> Floats:
    gathered = np.empty((len(values), trials), dtype=np.result_type(*values) if values else float)
    for row, value in zip(gathered, values, strict=True):
        row[:] = value[:, 0] if isinstance(value, np.ndarray) and value.ndim else value
    return gathered


class _Block:
    """Trials trained side by side, and what is noted of them."""

    def __init__(self, training: Training) -> None:
        self._training = training
        program, dtype = training.program, training.dtype
        ratios = [name for name in program.curves if name.startswith(_AFTER_UPDATE)]
        measured = [name for name in program.curves if name not in ratios]
        shown = [*measured, "gradient"] if training.gradients else measured
        self._move = Evaluator(program.only("loss", "weights", "state"), dtype)
        self._move_and_measure = Evaluator(program.only("loss", "weights", "state", *ratios), dtype)
        self._measure = Evaluator(program.only(*shown), dtype)
        self._evaluate = Evaluator(program.only("loss", "accuracy"), dtype)
        self._samples = training.samples.cast(dtype)
        self._test = training.test and training.test.cast(dtype)
        self._columns = {name: column.astype(dtype) for name, column in training.columns.items()}
        trials, points = training.trials, len(training.record)
        self._weights = np.ascontiguousarray(training.initial.T, dtype=dtype)
        self._state = np.repeat(np.array(program.initial_state, dtype=dtype)[:, None], trials, axis=1)
        self._before = self._weights, self._state
        self._alive = np.ones(trials, dtype=bool)
        self._epoch, self._epoch_order = -1, np.empty((trials, 0), dtype=np.int32)
        self._last_step = np.full(trials, training.steps)
        self._curves = {name: np.full((trials, points), np.nan) for name in training.curves}
        self._gradients = np.full((trials, points, len(self._weights)), np.nan) if training.gradients else None

    def train(self) -> History:
        steps = self._training.steps
        column = {int(step): k for k, step in enumerate(self._training.record[:-1])}
        for step in range(steps):
            self._step(step, column.get(step))
            if not self._alive.any():
                break
        else:
            self._freeze_lost(steps, self._run(self._evaluate)["loss"][0])
        self._note(-1, self._run(self._move_and_measure, steps))
        return History.ended(
            self._training,
            curves=self._curves,
            weights=np.ascontiguousarray(self._weights.T, dtype=float),
            last_step=self._last_step,
            diverged=~self._alive,
            kernel=NAME,
            gradients=self._gradients,
        )

    def _run(self, evaluator: Evaluator, step: int | None = None) -> dict[str, Floats]:
        """Evaluate on the batch of a step, or where there is none on all samples."""
        order = None if step is None else self._order(step)
        return evaluator(
            self._weights,
            self._state,
            self._columns,
            self._samples,
            order=order,
            step=step or 0,
            steps=self._training.scheduled_steps,
        )

    def _order(self, step: int) -> Indexes | None:
        batches, samples = self._training.batches, len(self._samples.features)
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
        self._freeze_lost(step, results["loss"][0])
        if column is not None:
            self._note(column, results)
        finite = np.isfinite(results["weights"]).all(axis=0) & np.isfinite(results["state"]).all(axis=0)
        self._freeze(self._alive & ~finite, step)
        self._before = self._weights, self._state
        self._weights = np.where(self._alive, results["weights"], self._weights)
        self._state = np.where(self._alive, results["state"], self._state)

    def _freeze_lost(self, step: int, loss: Floats) -> None:
        """A loss that is not finite condemns the update that led to it; at step 0 there is none to take back."""
        lost = self._alive & ~np.isfinite(loss)
        if lost.any():
            weights, state = self._before
            self._weights = np.where(lost, weights, self._weights)
            self._state = np.where(lost, state, self._state)
            self._freeze(lost, max(step - 1, 0))

    def _freeze(self, lanes: np.ndarray[Any, np.dtype[np.bool_]], last_step: int) -> None:
        self._last_step[lanes] = last_step
        self._alive &= ~lanes

    def _note(self, column: int, moved: Mapping[str, Floats]) -> None:
        """Note what is measured of the weights, on all samples, and of the update that they were about to make."""
        measured = self._run(self._measure)
        for name in self._curves.keys() & (measured.keys() | moved.keys()):
            self._curves[name][:, column] = (measured[name] if name in measured else moved[name])[0]
        if self._gradients is not None:
            self._gradients[:, column] = measured["gradient"].T
        if self._test is not None:
            tested = self._evaluate(self._weights, self._state, self._columns, self._test)
            for name, values in tested.items():
                self._curves[f"test_{name}"][:, column] = values[0]
