"""Measure how many trials a second the workers train and the store records."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any

from experiments.errors import StoreError
from experiments.spec import load_spec
from service.execution.beginning import begin_sweep
from service.execution.cluster import open_pool
from service.execution.estimate import recording_seconds
from service.execution.interrupts import terminable
from service.execution.measured_speed import SpeedFactors, keep_factors
from service.execution.observer import NullObserver
from service.execution.pipeline import Pipeline
from service.execution.plan import Plan, make_plan
from service.execution.pool import Handle, Pool, RecorderHandle
from service.execution.retry import Retry
from service.execution.shard import Shard
from service.execution.shard_recorder import ShardRecorderRecipe, shard_recorder_recipe
from service.execution.shard_tables import ShardSummary, TableSettings
from service.recording.connection import import_libraries, resolve, sqlite_path
from service.recording.store import Store

MODEL = "2-8-8-1"
"""The network that is trained to measure."""

_SPEC: dict[str, Any] = {
    "name": "gradgrid-speed",
    "dataset": {"name": "moons", "samples": 200, "test_fraction": 0.25},
    "model": {"hidden": [8, 8]},
    "loss": "mean_squared_error",
    "steps": 300,
    "grid": {"learning_rate": {"logspace": [0.01, 1.0], "points": 1000}, "seed": {"range": 1000}},
    "record": {"points": 25},
}
_SHARD = 250  # trials
_SHARDS_A_WORKER = 6
_FEWEST_SHARDS = 4
_SECONDS = 4.0  # to record, and to do both: a slow store gets fewer trials


@dataclass(frozen=True)
class Speed:
    """Trials a second of a 2-8-8-1 network, 300 steps of 150 samples.

    workers, recorders: how many train at once, and how many record at once.
    trained, recorded, both: trials a second, trained alone, recorded alone, and both at once.
    metric_rows: of each trial's run.
    factors: for the estimates of other sweeps.
    file_error: why they could not be kept; empty if they were.
    """

    workers: int
    recorders: int
    trained: float
    recorded: float
    both: float
    metric_rows: int
    factors: SpeedFactors
    file_error: str = ""

    @property
    def bound(self) -> str:
        """What bounds a sweep of such trials: training or recording."""
        return "training" if self.trained < self.recorded else "recording"

    @property
    def useful_workers(self) -> int:
        """The number of workers that train as many trials a second as the store records."""
        return max(1, math.ceil(self.recorded / (self.trained / self.workers)))


def measure(
    tracking_uri: str | None,
    address: str | None = None,
    workers: int | None = None,
    backend_store_uri: str | None = None,
) -> Speed:
    """Train and record some thousand trials, delete them, and keep the figures for later estimates.

    The arguments are those of `run_sweep`.
    An SQLite store is left alone: the trials go into a new one in the same folder. In another store, the experiment
    gradgrid-speed and its deleted runs stay until `mlflow gc`.
    Raises StoreError and ClusterError.
    """
    plan = make_plan(load_spec(_SPEC))
    with (
        terminable(),
        open_pool(address=address, workers=workers) as pool,
        _store_beside(tracking_uri) as (uri, folder),
    ):
        import_libraries(uri)
        pool.wait()
        store = Store(uri, create=True, backend_uri=backend_store_uri, artifacts=folder)
        sweep = begin_sweep(store, plan, None)
        try:
            recipe = shard_recorder_recipe(store, sweep, plan.record)
            speed = _Measurement(plan, pool, recipe, TableSettings.of(plan, sweep)).run()
        finally:
            store.abandon(sweep)
            with suppress(StoreError):
                store.delete(sweep)
    try:
        keep_factors(resolve(tracking_uri), address, speed.factors)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        return replace(speed, file_error=str(error))
    return speed


@contextmanager
def _store_beside(tracking_uri: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield the address of the store, and no folder. If it is a file, yield a new one beside it, and its folder."""
    uri = resolve(tracking_uri)
    path = sqlite_path(uri)
    if path is None:
        yield uri, None
        return
    try:
        folder = TemporaryDirectory(prefix="gradgrid-speed-", dir=path.absolute().parent)
    except OSError as error:
        raise StoreError(f"no store can be written in {path.absolute().parent}: {error.strerror}") from None
    with folder as name:
        yield f"sqlite:///{name}/mlflow.db", name


class _Measurement:
    """Measures with one pool and one sweep. Shards come from one sequence, so no trial is trained twice."""

    def __init__(self, plan: Plan, pool: Pool, recipe: ShardRecorderRecipe, settings: TableSettings) -> None:
        self._plan, self._pool, self._recipe, self._settings = plan, pool, recipe, settings
        self._shards = plan.shards(pool.workers, size=_SHARD)
        self._data = pool.share(plan.datasets)

    def run(self) -> Speed:
        plan, workers = self._plan, self._pool.workers
        self._train(workers)  # every worker imports and compiles
        start = time.monotonic()
        tables = self._train(workers * _SHARDS_A_WORKER)
        trained = len(tables) * _SHARD / (time.monotonic() - start)
        recorded = self._recorded(tables)
        both = self._both(min(trained, recorded))
        factors = SpeedFactors(
            training=workers / trained / (plan.seconds / plan.trials),
            recording=1 / recorded / (recording_seconds(plan) / plan.runs),
            both=1 / both / (1 / trained + 1 / recorded),
        )
        rows = plan.metric_rows // plan.runs
        return Speed(workers, self._recipe.writers, trained, recorded, both, rows, factors)

    def _train(self, shards: int) -> list[Handle]:
        """Train some shards without recording them; return their tables."""
        running = dict(self._pool.train(shard, self._data, self._settings) for shard in self._next(shards))
        tables = list(running.values())
        while running:
            done = self._pool.first_done(list(running), None)
            self._pool.fetch(done)
            del running[done]
        return tables

    def _next(self, shards: int) -> Iterator[Shard]:
        return itertools.islice(self._shards, shards)

    def _recorded(self, tables: list[Handle]) -> float:
        """Record the tables of shards; return the trials a second."""
        recorders = [self._pool.open_recorder(self._recipe) for _ in range(self._recipe.writers)]
        size = min(self._recipe.batch, _SHARD)
        parts = ((table, first, min(size, _SHARD - first)) for table in tables for first in range(0, _SHARD, size))
        try:
            self._record(recorders, itertools.islice(parts, len(recorders)))  # each connects to the store
            return self._record(recorders, parts)
        finally:
            for recorder in recorders:
                recorder.close()

    def _record(self, recorders: list[RecorderHandle], parts: Iterator[tuple[Handle, int, int]]) -> float:
        """Record parts of shards until none is left or time is over; return the trials a second."""
        start, recorded, idle, running = time.monotonic(), 0, list(recorders), {}
        while True:
            while idle and time.monotonic() - start < _SECONDS and (part := next(parts, None)):
                recorder = idle.pop()
                running[recorder.record(*part, again=False)] = recorder, part[2]
            if not running:
                return recorded / (time.monotonic() - start)
            done = self._pool.first_done(list(running), None)
            recorder, count = running.pop(done)
            result = self._pool.fetch(done)
            if isinstance(result, StoreError):
                raise result
            recorded += count
            idle.append(recorder)

    def _both(self, rate: float) -> float:
        """Train and record at once; return the trials a second. rate: about so many."""
        commits: list[tuple[float, int]] = []

        def commit(summary: ShardSummary, first: int, run_ids: list[str]) -> None:
            commits.append((time.monotonic(), len(run_ids)))

        shards = self._next(max(_FEWEST_SHARDS, math.ceil(rate * _SECONDS / _SHARD)))
        retry = Retry(_SECONDS, NullObserver())
        Pipeline(self._pool, self._recipe, retry, commit).run(shards, self._plan.datasets, self._settings)
        (first, _), (last, _) = commits[0], commits[-1]  # before the first, the recorders started
        return sum(trials for _, trials in commits[1:]) / (last - first)
