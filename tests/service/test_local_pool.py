"""Training in threads of the sweep's own process."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.kernels import compiled as compiled_kernel
from engine.kernels.codegen.pipeline import compile_program
from experiments.errors import SweepInterruptedError
from experiments.spec import load_spec
from service.execution import estimate, local_pool
from service.execution.estimate import trains_here
from service.execution.local_pool import ThreadPool
from service.execution.plan import make_plan
from service.execution.shard import Shard
from service.execution.shard_tables import train_tables
from service.execution.worker import screened
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import SPEC
from tests.service.observers import Interrupting

_SEARCH = {**SPEC, "steps": 60, "search": {"method": "halving", "first": 10, "factor": 2}}


@pytest.mark.parametrize("spec", [SPEC, _SEARCH])
def test_threads_give_the_bits_of_one_thread(spec: dict[str, Any], tmp_path: Path) -> None:
    tables = []
    for inline in (True, False):
        uri = f"sqlite:///{tmp_path / str(inline)}.db"
        result = run_sweep(load_spec(spec), tracking_uri=uri, inline=inline, shard_size=3)
        table = result.table.sort_values("number", ignore_index=True)
        tables.append(table[[name for name in table if name.startswith(("params.", "metrics."))]])
    assert tables[0].equals(tables[1])
    assert len(tables[0]) > 3


@contextmanager
def _threads() -> Iterator[ThreadPool]:
    pool = ThreadPool(2)
    try:
        yield pool
    finally:
        pool.release()


def test_shards_are_trained_in_several_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def meet(shard: Shard, *_: Any) -> Any:
        both.wait(timeout=60)  # raises if the other thread does not come
        return shard.numbers

    monkeypatch.setattr(local_pool, "screened", meet)
    plan = make_plan(load_spec(SPEC))
    shards = list(plan.shards(2))[:2]
    with _threads() as pool:
        handles = [pool.screen(shard, pool.share(plan.datasets), "loss", None) for shard in shards]
        assert pool.first_done(handles, 60) in handles
        found = [pool.fetch(handle) for handle in handles]
    assert all(np.array_equal(numbers, shard.numbers) for numbers, shard in zip(found, shards, strict=True))


def test_an_error_in_a_thread_reaches_the_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("in a thread")

    monkeypatch.setattr(local_pool, "train_tables", fail)
    with pytest.raises(ZeroDivisionError, match="in a thread"):
        run_sweep(load_spec(SPEC), tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_an_interrupt_does_not_wait_for_a_shard(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    may_end, calls = threading.Event(), itertools.count()

    def train(*arguments: Any) -> Any:
        if next(calls):
            may_end.wait(timeout=120)
        return train_tables(*arguments)

    monkeypatch.setattr(local_pool, "train_tables", train)
    try:
        with pytest.raises(SweepInterruptedError, match=r"3 of 12 trials are recorded; `gradgrid resume \S+"):
            run_sweep(load_spec(SPEC), tracking_uri=uri, shard_size=3, observer=Interrupting(after=1))
    finally:
        may_end.set()
    sweep = Store(uri).sweeps()[0]
    assert len(run_sweep(load_spec(SPEC), tracking_uri=uri, resume=sweep.sweep).table) == 12


def test_threads_compile_a_program_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, both = [], threading.Barrier(2)

    def slow(program: Any, *_: Any) -> Any:
        compiled.append(program)
        return compile_program(program, *_)

    def meet(shard: Shard, *_: Any) -> Any:
        both.wait(timeout=60)
        return screened(shard, *_)

    monkeypatch.setattr(compiled_kernel, "compile_program", slow)
    monkeypatch.setattr(local_pool, "screened", meet)
    plan = make_plan(load_spec({**SPEC, "model": {"hidden": [5]}, "grid": {"seed": {"range": 4}}}))
    with _threads() as pool:
        shards = list(plan.shards(2, size=2))
        handles = [pool.screen(shard, pool.share(plan.datasets), "loss", None) for shard in shards]
        values = [pool.fetch(handle) for handle in handles]
    assert len(values) == 2
    assert len(compiled) <= 1  # none if another test has compiled it


@pytest.mark.parametrize(
    ("changes", "is_here"),
    [
        ({}, True),
        ({"steps": 10**7}, False),
        ({"grid": {"seed": {"range": 1}}, "steps": 10**7}, False),  # other cores don't help one trial
    ],
)
def test_short_sweeps_are_trained_here(changes: dict[str, Any], is_here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "available_cores", lambda: 64)
    monkeypatch.setattr(estimate, "RAY_START_SECONDS", 0.5)
    plan = make_plan(load_spec({**SPEC, **changes}))
    assert trains_here(plan) == is_here
    assert not trains_here(plan, workers=2)
    assert not trains_here(plan, address="127.0.0.1:6379")


def test_compilation_takes_as_long_in_threads_as_in_one() -> None:
    plan = make_plan(load_spec(SPEC))
    training = plan.seconds - plan.compilation_seconds
    assert plan.seconds_in_threads(1) == pytest.approx(plan.seconds)
    assert plan.seconds_in_threads(4) == pytest.approx(plan.compilation_seconds + training / 4)
