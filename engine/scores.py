"""Scores: one number a trial, from the loss of every step, such as the sum of the losses or their largest value.

A kernel keeps an accumulator for each score and adds every step's loss to it, in the order of the steps. The loss of
step s is that of the weights before update s, so a trial has one for each of its updates. In minibatches it is the
batch's. From the step at which a trial diverges, its loss counts as infinite, or as the score's cap.

>>> scores = (Score("fit", "sum", LOSS_RATIO), Score("half", "first", LOSS_RATIO, condition=("<", 0.5)))
>>> sums = Accumulators(scores, trials=2, steps=3, dtype="float64")
>>> for step, loss in enumerate(np.array([[4.0, 4.0], [2.0, 3.0], [1.0, 5.0]])):
...     sums.add(step, loss, np.array([True, True]))
>>> finished(scores, sums.values, np.array([3, 3]), np.array([False, False]), steps=3)
{'fit': array([1.75, 3.  ]), 'half': array([ 2., nan])}
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Array, Flags, Floats, Integers

LOSS, LOSS_RATIO, INVERSE_RATIO = QUANTITIES = ("loss", "loss_ratio", "1/loss_ratio")
"""What a score is of: a step's loss, its ratio to the loss of step 0, or the inverse of this ratio."""

SUM, MEAN, LEAST, GREATEST, FIRST = KINDS = ("sum", "mean", "min", "max", "first")
"""How a score comes from the steps; `first` is the first step at which a condition holds."""

SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""The comparisons of a condition."""

_STARTS = {SUM: 0.0, MEAN: 0.0, LEAST: np.inf, GREATEST: -np.inf, FIRST: np.nan}


@dataclass(frozen=True)
class Score:
    """A number that sums up the loss of all steps.

    name: its name.
    kind: one of KINDS.
    quantity: one of QUANTITIES.
    last: how many steps it is of, the last ones; all if None.
    cap: the greatest value of a step's loss, or of its ratio. The steps after a trial diverged have this value.
    condition: for `first`, one of SIGNS and the number to compare with.

    Raises ValueError for fields that are unknown or do not fit together.
    """

    name: str
    kind: str
    quantity: str = LOSS
    last: int | None = None
    cap: float | None = None
    condition: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.quantity not in QUANTITIES:
            raise ValueError(
                f"a score is {', '.join(KINDS)} of {', '.join(QUANTITIES)}, not {self.kind} of {self.quantity}"
            )
        if (self.condition is None) == (self.kind == FIRST):
            raise ValueError(f"a score has a condition if it is {FIRST}, and only then")
        if self.condition is not None and (
            self.condition[0] not in SIGNS or self.last is not None or self.cap is not None
        ):
            raise ValueError(f"{FIRST} has a condition with one of {' '.join(SIGNS)}, and neither last nor cap")
        if (self.last is not None and self.last < 1) or (self.cap is not None and not self.cap > 0):
            raise ValueError(f"last is at least 1 and cap above 0, not {self.last} and {self.cap}")

    def begin(self, steps: int) -> int:
        """Return the first step that it is of. steps: of the training."""
        return 0 if self.last is None else max(steps - self.last, 0)

    @property
    def lost_value(self) -> float:
        """The quantity of a step after the trial diverged."""
        cap = np.inf if self.cap is None else self.cap
        return 1.0 / cap if self.quantity == INVERSE_RATIO else cap


def start_values(scores: Sequence[Score], dtype: str) -> Array:
    """Return the values of the accumulators before the first step: that of the first loss, then one for each score."""
    return np.array([np.nan, *(_STARTS[score.kind] for score in scores)], dtype=dtype)


class Accumulators:
    """The accumulators of some trials. A kernel in machine code has the same, step by step to the same bits.

    values: (1 + scores, trials), the loss of step 0, then what each score has come to.
    """

    def __init__(self, scores: Sequence[Score], trials: int, steps: int, dtype: str) -> None:
        self._scores = scores
        self._steps = steps
        self._type = np.dtype(dtype).type
        self.values = np.repeat(start_values(scores, dtype)[:, None], trials, axis=1)

    def add(self, step: int, loss: Floats, alive: Flags) -> None:
        """Add a step. loss: (trials,). alive: (trials,), whether a trial has not diverged, at this step or before."""
        if step == 0:
            self.values[0] = loss
        for row, score in enumerate(self._scores, start=1):
            if step >= score.begin(self._steps):
                old = self.values[row]
                self.values[row] = np.where(alive, self._next(score, old, self._quantity(score, loss), step), old)

    def _quantity(self, score: Score, loss: Floats) -> Array:
        value: Array = loss if score.quantity == LOSS else loss / self.values[0]
        if score.cap is not None:
            value = np.where(value > self._type(score.cap), self._type(score.cap), value)
        return self._type(1.0) / value if score.quantity == INVERSE_RATIO else value

    def _next(self, score: Score, old: Array, value: Array, step: int) -> Array:
        if score.condition is not None:
            sign, bound = score.condition
            return np.where(np.isnan(old) & SIGNS[sign](value, self._type(bound)), self._type(step), old)
        if score.kind in (SUM, MEAN):
            return np.asarray(old + value)
        return np.where(value < old if score.kind == LEAST else value > old, value, old)


def finished(
    scores: Sequence[Score], values: Array, last_step: Integers, diverged: Flags, steps: int
) -> dict[str, Floats]:
    """Return each score by its name, (trials,).

    scores: the scores.
    values: (1 + scores, trials), the accumulators after training.
    last_step: (trials,), number of updates that led to the final weights.
    diverged: (trials,), whether the loss or the weights became infinite or NaN.
    steps: number of updates of a trial that did not diverge.

    A score of ratios is NaN if the loss of step 0 is 0, and the first step is NaN if there is none.
    """
    first = values[0].astype(np.float64)
    counted = np.where(np.isfinite(first), np.where(diverged, last_step + 1, steps), 0)
    with np.errstate(all="ignore"):
        return {
            score.name: _finished(score, row.astype(np.float64), first, counted, steps)
            for score, row in zip(scores, values[1:], strict=True)
        }


def _finished(score: Score, value: Floats, first: Floats, counted: Integers, steps: int) -> Floats:
    """Return a score's values with the steps after divergence. counted: (trials,), the number of steps before it."""
    missing = steps - np.maximum(counted, score.begin(steps))
    lost = score.lost_value
    if score.condition is not None:
        sign, bound = score.condition
        late = (missing > 0) & np.isnan(value) & SIGNS[sign](lost, bound)
        value = np.where(late, counted, value)
    elif score.kind in (SUM, MEAN):
        value = np.where(missing > 0, value + missing * lost, value)
        value = value / (steps - score.begin(steps)) if score.kind == MEAN else value
    else:
        extreme = np.minimum(value, lost) if score.kind == LEAST else np.maximum(value, lost)
        value = np.where(missing > 0, extreme, value)
    return np.where(first == 0.0, np.nan, value) if score.quantity != LOSS else value
