"""`History`: the result of training a population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from engine.arrays import Flags, Floats, Integers
from engine.outcomes import Outcomes, classify
from engine.program import Program
from engine.tensors import Tensor, split


@dataclass(frozen=True)
class History:
    """Curves, final weights and outcomes of a population.

    steps: (points,) recorded steps. The first is 0, the last is the number of updates in the configuration.
    curves: metric -> (trials, points). The metrics are loss, accuracy, test_loss, test_accuracy, grad_norm,
    update_ratio and dead_units. The last three also have a curve for each tensor or layer, such as
    `grad_norm.layer1.weight`.
    weights: (trials, weights), flat in the order of `tensors`: the last ones with a finite loss.
    last_step: (trials,) number of updates that led to `weights`.
    diverged: (trials,) whether the loss or the weights became infinite or NaN at the step after `last_step`.
    tensors: names and shapes of the weights.
    kernel: name and version of the kernel.
    gradients: (trials, points, weights), or None if they were not recorded.
    scores: name -> (trials,), the scores of the configuration (see `engine.scores`).
    snapshots: (trials, points, weights), the weights at each recorded step, or None if they were not kept.

    A point at step s is measured of the weights before update s. The last point is measured of the final weights, and
    so belongs to the trial's `last_step`. Points after `last_step` are NaN, and so is the last update ratio of a trial
    that diverged.
    """

    steps: Integers
    curves: Mapping[str, Floats]
    weights: Floats
    last_step: Integers
    diverged: Flags
    tensors: tuple[Tensor, ...]
    kernel: str
    gradients: Floats | None = None
    scores: Mapping[str, Floats] = field(default_factory=dict)
    snapshots: Floats | None = None

    @classmethod
    def from_kernel(
        cls,
        program: Program,
        steps: Integers,
        *,
        curves: Mapping[str, Floats],
        weights: Floats,
        last_step: Integers,
        diverged: Flags,
        kernel: str,
        gradients: Floats | None,
        scores: Mapping[str, Floats],
        snapshots: Floats | None,
    ) -> History:
        """Return the History of a kernel's records, after setting points after a trial's last step to NaN, in place."""
        after_end = steps[None, :-1] >= last_step[:, None]
        of_weights = [array for array in (gradients, snapshots) if array is not None]
        for curve in [*curves.values(), *of_weights]:
            curve[:, :-1][after_end] = np.nan
        for name in program.update_ratios:
            curves[name][diverged, -1] = np.nan
        return cls(steps, curves, weights, last_step, diverged, program.tensors, kernel, gradients, scores, snapshots)

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self.last_step)

    @cached_property
    def outcomes(self) -> Outcomes:
        """The outcome of each trial, with its onset."""
        return classify(self.steps, self.curves, self.last_step, self.diverged, self.tensors)

    def outcome(self, trial: int) -> str:
        """Return the outcome of a trial: one of `outcomes.OUTCOMES`."""
        return self.outcomes.name(trial)

    def final(self, metric: str) -> Floats:
        """Return a metric of each trial's final weights, (trials,). Raises KeyError for an unknown metric."""
        return self.curves[metric][:, -1]

    def points(self, trial: int) -> list[tuple[int, int]]:
        """Return a trial's points as (column of a curve, step): the recorded steps before its last step, then that."""
        last = int(self.last_step[trial])
        earlier = [(k, int(step)) for k, step in enumerate(self.steps[:-1]) if step < last]
        return [*earlier, (len(self.steps) - 1, last)]

    def tensor_values(self, trial: int) -> list[tuple[str, Floats]]:
        """Return a trial's final weights as (name of the tensor, array of its shape)."""
        flat: Floats = self.weights[trial]
        return [(tensor.name, numbers.reshape(tensor.shape)) for tensor, numbers in split(flat, self.tensors)]


def join(histories: list[History]) -> History:
    """Return the trials of several histories, one after another. They share a program and recorded steps."""
    gradients = [h.gradients for h in histories if h.gradients is not None]
    snapshots = [h.snapshots for h in histories if h.snapshots is not None]
    return replace(
        histories[0],
        curves={name: np.concatenate([h.curves[name] for h in histories]) for name in histories[0].curves},
        weights=np.concatenate([h.weights for h in histories]),
        last_step=np.concatenate([h.last_step for h in histories]),
        diverged=np.concatenate([h.diverged for h in histories]),
        gradients=np.concatenate(gradients) if gradients else None,
        snapshots=np.concatenate(snapshots) if snapshots else None,
        scores={name: np.concatenate([h.scores[name] for h in histories]) for name in histories[0].scores},
    )
