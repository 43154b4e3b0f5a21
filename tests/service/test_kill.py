"""A sweep killed at any instant and resumed has every trial exactly once, with the bits of one never killed.

`make slow` kills a driver twenty times, `make kill` two hundred times.
"""

import itertools
import math
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil
import pytest

from experiments.spec import load_spec
from service.execution.observer import NullObserver
from service.execution.plan import Plan
from service.execution.result import SweepResult
from service.recording.infos import SweepInfo
from service.recording.store import Store
from service.run import run_sweep
from tests.service.killed_sweeps import SPEC, check_exact, ray_process, running_sweep
from tests.service.postgres import Postgres, new_database, running_postgres
from tests.service.tracking import running_server

pytestmark = pytest.mark.slow

_ROUNDS = int(os.environ.get("GRADGRID_KILL_ROUNDS", "20"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    folder = tmp_path_factory.mktemp("undisturbed")
    return run_sweep(load_spec(SPEC), tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", inline=True)


class _Telling(NullObserver):
    """An observer that sets an event after a number of trials, at the latest when the work ends."""

    def __init__(self, reached: Event, trials: int) -> None:
        self._reached = reached
        self._left = trials

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        self._check()

    def advance(self, trials: int, best: float | None) -> None:
        self._left -= trials
        self._check()

    def end(self) -> None:
        self._reached.set()

    def _check(self) -> None:
        if self._left <= 0:
            self._reached.set()


def _drive(uri: str, resume: str | None, reached: Event, trials: int) -> None:
    """Run a sweep; a process of the test does nothing else."""
    observer = _Telling(reached, trials)
    run_sweep(load_spec(SPEC), tracking_uri=uri, inline=True, resume=resume, observer=observer, shard_size=10)


def _check_what_is_there(uri: str, undisturbed: SweepResult) -> int:
    """Check that each recorded trial is there once, with the undisturbed sweep's figures; return their number."""
    store = Store(uri)
    expected = undisturbed.table.set_index("trial")
    trials = [trial for sweep in store.sweeps() for trial in store.trials(sweep)]
    for trial in trials:
        row = expected.loc[trial.tags["gradgrid.trial"]]
        assert trial.outcome == row["outcome"]
        for name, value in trial.metrics.items():
            if not name.startswith("gradient."):
                assert value == row[f"metrics.{name}"] or (math.isnan(value) and math.isnan(row[f"metrics.{name}"]))
    assert len({trial.tags["gradgrid.trial"] for trial in trials}) == len(trials)
    return len(trials)


def test_the_driver_is_killed_again_and_again(tmp_path: Path, undisturbed: SweepResult) -> None:
    """Each round resumes the sweep of the one before, and kills it in the middle of its work or earlier.

    A sweep that is complete is checked, and the next round begins a new one.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["service.run", "service.recording.recorders", __name__])
    uri, recorded, progress = "", 0, 0
    for number in range(_ROUNDS):
        if not uri:
            uri, recorded = f"sqlite:///{tmp_path / f'{number}.db'}", 0
            Store(uri, create=True)  # a death while MLflow makes its tables is not our affair
        known = [sweep.sweep for sweep in Store(uri).sweeps()]
        reached = processes.Event()
        trials = random.choice([0, 1, 5, 15, 40])
        driver = processes.Process(target=_drive, args=(uri, known[0] if known else None, reached, trials))
        driver.start()
        reached.wait(random.choice([random.uniform(0.0, 1.5), 120, 120]))
        time.sleep(random.uniform(0.0, 0.3))
        driver.kill()
        driver.join()
        before, recorded = recorded, _check_what_is_there(uri, undisturbed)
        assert recorded >= before
        progress += recorded > before
        if recorded == len(undisturbed.table):
            check_exact(uri, undisturbed)
            uri = ""
    assert progress > _ROUNDS // 5, "the sweep hardly went on between its deaths"
    if uri and Store(uri).sweeps():
        check_exact(uri, undisturbed)


@pytest.mark.parametrize("number", range(max(1, _ROUNDS // 20)))
def test_workers_are_killed_and_then_the_driver(
    tmp_path: Path, uri: str, undisturbed: SweepResult, number: int
) -> None:
    """Ray trains a lost worker's shard again; two die, one after another, and then the driver."""
    with running_sweep(tmp_path, uri) as process:
        for _ in range(2):
            ray_process(process, "ray::train_tables").kill()
            time.sleep(random.uniform(0.0, 1.5))
    check_exact(uri, undisturbed)


@pytest.mark.parametrize("number", range(max(1, _ROUNDS // 20)))
def test_recorders_are_killed_and_the_sweep_goes_on(
    tmp_path: Path, uri: str, undisturbed: SweepResult, number: int
) -> None:
    """Two recorders die, one after another, in the middle of a transaction or between two; the driver replaces each."""
    with running_sweep(tmp_path, uri) as process:
        for _ in range(2):
            recorder = ray_process(process, "ray::ShardRecorder")
            time.sleep(random.uniform(0.0, 0.2))
            with suppress(psutil.NoSuchProcess):  # the sweep has ended
                recorder.kill()
        assert process.wait(timeout=120) == 0, (tmp_path / "log").read_text(encoding="utf-8")
    check_exact(uri, undisturbed)


_VICTIMS = ("worker", "recorder", "store", "driver")
_PAIRS = [*((victim,) for victim in _VICTIMS), *itertools.combinations(_VICTIMS, 2)]
_RAYS_NAMES = {"worker": "ray::train_tables", "recorder": "ray::ShardRecorder"}


@contextmanager
def _store(kind: str, folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield a store, and a function that kills its server and starts it again."""
    with running_postgres() if kind == "PostgreSQL" else running_server(folder, app=True) as server:

        def restart() -> None:
            server.stop()  # at once, in the middle of whatever it does
            time.sleep(random.uniform(0.0, 2.0))
            server.start()

        uri = new_database(server.address) if isinstance(server, Postgres) else server.uri
        Store(uri, create=True)
        yield uri, restart


@pytest.mark.parametrize("victims", _PAIRS[:: 1 if _ROUNDS > 20 else 5], ids="-and-".join)
@pytest.mark.parametrize("kind", ["PostgreSQL", "server"])
def test_two_of_worker_recorder_store_and_driver_are_killed(
    tmp_path: Path, undisturbed: SweepResult, kind: str, victims: tuple[str, ...]
) -> None:
    """They die at random moments, one after the other. A sweep whose driver lives goes on to its end."""
    with _store(kind, tmp_path) as (uri, restart_store):
        with running_sweep(tmp_path, uri) as process:
            for victim in victims:
                time.sleep(random.uniform(0.0, 1.0))
                if victim == "store":
                    restart_store()
                elif victim != "driver":  # which dies at the end of this block
                    with suppress(psutil.NoSuchProcess):
                        ray_process(process, _RAYS_NAMES[victim]).kill()
            if "driver" not in victims:
                assert process.wait(timeout=180) == 0, (tmp_path / "log").read_text(encoding="utf-8")
        check_exact(uri, undisturbed)
