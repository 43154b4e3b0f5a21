"""The main job, in one sentence: a spec becomes a table of trials; trials that share a program are cut into shards;
Ray tasks turn shards into histories; the driver records histories as MLflow runs.

The order matters where something can go wrong: all input is checked, the store opened and Ray reached before the first
thing is written.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd

from engine import DIVERGED, OUTCOMES
from experiments.errors import GradgridError, Interrupted, SpecError
from experiments.spec import Sweepable
from service import report
from service.cluster import Pool, open_pool
from service.interrupts import deferred_interrupts, terminable
from service.plan import Plan, make_plan
from service.recording.sweeps import Store, SweepInfo, TrialInfo, differences, sweep_tags
from service.records import SweepIdentity, is_better, trial_records
from service.table import METRICS, PARAMS, assemble, leaderboard, recovered_rows, row_values, trained_rows


class Observer(Protocol):
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

    def end(self) -> None:
        pass


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to. `table` has a row a trial; `recorded` of them were recorded in these `seconds`."""

    sweep: str
    sweep_run_id: str
    experiment_id: str
    tracking_uri: str
    seconds: float
    objective: str
    swept: tuple[str, ...]
    recorded: int
    table: pd.DataFrame = field(repr=False)

    @property
    def trials(self) -> int:
        return len(self.table)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many trials came to each outcome."""
        return _outcomes(self.table)

    @property
    def diverged(self) -> int:
        return self.outcomes[DIVERGED]

    @property
    def finished(self) -> int:
        return self.trials - self.diverged

    @property
    def best(self) -> dict[str, Any] | None:
        """Run id, params and metrics of the best finished trial by the objective; None where all diverged."""
        for _, row in leaderboard(self.table, self.objective, 1).iterrows():
            return {"run_id": row["run_id"], "params": row_values(row, PARAMS), "metrics": row_values(row, METRICS)}
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
) -> SweepResult:
    """Train every trial of the spec and record each as an MLflow run; returns when all are recorded.

    `resume` names a sweep whose missing trials are to be trained. `shard_size` fixes the trials a task, for tests: the
    numbers don't depend on it. Raises SpecError, DataError, StoreError, ClusterError; Interrupted where it was stopped.
    """
    began = time.monotonic()
    plan = make_plan(sweepable)
    with (
        open_pool(inline=inline, address=address, workers=workers) as pool,
        terminable(),
    ):  # Ray sets handlers of its own
        store = Store(tracking_uri, create=True)
        with deferred_interrupts():
            sweep = _resumed(store, resume, plan) if resume else _begun(store, plan)
        ledger = _Ledger(plan, list(store.trials(sweep)) if resume else [])
        with _ended(store, sweep, ledger, began):
            _train_and_record(plan, pool, store, sweep, ledger, observer or Silent(), shard_size)
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
    )


class _Ledger:
    """Which trials there are, which of them are recorded, and their rows."""

    def __init__(self, plan: Plan, recorded: list[TrialInfo]) -> None:
        self.plan = plan
        self.trials = plan.trial_ids()
        numbers = {trial: number for number, trial in enumerate(self.trials)}
        recorded = [info for info in recorded if info.tags["gradgrid.trial"] in numbers]
        self.runs = {info.tags["gradgrid.trial"]: info.run_id for info in recorded}
        self.done = frozenset(numbers[trial] for trial in self.runs)
        self.best: float | None = None
        self._parts = [recovered_rows(plan, numbers, recorded)]
        self._values: dict[str, float] = {}
        for info in recorded:
            if info.outcome != DIVERGED:
                self._rank(info.metrics.get(plan.objective, math.nan))

    def expect(self, rows: pd.DataFrame) -> None:
        """Rows of trials that are about to be recorded; they count as soon as `runs` has them."""
        self._parts.append(rows)
        finished = rows[rows["outcome"] != DIVERGED]
        self._values = dict(zip(finished["trial"], finished[METRICS + self.plan.objective], strict=True))

    def recorded(self, trial: str) -> None:
        self._rank(self._values.get(trial, math.nan))

    def _rank(self, value: float) -> None:
        if is_better(self.plan.objective, value, self.best):
            self.best = value

    def table(self) -> pd.DataFrame:
        return assemble(self._parts, self.runs)


def _train_and_record(
    plan: Plan,
    pool: Pool,
    store: Store,
    sweep: SweepInfo,
    ledger: _Ledger,
    observer: Observer,
    shard_size: int | None,
) -> None:
    record = plan.sweepable.spec.record
    identity = SweepIdentity(sweep.sweep, sweep.run_id, plan.name, tuple(plan.sweepable.axes), record)
    recorder = store.recorder(sweep, ledger.runs)
    shards = plan.shards(pool.workers, ledger.done, shard_size)
    observer.begin(plan, sweep, len(ledger.done), pool.workers, recorder.note)
    try:
        with closing(pool.run(shards, plan.dataset)) as results:
            for trained in results:
                trials = [ledger.trials[number] for number in trained.shard.numbers]
                ledger.expect(trained_rows(trained, trials, record))
                for trial in recorder.record(trial_records(trained, trials, identity)):
                    ledger.recorded(trial)
                    observer.advance(1, ledger.best)
        recorder.close()
    finally:
        observer.end()


def _begun(store: Store, plan: Plan) -> SweepInfo:
    sweep = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    source = plan.sweepable.source
    tags = sweep_tags(plan.dataset.fingerprint, source.folder, plan.objective)
    return store.begin(sweep, plan.name, source.data, tags, report.sweep_params(plan))


def _resumed(store: Store, name: str, plan: Plan) -> SweepInfo:
    """The sweep to go on with. Raises SpecError where it is not of this spec, data or engine."""
    sweep = store.find_sweep(name)
    differs = differences(sweep, plan.dataset.fingerprint)
    if sweep.spec != plan.name or store.spec(sweep) != plan.sweepable.source.data:
        differs.append("its spec")
    if differs:
        raise SpecError(
            f"the sweep {sweep.sweep} can't be resumed: {' and '.join(differs)} differ(s) from what it began with; "
            f"put that back, or start a new sweep"
        )
    store.discard_unfinished(sweep)
    store.reopen(sweep)
    return sweep


@contextmanager
def _ended(store: Store, sweep: SweepInfo, ledger: _Ledger, began: float) -> Iterator[None]:
    """End the sweep's run as what it came to, with the table of what was recorded."""
    how_to_resume = f"`gradgrid sweep --resume {sweep.sweep}{store.option}` trains the rest"
    try:
        try:
            yield
        except KeyboardInterrupt:
            with deferred_interrupts():
                _end(store, sweep, "KILLED", ledger, began)
            told = f"{len(ledger.table()):,} of {ledger.plan.trials:,} trials are recorded"
            raise Interrupted(f"interrupted: {told}; {how_to_resume}") from None
        with deferred_interrupts():
            _end(store, sweep, "FINISHED", ledger, began)
    except Interrupted:
        raise
    except GradgridError as error:
        store.abandon(sweep)
        raise type(error)(f"{error}\nwhat was recorded stays; {how_to_resume}") from error
    except Exception:
        store.abandon(sweep)
        raise


def _end(store: Store, sweep: SweepInfo, status: str, ledger: _Ledger, began: float) -> None:
    table = ledger.table()
    store.end(
        sweep,
        status,
        table=table,
        metrics=_summary(table, ledger.plan.objective, time.monotonic() - began),
        description=report.description(ledger.plan, sweep.experiment_id, table),
        files=report.pictures(ledger.plan, table),
    )


def _outcomes(table: pd.DataFrame) -> dict[str, int]:
    return {outcome: int((table["outcome"] == outcome).sum()) for outcome in OUTCOMES}


def _summary(table: pd.DataFrame, objective: str, seconds: float) -> Mapping[str, float]:
    outcomes = _outcomes(table)
    metrics = {"trials": len(table), "finished": len(table) - outcomes[DIVERGED], "seconds": seconds, **outcomes}
    for _, best in leaderboard(table, objective, 1).iterrows():
        metrics[f"best_{objective}"] = float(best[METRICS + objective])
    return metrics
