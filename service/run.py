"""The main job: check, open, plan, train, record, finish.

A spec becomes a table of trials. Trials that share an architecture and a data set are cut into shards. Ray tasks train
the shards, and Ray actors record each trial as an MLflow run. The driver passes references.

Nothing is written until all input is checked, the store is open and Ray is reached.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np

from engine.arrays import Floats, Integers, Words
from experiments.errors import GradgridError, StoreError, SweepInterruptedError
from experiments.spec import ResolvedSpec
from experiments.stopping import UNDECIDED, stops_trials
from service.execution import summary
from service.execution.asking import Asking, check_sampler
from service.execution.beginning import begin_sweep, reopen_sweep
from service.execution.cluster import open_pool
from service.execution.estimate import trains_here
from service.execution.heartbeat import Heartbeat
from service.execution.interrupts import deferred_interrupts, terminable
from service.execution.observer import NullObserver, ProgressObserver
from service.execution.pipeline import Pipeline
from service.execution.plan import Plan, make_plan
from service.execution.pool import Pool
from service.execution.recorded_plan import with_decisions
from service.execution.recovery import recovered_state
from service.execution.refine import Refined, refine
from service.execution.result import SweepResult, best_trial
from service.execution.retry import DEFAULT_SECONDS, Retry
from service.execution.screening import Screen
from service.execution.seconds import seconds_counted, total_seconds
from service.execution.shard import Shard
from service.execution.shard_recorder import ShardRecorderRecipe, shard_recorder_recipe
from service.execution.shard_tables import ShardSummary, TableSettings
from service.execution.stopping import Stopping
from service.execution.sweep_state import SweepState
from service.recording.connection import import_libraries
from service.recording.infos import SweepInfo
from service.recording.pages import guide, served_page, sweep_pages
from service.recording.saved_views import subject_of
from service.recording.signs_of_life import SECONDS_BETWEEN_BEATS, driving, heartbeat_tags
from service.recording.store import Store
from service.report.phase_pictures import heat_map
from service.results.row_spool import main_metrics
from service.results.trials_table import best_trials


def run_sweep(
    resolved: ResolvedSpec,
    *,
    tracking_uri: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    inline: bool = False,
    resume: str | None = None,
    extend: bool = False,
    observer: ProgressObserver | None = None,
    shard_size: int | None = None,
    backend_store_uri: str | None = None,
    store_timeout: float = DEFAULT_SECONDS,
    job: str | None = None,
    minutes: float | None = None,
) -> SweepResult:
    """Train every trial of the spec and record each as an MLflow run; return the result once all are recorded.

    tracking_uri, workers, address, inline, backend_store_uri: as the options of the command. A sweep that ends before
    Ray would have started is trained in threads, unless workers or an address are given.
    resume: a sweep whose missing trials to train, instead of a new sweep.
    extend: whether the last extension of the spec is new to that sweep.
    observer: receives the events of the sweep.
    shard_size: trials a task, for tests. The results don't depend on it.
    store_timeout: seconds to wait for a store that is unavailable. Training goes on meanwhile.
    job: the id of the cluster's job that runs the sweep. It resumes the sweep that it began before, if any.
    minutes: the budget. When it is over, no more shards are begun; the sweep ends, and can be resumed.
    Raises SpecError, DataError, StoreError and ClusterError; SweepInterruptedError if it is interrupted.
    """
    start = time.monotonic()
    plan = make_plan(resolved)
    check_sampler(plan)
    observer = observer or NullObserver()
    here = not inline and trains_here(plan.newest if extend else plan, workers, address)
    with terminable(), open_pool(inline=inline, here=here, address=address, workers=workers) as pool:
        import_libraries(tracking_uri)  # while Ray starts
        pool.wait()
        store = Store(tracking_uri, create=True, backend_uri=backend_store_uri)
        resume = resume or (store.sweep_of_job(job) if job else None)
        with deferred_interrupts():
            sweep = reopen_sweep(store, resume, plan, job, extend=extend) if resume else begin_sweep(store, plan, job)
        deadline = math.inf if minutes is None else start + 60 * minutes
        alive = Heartbeat(lambda: store.tag(sweep, heartbeat_tags()), SECONDS_BETWEEN_BEATS)
        with driving(sweep), alive:  # from now on: to read a large sweep back takes minutes
            with seconds_counted(store, sweep, start):
                planned, plan = plan, with_decisions(plan, store, sweep) if resume else plan
                state = recovered_state(store, sweep, plan) if resume else SweepState(plan)
            with ExitStack() as on_failure:
                on_failure.callback(state.close)
                retry = Retry(store_timeout, observer)
                option = f"{store.option}{' --inline' * inline}"
                run = _Run(plan, pool, store, sweep, state, observer, retry, deadline, planned, option)
                with _finish_on_exit(run, start):
                    run.train(shard_size)
                result = _result(run, start)
                on_failure.pop_all()  # the result reads the state's files
                return result


@dataclass
class _Run:
    """A running sweep.

    deadline: the time of `time.monotonic` from which no shards are begun.
    over: whether trials are left because of that.
    planned: the plan as the sweep file has it, for the total number of trials.
    option: the options of the command that resumes it.
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
    option: str
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
        trained = 0

        def keep(names: Sequence[str], points: Words, batches: Integers) -> None:
            self.retry.call(lambda: self.store.write_points(self.sweep, names, points, batches))

        def train_new(plan: Plan) -> bool:
            nonlocal trained
            self.plan, new, trained = plan, np.arange(trained, plan.trials), plan.trials
            return not len(new) or train(self._all_but(new))

        Asking(self.plan, keep, train_new, self.state.overview).run(self.store.points(self.sweep))

    def _stop_trials(self, train: Callable[[Integers], bool]) -> None:
        """Train each trial to the step that halving or early stopping decides, and record it."""
        recorded = np.zeros(self.plan.trials, dtype=bool)

        def keep(steps: int, numbers: Integers, values: Floats) -> None:
            with suppress(StoreError):  # then these trials are trained again
                self.store.write_compared(self.sweep, steps, numbers, values)

        def settle(steps: Integers) -> bool:
            if (steps != (UNDECIDED if self.plan.steps is None else self.plan.steps)).any():
                self.retry.call(lambda: self.store.write_steps(self.sweep, steps))
            self.plan = replace(self.plan, steps=steps.copy())
            new = np.flatnonzero((steps != UNDECIDED) & ~recorded)
            recorded[new] = True
            return not len(new) or train(self._all_but(new))

        kept = self.store.compared(self.sweep)
        screen = Screen(self.pool, self.plan, self.observer, self._in_time, keep, kept)
        Stopping(self.plan, screen, settle).run()

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
        best = best_trials(self.state.overview(), self.plan.objective, count)["number"].to_numpy()
        missing = best[[run_id is None for run_id in self.state.run_ids(best.tolist())]]
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


@contextmanager
def _finish_on_exit(run: _Run, start: float) -> Iterator[None]:
    """End the sweep's run when the block ends: write its table, and the status that fits."""
    sweep, store, state = run.sweep, run.store, run.state
    hint = f"`gradgrid resume {sweep.sweep}{run.option}` trains the rest"
    try:
        try:
            yield
            status = "KILLED" if run.over else "FINISHED"
            run.retry.call(lambda: _finish(run, status, start))
        except KeyboardInterrupt:
            run.pool.release()
            with suppress(StoreError, KeyboardInterrupt):  # the sweep can be resumed without a table
                _finish(run, "KILLED", start)
            recorded = f"{state.recorded:,} of {run.planned.trials:,} trials are recorded"
            raise SweepInterruptedError(f"interrupted: {recorded}; {hint}") from None
    except SweepInterruptedError:
        raise
    except GradgridError as error:
        store.abandon(sweep, total_seconds(sweep, start))
        raise type(error)(f"{error}\nrecorded trials stay; {hint}") from error
    except Exception:
        store.abandon(sweep, total_seconds(sweep, start))
        raise


def _finish(run: _Run, status: str, start: float) -> None:
    plan, state = run.plan, run.state
    with deferred_interrupts():
        file = state.write_table()
        overview = state.overview()
        guide(
            run.store, run.sweep, subject_of(overview, plan.swept, plan.objective, main_metrics(file, plan.objective))
        )
        pages = sweep_pages(run.store, run.sweep)
        run.store.end(
            run.sweep,
            status,
            table=file,
            metrics={
                **summary.sweep_metrics(overview, plan.objective, total_seconds(run.sweep, start)),
                **(run.refined.metrics if run.refined else {}),
            },
            description=summary.description(plan, run.sweep.experiment_id, overview, pages, state.run_ids),
            files=heat_map(plan, overview),
        )


def _result(run: _Run, start: float) -> SweepResult:
    store, sweep, state = run.store, run.sweep, run.state
    overview = state.overview()
    return SweepResult(
        sweep=sweep.sweep,
        sweep_run_id=sweep.run_id,
        experiment_id=sweep.experiment_id,
        tracking_uri=store.uri,
        seconds=time.monotonic() - start,
        objective=run.plan.objective,
        swept=run.plan.swept,
        recorded=len(overview) - len(state.done),
        planned=run.planned.trials if run.over else len(overview),
        best=best_trial(state.write_table(), overview, run.plan.objective),
        runs=state.runs,
        overview=overview,
        run_ids=state.run_ids,
        read_table=state.table,
        page=served_page(store, sweep),
        refined=run.refined,
    )
