"""A running sweep: it trains what is missing and records it, in the way that the sweep file asks for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from engine.arrays import Floats, Integers, Words
from experiments.asking import dimensions
from experiments.errors import StoreError
from experiments.stopping import UNDECIDED, stops_trials
from service.execution.asking import Asking
from service.execution.observer import ProgressObserver
from service.execution.pipeline import Pipeline
from service.execution.plan import Plan
from service.execution.pool import Pool
from service.execution.refine import Refined, refine
from service.execution.retry import Retry
from service.execution.screening import Kept, Screen
from service.execution.shard import Shard
from service.execution.shard_recorder import ShardRecorderRecipe, shard_recorder_recipe
from service.execution.shard_tables import ShardSummary, TableSettings
from service.execution.stopping import Stopping
from service.execution.sweep_state import SweepState
from service.recording.infos import SweepInfo
from service.recording.store import Store
from service.results.trials_table import best_trials


@dataclass
class Run:
    """A running sweep.

    deadline: the time of `time.monotonic` from which no shards are begun.
    over: whether trials are left because of that.
    planned: the plan before anything was decided on the way, for the number of its trials.
    asked: the points that a sampler was asked for before the sweep was resumed, and the batch of each.
    refined: what a refinement spared.
    """

    plan: Plan
    pool: Pool
    store: Store
    sweep: SweepInfo
    state: SweepState
    observer: ProgressObserver
    retry: Retry
    deadline: float
    planned: Plan
    asked: tuple[Words, Integers] | None = None
    over: bool = False
    refined: Refined | None = None

    def train(self, shard_size: int | None) -> None:
        """Train the missing trials and record them. If only the best get runs, write those runs last."""
        runs = self.plan.record.runs
        recipe = self._recipe(runs=runs == "all")
        note = "; ".join(part for part in (self.state.note, recipe.note) if part)
        self.observer.begin(self.planned, self.sweep, len(self.state.done), self.pool.workers, note)
        try:
            settings = TableSettings.of(self.plan, self.sweep, runs=runs == "all")

            def train(left_out: Integers) -> bool:
                shards = self._in_time(self.plan.shards(self.pool.workers, left_out, shard_size))
                Pipeline(self.pool, recipe, self.retry, self._commit).run(shards, self.plan.datasets, settings)
                return not self.over

            spec = self.plan.resolved.spec
            if self.plan.resolved.last_search.asks:
                self._ask(train)
            elif stops_trials(spec):
                self._stop_trials(train)
            elif spec.refine is None:
                train(self.state.done)
            else:
                self.refined = refine(self.plan, self.state.overview, lambda numbers: train(self._all_but(numbers)))
        finally:
            self.observer.end()
        if recipe.runs and not recipe.runs.chooses_ids:
            self.retry.call(lambda: self.store.discard_unfinished(self.sweep))  # a lost request may have created runs
        if not isinstance(runs, str) and not self.over:
            self._record_best(runs.top, shard_size)
        self.pool.release()

    def _ask(self, train: Callable[[Integers], bool]) -> None:
        """Train the points that a sampler is asked for, and record them."""
        names = [dimension.name for dimension in dimensions(self.plan.resolved.stages[-1].blocks[0])]
        recorded = set(self.state.done.tolist())

        def keep(points: Words, batches: Integers) -> None:
            self.retry.call(lambda: self.store.write_points(self.sweep, names, points, batches))

        def train_new(plan: Plan) -> bool:
            self.plan = plan
            left_out = np.array(sorted(recorded), dtype=np.int64)
            recorded.update(range(plan.trials))
            return len(left_out) == plan.trials or train(left_out)

        Asking(self.plan, keep, train_new, self.state.overview).run(self.asked)

    def _stop_trials(self, train: Callable[[Integers], bool]) -> None:
        """Train each trial to the step that halving or early stopping decides, and record it."""
        datasets = self.pool.share(self.plan.datasets)
        kept = np.zeros(self.plan.trials, dtype=bool) if self.plan.steps is None else self.plan.steps != UNDECIDED
        recorded = np.zeros(self.plan.trials, dtype=bool)

        kept_comparison = self.store.compared(self.sweep)

        def keep(comparison: Kept) -> None:
            with suppress(StoreError):  # then these trials are trained again
                self.store.write_compared(self.sweep, *comparison)

        screen = Screen(self.pool, self.plan, datasets, self._in_time, keep, kept_comparison)

        def screened(numbers: Integers, steps: int) -> Floats | None:
            self.observer.comparing(len(numbers), steps)
            return screen(numbers, steps)

        def settle(steps: Integers) -> bool:
            nonlocal kept
            decided = steps != UNDECIDED
            if (decided & ~kept).any():
                self.retry.call(lambda: self.store.write_steps(self.sweep, steps))
                kept = decided
            self.plan = replace(self.plan, steps=steps.copy())
            numbers = np.flatnonzero(decided & ~recorded)
            recorded[numbers] = True
            return not len(numbers) or train(self._all_but(numbers))

        Stopping(self.plan, screened, settle).run()

    def _in_time(self, shards: Iterator[Shard]) -> Iterator[Shard]:
        """Yield shards until the budget is over. `over` says whether some are left then."""
        for shard in shards:
            if time.monotonic() >= self.deadline:
                self.over = True
                return
            yield shard

    def _all_but(self, numbers: Integers) -> Integers:
        """Return the numbers of all trials but these, and of those that are recorded already."""
        left_out = np.ones(self.plan.trials, dtype=bool)
        left_out[numbers] = False
        left_out[self.state.done] = True
        return np.flatnonzero(left_out)

    def _commit(self, summary: ShardSummary, first: int, run_ids: list[str]) -> None:
        before = self.state.recorded
        self.state.commit(summary, first, run_ids)
        self.observer.advance(self.state.recorded - before, self.state.best)

    def _record_best(self, count: int, shard_size: int | None) -> None:
        """Train the best trials again, to the same bits, and record them as runs."""
        best = best_trials(self.state.overview(), self.plan.objective, count)
        missing = best["number"].to_numpy()[best["run_id"].isna()]
        if not len(missing):
            return

        def commit(summary: ShardSummary, first: int, run_ids: list[str]) -> None:
            numbers = summary.rows.column("number").to_pylist()[first:]
            for number, run_id in zip(numbers, run_ids, strict=False):
                self.state.add_run(number, run_id)

        left_out = np.ones(self.plan.trials, dtype=bool)
        left_out[missing] = False
        settings = TableSettings.of(self.plan, self.sweep, curves=False)
        shards = self.plan.shards(self.pool.workers, np.flatnonzero(left_out), shard_size)
        recipe = self._recipe(runs=True)
        Pipeline(self.pool, recipe, self.retry, commit).run(shards, self.plan.datasets, settings)

    def _recipe(self, *, runs: bool) -> ShardRecorderRecipe:
        return self.retry.call(lambda: shard_recorder_recipe(self.store, self.sweep, self.plan.record, runs=runs))
