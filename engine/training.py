"""`Training`: all that determines how a population is trained, as a kernel is given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.batches import Batches
from engine.neuron import Floats
from engine.program import Program
from engine.samples import Samples

Integers = np.ndarray[Any, np.dtype[np.int64]]

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Training:
    """A population and what is done with it; `population.train` describes and checks the parts.

    initial: (trials, weights). columns: name -> (trials,). record: (points,) the steps to be noted, 0 and the last
    among them. batches: None for full batches. gradients: whether each weight's gradient is kept. horizon: the number
    of steps that schedules reckon with, where training stops before it.
    """

    program: Program
    initial: Floats
    columns: Mapping[str, Floats]
    samples: Samples
    test: Samples | None
    record: Integers
    batches: Batches | None = None
    gradients: bool = False
    dtype: str = "float64"
    horizon: int | None = None

    @property
    def trials(self) -> int:
        return len(self.initial)

    @property
    def steps(self) -> int:
        return int(self.record[-1])

    @property
    def scheduled_steps(self) -> int:
        """How many steps there are by the schedule."""
        return self.steps if self.horizon is None else self.horizon

    @property
    def curves(self) -> tuple[str, ...]:
        """The metrics that are noted: what the program measures, and loss and accuracy on the test part."""
        measured = self.program.curves
        tested = [f"test_{name}" for name in measured if name in ("loss", "accuracy") and self.test is not None]
        return (*measured, *tested)

    def part(self, trials: slice) -> Training:
        """Some of the trials."""
        batches = self.batches and replace(self.batches, seeds=self.batches.seeds[trials])
        columns = {name: column[trials] for name, column in self.columns.items()}
        return replace(self, initial=self.initial[trials], columns=columns, batches=batches)
