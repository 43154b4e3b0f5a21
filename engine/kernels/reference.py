"""The reference kernel: one NumPy array of (trials, samples) for each scalar of the program. Plain, and right.

Determinism: every instruction works element by element, and a mean adds a trial's samples in an order that depends on
their number alone, so a trial's numbers do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.history import Floats, History, Integers, join
from engine.operations import PRIMITIVES, Scalar
from engine.program import SAMPLE_MEAN, Program
from engine.samples import Samples

NAME = f"reference 1 (numpy {np.__version__})"

_BLOCK_ELEMENTS = 32_768
"""Trials x samples of one array: small enough that a handful of arrays stay in the cache, large enough for NumPy."""


def train(
    program: Program,
    initial: Floats,
    columns: Mapping[str, Floats],
    training: Samples,
    test: Samples | None,
    record: Integers,
    *,
    gradients: bool = False,
) -> History:
    """Train every trial for `record[-1]` steps. `population.train` describes and checks the arguments."""
    size = max(1, _BLOCK_ELEMENTS // len(training.features))
    blocks = []
    for start in range(0, len(initial), size):
        part = slice(start, start + size)
        own = {name: column[part] for name, column in columns.items()}
        blocks.append(_Block(program, initial[part], own, training, test, record, gradients).train())
    return join(blocks)


class Evaluator:
    """A program made ready to be run on arrays: per-sample values are (trials, samples), the others (trials, 1)."""

    def __init__(self, program: Program) -> None:
        self._program = program
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

    def __call__(
        self, weights: Floats, state: Floats, columns: Mapping[str, Floats], samples: Samples
    ) -> dict[str, Floats]:
        """Every output as an array of (values, trials), from weights and state of that shape."""
        sources: dict[str, Callable[[Any], Floats]] = {
            "weight": lambda i: weights[i][:, None],
            "state": lambda i: state[i][:, None],
            "column": lambda name: columns[name][:, None],
            "feature": lambda j: samples.features[:, j][None, :],
            "target": lambda k: samples.targets[:, k][None, :],
        }
        values: list[Any] = [sources[kind](key) for kind, key in self._program.inputs]
        values.extend(self._program.constants)
        for forward, operands, dead in self._steps:
            values.append(forward(*[values[operand] for operand in operands]))
            for value in dead:
                values[value] = None
        trials = weights.shape[1]
        return {name: _gather([values[v] for v in ids], trials) for name, ids in self._program.outputs}


def _sample_mean(x: Floats) -> Floats:
    mean: Floats = x.sum(axis=1, keepdims=True) / x.shape[1]
    return mean


_FORWARD: dict[str, Callable[..., Scalar]] = {name: row.forward for name, row in PRIMITIVES.items()}
_FORWARD[SAMPLE_MEAN] = _sample_mean


def _gather(values: list[Any], trials: int) -> Floats:
    gathered = np.empty((len(values), trials))
    for row, value in zip(gathered, values, strict=True):
        row[:] = value[:, 0] if isinstance(value, np.ndarray) else value
    return gathered


class _Block:
    """Trials trained side by side, and what is noted of them."""

    def __init__(
        self,
        program: Program,
        initial: Floats,
        columns: Mapping[str, Floats],
        training: Samples,
        test: Samples | None,
        record: Integers,
        gradients: bool,
    ) -> None:
        self._training, self._test, self._columns = training, test, columns
        self._record, self._tensors = record, program.tensors
        observed = [name for name in program.output_names if name not in ("weights", "state", "gradient")]
        shown = [*observed, "gradient"] if gradients else observed
        self._move = Evaluator(program.only("loss", "weights", "state"))
        self._move_and_observe = Evaluator(program.only("weights", "state", *shown))
        self._observe = Evaluator(program.only(*shown))
        self._evaluate = Evaluator(program.only("loss", "accuracy"))
        trials = len(initial)
        self._weights = np.ascontiguousarray(initial.T)
        self._before = self._weights
        self._state = np.repeat(np.array(program.initial_state)[:, None], trials, axis=1)
        self._alive = np.ones(trials, dtype=bool)
        self._last_step = np.full(trials, record[-1])
        test_curves = [name for name in ("test_loss", "test_accuracy") if name.removeprefix("test_") in observed]
        names = [*observed, *test_curves] if test is not None else observed
        self._curves = {name: np.full((trials, len(record)), np.nan) for name in names}
        self._gradients = np.full((trials, len(record), len(self._weights)), np.nan) if gradients else None

    def train(self) -> History:
        column = {int(step): k for k, step in enumerate(self._record[:-1])}
        with np.errstate(all="ignore"):
            for step in range(int(self._record[-1])):
                self._step(step, column.get(step))
                if not self._alive.any():
                    break
            else:
                self._freeze_lost(int(self._record[-1]), self._run(self._evaluate)["loss"][0])
            self._note(len(self._record) - 1, self._run(self._observe))
        return self._history()

    def _run(self, evaluator: Evaluator) -> dict[str, Floats]:
        return evaluator(self._weights, self._state, self._columns, self._training)

    def _step(self, step: int, column: int | None) -> None:
        results = self._run(self._move if column is None else self._move_and_observe)
        self._freeze_lost(step, results["loss"][0])
        if column is not None:
            self._note(column, results)
        finite = np.isfinite(results["weights"]).all(axis=0) & np.isfinite(results["state"]).all(axis=0)
        self._freeze(self._alive & ~finite, step)
        self._before = self._weights
        self._weights = np.where(self._alive, results["weights"], self._weights)
        self._state = np.where(self._alive, results["state"], self._state)

    def _freeze_lost(self, step: int, loss: Floats) -> None:
        """A loss that is not finite condemns the update that led to it; at step 0 there is none to take back."""
        lost = self._alive & ~np.isfinite(loss)
        if lost.any():
            self._weights = np.where(lost, self._before, self._weights)
            self._freeze(lost, max(step - 1, 0))

    def _freeze(self, lanes: np.ndarray[Any, np.dtype[np.bool_]], last_step: int) -> None:
        self._last_step[lanes] = last_step
        self._alive &= ~lanes

    def _note(self, column: int, results: Mapping[str, Floats]) -> None:
        for name in self._curves.keys() & results.keys():
            self._curves[name][:, column] = results[name][0]
        if self._gradients is not None:
            self._gradients[:, column] = results["gradient"].T
        if self._test is not None:
            tested = self._evaluate(self._weights, self._state, self._columns, self._test)
            for name, values in tested.items():
                self._curves[f"test_{name}"][:, column] = values[0]

    def _history(self) -> History:
        passed = self._record[None, :-1] >= self._last_step[:, None]
        for curve in [*self._curves.values(), *([] if self._gradients is None else [self._gradients])]:
            curve[:, :-1][passed] = np.nan
        return History(
            steps=self._record,
            curves=self._curves,
            weights=np.ascontiguousarray(self._weights.T),
            last_step=self._last_step,
            diverged=~self._alive,
            tensors=self._tensors,
            kernel=NAME,
            gradients=self._gradients,
        )
