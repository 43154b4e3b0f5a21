"""Following a sweep that runs elsewhere, from its store alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from experiments.errors import StoreUnavailableError
from service.recording.infos import SweepInfo
from service.recording.recorded_table import read_table
from service.recording.signs_of_life import why_lost
from service.recording.store import Store
from service.results.metrics import METRICS, outcome_counts
from service.results.trials_table import best_trials

_RESPITE = 4.0  # times as long as looking takes is waited at least: a store has others to serve


@dataclass(frozen=True)
class Look:
    """What a sweep has come to. `of`: how many trials there will be, None where it isn't known. `quiet`: seconds for
    which nothing new has come. `lost`: why it is running no more although its run says so; empty where it is.
    """

    sweep: SweepInfo
    table: pd.DataFrame
    of: int | None
    quiet: float
    lost: str = ""

    @property
    def status(self) -> str:
        """MLflow's status of the sweep's run, or LOST."""
        return "LOST" if self.lost else self.sweep.status

    @property
    def trials(self) -> int:
        return len(self.table)

    @property
    def ended(self) -> bool:
        return self.status != "RUNNING"

    @property
    def outcomes(self) -> dict[str, int]:
        """How many trials came to each outcome that there is."""
        return {name: n for name, n in outcome_counts(self.table).items() if n} if self.trials else {}

    @property
    def best(self) -> float | None:
        """Of the metric that the sweep is ranked by."""
        metric = self.sweep.objective
        best = best_trials(self.table, metric, 1)
        return float(best[METRICS + metric].iloc[0]) if len(best) else None


def follow(store: Store, name: str, every: float, *, sleep: Callable[[float], object] = time.sleep) -> Iterator[Look]:
    """Look at a sweep again and again, at most each `every` seconds; the last look is when it has ended or is lost.

    A store that is away for a while is asked again. Raises NotFoundError, and StoreError where it can't be read.
    """
    sweep = store.find_sweep(name)
    seen, since = -1, time.monotonic()
    while True:
        began = time.monotonic()
        try:
            sweep = store.find_sweep(sweep.sweep)
            table = read_table(store, sweep)
        except StoreUnavailableError:
            sleep(every)
            continue
        if len(table) != seen:
            seen, since = len(table), time.monotonic()
        look = Look(sweep, table, sweep.trial_count, time.monotonic() - since, why_lost(sweep))
        yield look
        if look.ended:
            return
        sleep(max(every, _RESPITE * (time.monotonic() - began)))
