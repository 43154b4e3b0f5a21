"""Train trials up to a step to compare them, and record nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from engine.arrays import Floats, Integers
from service.execution.observer import ProgressObserver
from service.execution.plan import Plan
from service.execution.pool import Handle, Pool
from service.execution.shard import Shard

_MOST_VALUES = 2_000_000  # of a shard's curves

InTime = Callable[[Iterator[Shard]], Iterator[Shard]]
"""Yields the shards that the budget allows."""

Kept = tuple[int, Integers, Floats]
"""A comparison that was not finished: the steps, the numbers of trials, ascending, and their values."""


@dataclass
class Screen:
    """Compares the trials of a plan.

    observer: hears of each comparison.
    in_time: the budget.
    keep: keeps a comparison that the budget cut short, or that was interrupted.
    kept: one that was kept when the sweep last ran.
    """

    pool: Pool
    plan: Plan
    observer: ProgressObserver
    in_time: InTime
    keep: Callable[[int, Integers, Floats], None]
    kept: Kept | None

    @cached_property
    def _datasets(self) -> Handle:
        return self.pool.share(self.plan.datasets)

    def __call__(self, numbers: Integers, steps: int) -> Floats | None:
        """Return what `service.execution.worker.screened` finds for trials, (numbers,); None if the budget was over.

        numbers: of the trials, ascending.
        steps: to train them.
        """
        self.observer.comparing(len(numbers), steps)
        values, known = np.full(len(numbers), np.nan), np.zeros(len(numbers), dtype=bool)
        if self.kept and self.kept[0] == steps:
            _, found, of = self.kept
            places = np.searchsorted(numbers, found)
            is_one = numbers[np.minimum(places, len(numbers) - 1)] == found
            values[places[is_one]], known[places[is_one]] = of[is_one], True
        try:
            for shard, found_values in self._screened(numbers[~known], steps):
                places = np.searchsorted(numbers, shard)
                values[places], known[places] = found_values, True
        finally:
            if not known.all() and known.any():
                self.keep(steps, numbers[known], values[known])
        return values if known.all() else None

    def _screened(self, numbers: Integers, steps: int) -> Iterator[tuple[Integers, Floats]]:
        """Yield the numbers and the values of each shard, as its task ends."""
        plan, rule = self.plan, self.plan.resolved.spec.early_stopping
        left_out = np.ones(plan.trials, dtype=bool)
        left_out[numbers] = False
        shortened = replace(plan, steps=np.full(plan.trials, steps))
        looks = 2 if rule is None else steps // rule.steps_between_looks + 1
        size = None if looks < 1000 else max(1, _MOST_VALUES // looks)
        shards = self.in_time(shortened.shards(self.pool.workers, np.flatnonzero(left_out), size))
        yield from self._as_they_end(shards)

    def _as_they_end(self, shards: Iterable[Shard]) -> Iterator[tuple[Integers, Floats]]:
        pool, remaining, at_work = self.pool, iter(shards), dict[Handle, Integers]()
        metric, rule = self.plan.stopping_metric, self.plan.resolved.spec.early_stopping
        while True:
            while len(at_work) < pool.tasks_at_once and (shard := next(remaining, None)) is not None:
                at_work[pool.screen(shard, self._datasets, metric, rule)] = shard.numbers
            if not at_work:
                return
            done = pool.first_done(list(at_work), None)
            yield at_work.pop(done), pool.fetch(done)
