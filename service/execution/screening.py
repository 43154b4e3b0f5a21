"""Train trials up to a step to compare them, and record nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from engine.arrays import Floats, Integers
from service.execution.interrupts import deferred_interrupts
from service.execution.plan import Plan
from service.execution.pool import Handle, Pool
from service.execution.shard import Shard

InTime = Callable[[Iterator[Shard]], Iterator[Shard]]
"""Yields the shards that the budget allows."""


def screen(
    pool: Pool, plan: Plan, numbers: Integers, steps: int, looks: int, in_time: InTime, datasets: Handle
) -> Floats | None:
    """Return the metric that the plan compares trials by, (numbers, looks). None if the budget was over before the end.

    numbers: of the trials, ascending.
    steps: to train them.
    looks: as for `service.execution.worker.screened`.
    datasets: of the plan, as `pool.share` returned them.
    """
    left_out = np.ones(plan.trials, dtype=bool)
    left_out[numbers] = False
    shortened = replace(plan, steps=np.full(plan.trials, steps))
    values, known = np.full((plan.trials, looks), np.nan), 0
    shards = in_time(shortened.shards(pool.workers, np.flatnonzero(left_out)))
    for shard, found in _screen_all(pool, shards, plan.stopping_metric, looks, datasets):
        values[shard] = found
        known += len(shard)
    return values[numbers] if known == len(numbers) else None


def _screen_all(
    pool: Pool, shards: Iterable[Shard], metric: str, looks: int, datasets: Handle
) -> Iterator[tuple[Integers, Floats]]:
    """Yield the numbers of each shard and their metric, as the tasks end."""
    remaining, at_work = iter(shards), dict[Handle, Integers]()
    try:
        while True:
            while len(at_work) < pool.tasks_at_once and (shard := next(remaining, None)) is not None:
                at_work[pool.screen(shard, datasets, metric, looks)] = shard.numbers
            if not at_work:
                return
            done = pool.first_done(list(at_work), None)
            yield at_work.pop(done), pool.fetch(done)
    finally:
        with deferred_interrupts():
            pool.cancel(list(at_work))
