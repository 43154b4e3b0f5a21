"""Training in threads of the sweep's own process."""

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.spec import load_spec
from service.execution import local_pool
from service.execution.local_pool import ThreadPool
from service.execution.plan import make_plan
from service.execution.shard import Shard
from service.run import run_sweep
from tests.service.conftest import SPEC

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


def test_shards_are_trained_in_several_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def meet(shard: Shard, *_: Any) -> Any:
        both.wait(timeout=60)  # raises if the other thread does not come
        return shard.numbers

    monkeypatch.setattr(local_pool, "screened", meet)
    plan = make_plan(load_spec(SPEC))
    shards = list(plan.shards(2))[:2]
    with closing(ThreadPool(2)) as pool:
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
