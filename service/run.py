"""The main job: check, open, plan, train, record, finish.

A spec becomes a table of trials. Trials that share an architecture and a data set are cut into shards. Ray tasks train
the shards, and Ray actors record each trial as an MLflow run. The driver passes references.

Nothing is written until all input is checked, the store is open and Ray is reached.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress

import pandas as pd

from engine import DIVERGED
from experiments.errors import GradgridError, StoreError, SweepInterruptedError
from experiments.spec import ResolvedSpec
from service.execution import summary
from service.execution.asking import check_sampler
from service.execution.beginning import begin_sweep, reopen_sweep
from service.execution.cluster import open_pool
from service.execution.estimate import trains_here
from service.execution.heartbeat import Heartbeat
from service.execution.interrupts import deferred_interrupts, terminable
from service.execution.observer import NullObserver, ProgressObserver
from service.execution.plan import make_plan
from service.execution.recorded_plan import with_decisions
from service.execution.recovery import recovered_state
from service.execution.result import SweepResult, best_trial, table_reader
from service.execution.retry import DEFAULT_SECONDS, Retry
from service.execution.run import Run
from service.execution.sweep_state import SweepState
from service.recording.connection import import_libraries
from service.recording.pages import guide, served_page, sweep_pages
from service.recording.saved_views import subject_of
from service.recording.signs_of_life import SECONDS_BETWEEN_BEATS, driving, heartbeat_tags
from service.recording.store import Store
from service.report.phase_pictures import heat_map
from service.results.metrics import METRICS, outcome_counts
from service.results.row_spool import main_metrics, read_overview
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
    Ray would have started runs inline, unless workers or an address are given.
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
    inline = inline or trains_here(plan.newest if extend else plan, workers, address)
    with terminable(), open_pool(inline=inline, address=address, workers=workers) as pool:
        import_libraries(tracking_uri)  # while Ray starts
        pool.wait()
        store = Store(tracking_uri, create=True, backend_uri=backend_store_uri)
        resume = resume or (store.sweep_of_job(job) if job else None)
        with deferred_interrupts():
            sweep = reopen_sweep(store, resume, plan, job, extend=extend) if resume else begin_sweep(store, plan, job)
        deadline = math.inf if minutes is None else start + 60 * minutes
        alive = Heartbeat(lambda: store.tag(sweep, heartbeat_tags()), SECONDS_BETWEEN_BEATS)
        with driving(sweep), alive:  # from now on: to read a large sweep back takes minutes
            asked = store.points(sweep) if resume and plan.resolved.last_search.asks else None
            planned, plan = plan, with_decisions(plan, store, sweep) if resume else plan
            state = recovered_state(store, sweep, plan) if resume else SweepState(plan)
            with closing(state):
                retry = Retry(store_timeout, observer)
                run = Run(plan, pool, store, sweep, state, observer, retry, deadline, planned, asked)
                with _finish_on_exit(run, start):
                    run.train(shard_size)
                return _result(run, start)


@contextmanager
def _finish_on_exit(run: Run, start: float) -> Iterator[None]:
    """End the sweep's run when the block ends: write its table, and the status that fits."""
    sweep, store, state = run.sweep, run.store, run.state
    hint = f"`gradgrid resume {sweep.sweep}{store.option}` trains the rest"
    try:
        try:
            yield
            status = "KILLED" if run.over else "FINISHED"
            run.retry.call(lambda: _finish(run, status, start))
        except KeyboardInterrupt:
            with suppress(StoreError):  # the sweep can be resumed without a table
                _finish(run, "KILLED", start)
            recorded = f"{state.recorded:,} of {run.planned.trials:,} trials are recorded"
            raise SweepInterruptedError(f"interrupted: {recorded}; {hint}") from None
    except SweepInterruptedError:
        raise
    except GradgridError as error:
        store.abandon(sweep)
        raise type(error)(f"{error}\nrecorded trials stay; {hint}") from error
    except Exception:
        store.abandon(sweep)
        raise


def _finish(run: Run, status: str, start: float) -> None:
    plan, state = run.plan, run.state
    with deferred_interrupts():
        file = state.write_table()
        overview = read_overview(file, plan.objective, plan.swept)
        guide(
            run.store, run.sweep, subject_of(overview, plan.swept, plan.objective, main_metrics(file, plan.objective))
        )
        pages = sweep_pages(run.store, run.sweep)
        run.store.end(
            run.sweep,
            status,
            table=file,
            metrics={
                **_summary(overview, plan.objective, time.monotonic() - start),
                **(run.refined.metrics if run.refined else {}),
            },
            description=summary.description(plan, run.sweep.experiment_id, overview, pages),
            files=heat_map(plan, overview),
        )


def _summary(table: pd.DataFrame, objective: str, seconds: float) -> Mapping[str, float]:
    """The metrics of the sweep's own run."""
    outcomes = outcome_counts(table)
    metrics = {"trials": len(table), "finished": len(table) - outcomes[DIVERGED], "seconds": seconds, **outcomes}
    for _, best in best_trials(table, objective, 1).iterrows():
        metrics[f"best_{objective}"] = float(best[METRICS + objective])
    return metrics


def _result(run: Run, start: float) -> SweepResult:
    store, sweep, file = run.store, run.sweep, run.state.write_table()
    overview = read_overview(file, run.plan.objective, run.plan.swept)
    return SweepResult(
        sweep=sweep.sweep,
        sweep_run_id=sweep.run_id,
        experiment_id=sweep.experiment_id,
        tracking_uri=store.uri,
        seconds=time.monotonic() - start,
        objective=run.plan.objective,
        swept=run.plan.swept,
        recorded=len(overview) - len(run.state.done),
        planned=run.planned.trials if run.over else len(overview),
        best=best_trial(file, overview, run.plan.objective),
        overview=overview,
        read_table=table_reader(store, sweep, file, len(overview)),
        page=served_page(store, sweep),
        refined=run.refined,
    )
