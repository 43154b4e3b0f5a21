"""Following a sweep that runs elsewhere, from its store alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from experiments.errors import StoreError, StoreUnavailableError
from service.inspection.rungs import RungReader
from service.recording.infos import SweepInfo
from service.recording.recorded_table import read_table
from service.recording.signs_of_life import why_lost
from service.recording.store import Store
from service.results.columns import columns_to_rank
from service.results.metrics import METRICS, outcome_counts
from service.results.rungs import RungCounts, comparison_text
from service.results.trials_table import best_trials

_MIN_PAUSE_FACTOR = 4.0  # the least pause, as a multiple of the time that reading took: the store has other users


@dataclass(frozen=True)
class SweepSnapshot:
    """The state of a sweep at one moment.

    sweep: the sweep as the store has it.
    table: its trials so far (see `service.results.trials_table`), without the hyperparameters.
    total: how many trials there will be; None if the store does not say.
    idle_seconds: how long no trial has been added.
    rungs: of a search by halving or Hyperband, as far as they are decided; empty for another sweep.
    lost: why the sweep no longer runs although its run says so; empty otherwise.
    """

    sweep: SweepInfo
    table: pd.DataFrame
    total: int | None
    idle_seconds: float
    lost: str = ""
    rungs: Sequence[RungCounts] = ()

    @property
    def status(self) -> str:
        """MLflow's status of the sweep's run, or LOST."""
        return "LOST" if self.lost else self.sweep.status

    @property
    def trials(self) -> int:
        """The number of trials so far."""
        return len(self.table)

    @property
    def ended(self) -> bool:
        """Whether no more trials will come."""
        return self.status != "RUNNING"

    @property
    def comparison(self) -> str:
        """Which comparison goes on; empty if none does."""
        every = self.sweep.rungs
        ahead = [count for count in self.rungs if count.went_on is None and count.steps != every[-1]]
        if self.ended or not ahead:
            return ""
        steps = min(count.steps for count in ahead)
        return comparison_text(every, steps, sum(count.trials for count in ahead if count.steps == steps))

    @property
    def outcomes(self) -> dict[str, int]:
        """The number of trials of each outcome, without outcomes that have none."""
        return {name: n for name, n in outcome_counts(self.table).items() if n} if self.trials else {}

    @property
    def best(self) -> float | None:
        """The best final value of the sweep's objective; None if no trial has finished."""
        metric = self.sweep.objective
        best = best_trials(self.table, metric, 1)
        return float(best[METRICS + metric].iloc[0]) if len(best) else None


def follow(
    store: Store, name: str, every: float, *, sleep: Callable[[float], object] = time.sleep
) -> Iterator[SweepSnapshot]:
    """Yield snapshots of a sweep until it has ended or is lost; the last one says so.

    While the store is unavailable, no snapshot comes, and the store is asked again.

    store: where the sweep is recorded.
    name: the sweep's id, the beginning of it, or its spec's name.
    every: the least number of seconds between two snapshots.
    sleep: waits for a number of seconds.
    Raises NotFoundError if there is no such sweep, StoreError if the store can't be read.
    """
    sweep = store.find_sweep(name)
    trials, changed = -1, time.monotonic()
    reader = RungReader(store, sweep)
    rungs: Sequence[RungCounts] = ()
    while True:
        began = time.monotonic()
        try:
            sweep = store.find_sweep(sweep.sweep)
            table = read_table(store, sweep, columns_to_rank((), sweep.objective))
        except StoreUnavailableError:
            sleep(every)
            continue
        with suppress(StoreError):  # its file may be half written; the next look shows it
            rungs = reader.read()
        if len(table) != trials:
            trials, changed = len(table), time.monotonic()
        snapshot = SweepSnapshot(sweep, table, sweep.trial_count, time.monotonic() - changed, why_lost(sweep), rungs)
        yield snapshot
        if snapshot.ended:
            return
        sleep(max(every, _MIN_PAUSE_FACTOR * (time.monotonic() - began)))
