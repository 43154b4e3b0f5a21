"""The main job, in one sentence: a spec becomes a table of trials; trials that share a program are cut into shards;
Ray tasks turn shards into histories; the driver records histories as MLflow runs.

The order matters where something can go wrong: all input is checked, the store opened and Ray reached before the first
thing is written.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd

from engine import DIVERGED
from experiments.data.frames import kept_bytes
from experiments.data.readers import read_frame, read_options
from experiments.errors import GradgridError, Interrupted, SpecError, StoreError, UserError
from experiments.spec import Sweepable
from service.execution import summary
from service.execution.cluster import Pool, open_pool
from service.execution.heartbeat import Heartbeat
from service.execution.interrupts import deferred_interrupts, terminable
from service.execution.keeping import Keeper, Recording, RowKeeper, RunKeeper
from service.execution.ledger import Ledger, recovered
from service.execution.patience import DEFAULT_SECONDS, Patience, Waiting
from service.execution.plan import Plan, make_plan
from service.execution.records import SweepIdentity, trained_rows
from service.execution.worker import Trained
from service.recording.connection import import_libraries
from service.recording.infos import SweepInfo, differences, sweep_tags
from service.recording.pages import guide, served_page, sweep_pages
from service.recording.saved_views import Subject, subject_of
from service.recording.signs_of_life import SECONDS_BETWEEN_BEATS, driving, heartbeat_tags, who_is_at_work
from service.recording.store import Store
from service.recording.trust import remember_parts
from service.report.phase_pictures import heat_map
from service.results.curves import curve_points
from service.results.metrics import METRICS, PARAMS, outcome_counts
from service.results.trials_table import best_trials, none_if_missing, row_values


class Observer(Waiting, Protocol):
    """Who is told how a sweep goes on."""

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None: ...

    def advance(self, trials: int, best: float | None) -> None: ...

    def end(self) -> None: ...


class Silent:
    """An observer that says nothing."""

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        pass

    def advance(self, trials: int, best: float | None) -> None:
        pass

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        pass

    def back(self) -> None:
        pass

    def end(self) -> None:
        pass


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to. `table` has a row a trial; `recorded` of them were recorded in these `seconds`.

    `page` is the address of the table of its trials on the server that holds the store; empty where none does.
    """

    sweep: str
    sweep_run_id: str
    experiment_id: str
    tracking_uri: str = field(repr=False)  # it may hold a password
    seconds: float
    objective: str
    swept: tuple[str, ...]
    recorded: int
    table: pd.DataFrame = field(repr=False)
    page: str = ""

    @property
    def trials(self) -> int:
        return len(self.table)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many trials came to each outcome."""
        return outcome_counts(self.table)

    @property
    def diverged(self) -> int:
        return self.outcomes[DIVERGED]

    @property
    def finished(self) -> int:
        return self.trials - self.diverged

    @property
    def best(self) -> dict[str, Any] | None:
        """Run id, params and metrics of the best finished trial by the objective; None where all diverged.

        The run id is None where the trial has no run.
        """
        for _, row in best_trials(self.table, self.objective, 1).iterrows():
            return {
                "run_id": none_if_missing(row["run_id"]),
                "params": row_values(row, PARAMS),
                "metrics": row_values(row, METRICS),
            }
        return None


def run_sweep(
    sweepable: Sweepable,
    *,
    tracking_uri: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    inline: bool = False,
    resume: str | None = None,
    observer: Observer | None = None,
    shard_size: int | None = None,
    backend_store_uri: str | None = None,
    patience: float = DEFAULT_SECONDS,
    job: str | None = None,
) -> SweepResult:
    """Train every trial of the spec and record each as an MLflow run; returns when all are recorded.

    `resume` names a sweep whose missing trials are to be trained. `patience`: seconds that a store which is away is
    waited for, while training goes on. `job`: the sweep's name elsewhere; where the store has a sweep of that job, this
    goes on with it. `shard_size` fixes the trials a task, for tests: the numbers don't depend on it.
    Raises SpecError, DataError, StoreError, ClusterError; Interrupted where it was stopped.
    """
    began = time.monotonic()
    plan = make_plan(sweepable)
    observer = observer or Silent()
    with terminable(), open_pool(inline=inline, address=address, workers=workers) as pool:
        import_libraries(tracking_uri)  # while Ray starts
        pool.wait()
        store = Store(tracking_uri, create=True, backend_uri=backend_store_uri)
        resume = resume or (store.sweep_of_job(job) if job else None)
        with deferred_interrupts():
            sweep = _resumed(store, resume, plan, job) if resume else _begun(store, plan, job)
        ledger = recovered(store, sweep, plan) if resume else Ledger(plan)
        work = _Work(plan, pool, store, sweep, ledger, observer, Patience(patience, observer))
        alive = Heartbeat(lambda: store.tag(sweep, heartbeat_tags()), SECONDS_BETWEEN_BEATS)
        with driving(sweep), alive, _ended(work, began):
            work.run(shard_size)
    table = ledger.table()
    return SweepResult(
        sweep=sweep.sweep,
        sweep_run_id=sweep.run_id,
        experiment_id=sweep.experiment_id,
        tracking_uri=store.uri,
        seconds=time.monotonic() - began,
        objective=plan.objective,
        swept=tuple(sweepable.axes),
        recorded=len(table) - len(ledger.done),
        table=table,
        page=served_page(store, sweep),
    )


@dataclass
class _Work:
    """A sweep under way."""

    plan: Plan
    pool: Pool
    store: Store
    sweep: SweepInfo
    ledger: Ledger
    observer: Observer
    patience: Patience

    def run(self, shard_size: int | None) -> None:
        """Train what is missing and keep it; then, where only the best are to have runs, record those."""
        runs = self.plan.sweepable.spec.record.runs
        with closing(self._run_keeper() if runs == "all" else self._row_keeper()) as keeper:
            note = "; ".join(part for part in (self.ledger.note, keeper.note) if part)
            self.observer.begin(self.plan, self.sweep, len(self.ledger.done), self.pool.workers, note)
            try:
                self._train_and_keep(self.ledger.done, keeper, shard_size)
            finally:
                self.observer.end()
        if not isinstance(runs, str):
            self._record_best(runs.top, shard_size)
        self.pool.release()

    def _record_best(self, count: int, shard_size: int | None) -> None:
        """Train the best once more, which gives the same bits, and record them as runs."""
        best = best_trials(self.ledger.table(), self.plan.objective, count)
        missing = best[~best["trial"].isin(self.ledger.runs.keys())]["number"]
        with closing(self._run_keeper()) as keeper:
            self._train_and_keep(
                frozenset(range(self.plan.trials)) - frozenset(missing), keeper, shard_size, curves=False
            )

    def _train_and_keep(
        self, left_out: frozenset[int], keeper: Keeper, shard_size: int | None, *, curves: bool = True
    ) -> None:
        def keep(trained: Trained) -> Generator[None, None, None]:
            trials = [self.ledger.trials[number] for number in trained.shard.numbers]
            rows = trained_rows(trained, trials, self.plan.sweepable.spec.record)
            if curves:
                self._keep_curves(trained)
            self.ledger.expect(rows)
            for trial in keeper.keep(trained, trials, rows):
                if self.ledger.keep(trial):
                    self.observer.advance(1, self.ledger.best)
                yield

        shards = self.plan.shards(self.pool.workers, left_out, shard_size)
        with (
            closing(self.pool.run(shards, self.plan.dataset)) as results,
            Recording(keep, self.patience) as recording,
        ):
            for trained in results:
                recording.put(trained)
        keeper.finish()

    def _keep_curves(self, trained: Trained) -> None:
        record = self.plan.sweepable.spec.record
        if record.curves == "file":
            points = curve_points(trained.history, trained.shard.numbers, record)
            self.patience.call(lambda: self.store.keep_curves(self.sweep, points))

    def _run_keeper(self) -> RunKeeper:
        record = self.plan.sweepable.spec.record
        swept = tuple(self.plan.sweepable.axes)
        identity = SweepIdentity(self.sweep.sweep, self.sweep.run_id, self.plan.name, swept, record)
        keeps_weights = record.weights == "artifact"
        recorder = self.patience.call(lambda: self.store.recorder(self.sweep, self.ledger.runs, weights=keeps_weights))
        return RunKeeper(recorder, identity, self.patience)

    def _row_keeper(self) -> RowKeeper:
        return RowKeeper(self.store, self.sweep, self.patience)


def _begun(store: Store, plan: Plan, job: str | None) -> SweepInfo:
    sweep = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    source = plan.sweepable.source
    remember_parts(plan.sweepable.parts.text)  # the user's own, for what comes out of a store was asked for before
    runs = plan.sweepable.spec.record.runs
    kept = runs if isinstance(runs, str) else f"top {runs.top}"
    tags = sweep_tags(plan.dataset.fingerprint, source.folder, plan.objective, kept)
    tags["gradgrid.trials"] = str(plan.trials)
    if job:
        tags["gradgrid.job"] = job
    frame = b""
    if source.frame is not None:
        frame = kept_bytes(read_frame(source.frame(), options=read_options(plan.sweepable.spec.dataset)))
        tags["gradgrid.frame"] = "kept"
    params, parts = summary.sweep_params(plan), plan.sweepable.parts.text
    begun = store.begin(sweep, plan.name, source.data, tags, params, parts, plan.dataset.facts, frame)
    guide(store, begun, Subject(plan.sweepable.axes, plan.objective))
    return begun


def _resumed(store: Store, name: str, plan: Plan, job: str | None) -> SweepInfo:
    """The sweep to go on with. Raises SpecError where it is not of this spec, data or engine, or is at work still."""
    sweep = store.find_sweep(name)
    _check_at_rest(sweep, job)
    differs = differences(sweep, plan.dataset.fingerprint)
    if sweep.spec != plan.name or store.spec(sweep) != plan.sweepable.source.data:
        differs.append("its spec")
    if store.parts(sweep) != plan.sweepable.parts.text:
        differs.append("its parts")
    if differs:
        raise SpecError(
            f"the sweep {sweep.sweep} can't be resumed: {' and '.join(differs)} differ(s) from what it began with; "
            f"put that back, or start a new sweep"
        )
    store.reopen(sweep)
    return sweep


def _check_at_rest(sweep: SweepInfo, job: str | None) -> None:
    """Raise UserError where another driver is at work on the sweep.

    A cluster runs a job once at a time; so a job that finds a sweep of its own knows that the driver before it is gone.
    """
    who = who_is_at_work(sweep)
    if not who or (job and sweep.job == job):
        return
    raise UserError(
        f"the sweep {sweep.sweep} is still run by {who}: wait for its end, which `gradgrid watch {sweep.sweep}` shows, "
        "or stop it with Ctrl-C or `kill`, and resume it then"
    )


@contextmanager
def _ended(work: _Work, began: float) -> Iterator[None]:
    """End the sweep's run as what it came to, with the table of what was kept."""
    sweep, store, ledger = work.sweep, work.store, work.ledger
    how_to_resume = f"`gradgrid resume {sweep.sweep}{store.option}` trains the rest"
    try:
        try:
            yield
            work.patience.call(lambda: _end(work, "FINISHED", began))
        except KeyboardInterrupt:
            with suppress(StoreError):  # what is recorded can be resumed without
                _end(work, "KILLED", began)
            told = f"{len(ledger.table()):,} of {ledger.plan.trials:,} trials are recorded"
            raise Interrupted(f"interrupted: {told}; {how_to_resume}") from None
    except Interrupted:
        raise
    except GradgridError as error:
        store.abandon(sweep)
        raise type(error)(f"{error}\nwhat was recorded stays; {how_to_resume}") from error
    except Exception:
        store.abandon(sweep)
        raise


def _end(work: _Work, status: str, began: float) -> None:
    plan, table = work.plan, work.ledger.table()
    with deferred_interrupts():
        guide(work.store, work.sweep, subject_of(table, list(plan.sweepable.axes), plan.objective))
        work.store.end(
            work.sweep,
            status,
            table=table,
            metrics=_summary(table, plan.objective, time.monotonic() - began),
            description=summary.description(plan, work.sweep.experiment_id, table, sweep_pages(work.store, work.sweep)),
            files=heat_map(plan, table),
        )


def _summary(table: pd.DataFrame, objective: str, seconds: float) -> Mapping[str, float]:
    outcomes = outcome_counts(table)
    metrics = {"trials": len(table), "finished": len(table) - outcomes[DIVERGED], "seconds": seconds, **outcomes}
    for _, best in best_trials(table, objective, 1).iterrows():
        metrics[f"best_{objective}"] = float(best[METRICS + objective])
    return metrics
