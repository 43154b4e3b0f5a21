"""`History`: what training a population brings back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from engine.neuron import Floats, Tensor
from engine.outcomes import Outcomes, classify
from engine.training import Integers, Training

Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class History:
    """Curves, final weights and outcomes of a population, by trial.

    A point at step s belongs to the weights before update s. Columns of a curve are the recorded `steps`, but the last
    column belongs to the final weights, and so to step `last_step` of its trial; the columns between are NaN.

    steps: (points,) recorded steps, first 0, last the number of updates asked for.
    curves: metric -> (trials, points): loss, accuracy, test_loss, test_accuracy; grad_norm, update_ratio, dead_units,
    each also by tensor or layer after a point. What is measured of an update is NaN where a trial has diverged.
    weights: (trials, weights), flat in the order of `tensors`: the last for which the loss was finite.
    last_step: (trials,) how many updates led to `weights`.
    diverged: (trials,) whether the trial left the finite numbers, at the step after `last_step`.
    gradients: (trials, points, weights), or None where they were not asked for.
    """

    steps: Integers
    curves: Mapping[str, Floats]
    weights: Floats
    last_step: Integers
    diverged: Flags
    tensors: tuple[Tensor, ...]
    kernel: str
    gradients: Floats | None = None

    @classmethod
    def ended(
        cls,
        training: Training,
        *,
        curves: Mapping[str, Floats],
        weights: Floats,
        last_step: Integers,
        diverged: Flags,
        kernel: str,
        gradients: Floats | None,
    ) -> History:
        """What a kernel has noted, without the points that a trial did not live to see. Changes the arrays in place."""
        passed = training.record[None, :-1] >= last_step[:, None]
        for curve in [*curves.values(), *([] if gradients is None else [gradients])]:
            curve[:, :-1][passed] = np.nan
        for name, curve in curves.items():
            if name.startswith("update_ratio"):
                curve[diverged, -1] = np.nan
        tensors = training.program.tensors
        return cls(training.record, curves, weights, last_step, diverged, tensors, kernel, gradients)

    @property
    def trials(self) -> int:
        return len(self.last_step)

    @cached_property
    def outcomes(self) -> Outcomes:
        """How each trial ended, and the step at which that began."""
        return classify(self.steps, self.curves, self.last_step, self.diverged, self.tensors)

    def outcome(self, trial: int) -> str:
        """How the trial ended: one of `outcomes.OUTCOMES`."""
        return self.outcomes.name(trial)

    def final(self, metric: str) -> Floats:
        """The metric at each trial's final weights, shape (trials,)."""
        return self.curves[metric][:, -1]

    def points(self, trial: int) -> list[tuple[int, int]]:
        """The trial's (column, step) pairs: recorded steps before its last, then its last."""
        last = int(self.last_step[trial])
        earlier = [(k, int(step)) for k, step in enumerate(self.steps[:-1]) if step < last]
        return [*earlier, (len(self.steps) - 1, last)]

    def tensor_values(self, trial: int) -> list[tuple[str, Floats]]:
        """The trial's final weights as (name, array of the tensor's shape)."""
        ends = np.cumsum([tensor.size for tensor in self.tensors])
        parts = np.split(self.weights[trial], ends[:-1])
        return [(t.name, part.reshape(t.shape)) for t, part in zip(self.tensors, parts, strict=True)]


def join(histories: list[History]) -> History:
    """One History of several that share a program and steps, trials one after another."""
    gradients = [h.gradients for h in histories if h.gradients is not None]
    return replace(
        histories[0],
        curves={name: np.concatenate([h.curves[name] for h in histories]) for name in histories[0].curves},
        weights=np.concatenate([h.weights for h in histories]),
        last_step=np.concatenate([h.last_step for h in histories]),
        diverged=np.concatenate([h.diverged for h in histories]),
        gradients=np.concatenate(gradients) if gradients else None,
    )
