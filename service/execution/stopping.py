"""Decide how many steps each trial is trained for: by successive halving and Hyperband, or by early stopping.

Trials are trained up to a rung to compare them. Those that leave there are trained once more, to the same bits, and
recorded; the others go on. The decisions are kept in the store before the trials are recorded, so a sweep that is
resumed goes on from the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats, Integers
from experiments.rungs import Ladder
from experiments.stopping import UNDECIDED
from service.execution.plan import Plan
from service.results.metrics import lower_is_better

_FIRST_LOOKS = 4  # patiences before the trials that have stopped are first recorded


@dataclass(frozen=True)
class Stopping:
    """Decides the steps of every trial of a plan.

    plan: with the steps that are decided already.
    screen: trains trials with these numbers for so many steps, and returns their metric, or the step at which each
        stops, (numbers,); None if the budget was over before the end.
    settle: keeps the steps that are decided, (trials,), and trains and records those trials; returns whether all of
        them are recorded.
    """

    plan: Plan
    screen: Callable[[Integers, int], Floats | None]
    settle: Callable[[Integers], bool]

    def run(self) -> None:
        """Decide and record all trials, or as many as the budget allows."""
        if self.plan.ladder:
            self._halve(self.plan.ladder)
        else:
            self._stop_early()

    def _decided(self) -> Integers:
        steps = self.plan.steps
        return np.full(self.plan.trials, UNDECIDED, dtype=np.int64) if steps is None else steps.copy()

    def _halve(self, ladder: Ladder) -> None:
        steps, configurations = self._decided(), self.plan.configurations
        every = int(configurations.max()) + 1
        if not self.settle(steps):
            return
        for rung, rung_steps in enumerate(ladder.rungs[:-1]):
            still_in = np.bincount(configurations[steps == UNDECIDED], minlength=every) > 0
            compared = [bracket.members for bracket in ladder.compared(rung, still_in)]
            if not compared:
                continue
            numbers = np.flatnonzero(np.isin(configurations, np.concatenate(compared)))
            found = self.screen(numbers, rung_steps)
            if found is None:
                return
            values = self._by_configuration(numbers, found, every)
            leave = ladder.worst(rung, still_in, values)
            steps[np.isin(configurations, leave)] = rung_steps
            if not self.settle(steps):
                return
        steps[steps == UNDECIDED] = ladder.rungs[-1]
        self.settle(steps)

    def _by_configuration(self, numbers: Integers, values: Floats, count: int) -> Floats:
        """Return the mean of each configuration, less is better, (count,). NaN if one of its trials has diverged."""
        configurations = self.plan.configurations[numbers]
        sign = 1.0 if lower_is_better(self.plan.stopping_metric) else -1.0
        trials = np.bincount(configurations, minlength=count)
        with np.errstate(all="ignore"):
            return np.asarray(sign * np.bincount(configurations, weights=values, minlength=count) / trials)

    def _stop_early(self) -> None:
        rule = self.plan.resolved.spec.early_stopping
        assert rule is not None
        steps, last = self._decided(), self._last_steps()
        every = rule.steps_between_looks
        stage = -(-_FIRST_LOOKS * rule.patience // every)  # looks
        if not self.settle(steps):
            return
        while (undecided := np.flatnonzero(steps == UNDECIDED)).size:
            for end in np.unique(np.minimum(last[undecided] // every, stage)).tolist():
                numbers = undecided[np.minimum(last[undecided] // every, stage) == end]
                if end:
                    found = self.screen(numbers, end * every)
                    if found is None:
                        return
                    steps[numbers] = found
                whole = numbers[(steps[numbers] == UNDECIDED) & (last[numbers] // every <= stage)]
                steps[whole] = last[whole]
            if not self.settle(steps):
                return
            stage *= 2

    def _last_steps(self) -> Integers:
        """Return the number of steps of each trial in the sweep file, (trials,)."""
        last = np.empty(self.plan.trials, dtype=np.int64)
        for population in self.plan.populations:
            last[population.numbers_at(np.arange(population.trials))] = population.architecture.config.steps
        return last
