"""The pipeline: parts of shards, recorders that die, stores that are away, and how much work may wait."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import service.execution.pipeline
from experiments.errors import StoreError, StoreUnavailableError
from service.execution.observer import NullObserver
from service.execution.pipeline import Pipeline
from service.execution.pool import RecorderLostError
from service.execution.retry import Retry
from service.execution.shard_tables import ShardSummary


class _Recorder:
    """A recorder whose answers the test decides, one after another; after those it always succeeds."""

    delay = "no node"
    stranded = False

    def __init__(self, pool: "_Pool") -> None:
        self._pool = pool

    def started(self) -> Any:
        return _Handle(self._pool.starts.pop(0) if self._pool.starts else None)

    def record(self, tables: str, first: int, count: int, again: bool) -> Any:
        answer = self._pool.answers.pop(0) if self._pool.answers else None
        self._pool.calls.append((tables, first, count, again))
        return _Handle(answer or [f"{tables} {n}" for n in range(first, first + count)])

    def finish(self) -> Any:
        return _Handle(None)

    def close(self) -> None:
        self._pool.closed += 1


class _Handle:
    def __init__(self, value: Any) -> None:
        self.value = value


_NEVER = object()
"""The value of a handle whose work does not end."""


class _Pool:
    """A pool of two workers in which all work is done at once. Shards are numbers of trials.

    starts: the values of the first recorders' `started`.
    """

    workers, tasks_at_once, spare_bytes = 2, 4, 10**9

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers
        self.starts: list[Any] = []
        self.calls: list[tuple[str, int, int, bool]] = []
        self.opened = self.closed = self.trained = self.most_ahead = 0

    def share(self, dataset: Any) -> Any:
        return dataset

    def train(self, shard: Any, dataset: Any, settings: Any) -> tuple[Any, Any]:
        self.trained += 1
        self.most_ahead = max(self.most_ahead, self.trained - len(self.calls))
        summary = ShardSummary(pa.table({"number": range(shard)}), np.zeros(shard), 100 * shard)
        return _Handle(summary), f"shard{self.trained}"

    def open_recorder(self, recipe: Any) -> _Recorder:
        self.opened += 1
        return _Recorder(self)

    def first_done(self, handles: Collection[Any], seconds: float | None) -> Any:
        return next((handle for handle in handles if handle.value is not _NEVER), None)

    def fetch(self, handle: _Handle) -> Any:
        if isinstance(handle.value, RecorderLostError):
            raise handle.value
        return handle.value


class _Recipe:
    def __init__(self, writers: int = 1, batch: int = 2) -> None:
        self.writers, self.batch = writers, batch


def _run(pool: _Pool, shards: list[int], recipe: _Recipe | None = None, seconds: float = 60) -> list[tuple[int, int]]:
    """Run a pipeline; return the position and the number of trials of each part that was committed."""
    committed: list[tuple[int, int]] = []
    pipeline: Any = Pipeline(
        pool,  # type: ignore[arg-type]
        recipe or _Recipe(),  # type: ignore[arg-type]
        Retry(seconds, NullObserver()),
        lambda summary, first, ids: committed.append((first, len(ids))),
    )
    pipeline.run(shards, None, None)
    return committed


def test_shards_are_recorded_part_by_part() -> None:
    pool = _Pool([])
    assert sorted(_run(pool, [5, 2])) == [(0, 2), (0, 2), (2, 2), (4, 1)]
    assert {call[3] for call in pool.calls} == {False}
    assert (pool.opened, pool.closed) == (1, 1)


@pytest.mark.parametrize("writers", [1, 3])
def test_no_more_recorders_are_opened_than_the_store_can_use(writers: int) -> None:
    pool = _Pool([])
    _run(pool, [6] * 5, _Recipe(writers))
    assert 1 <= pool.opened <= writers
    assert pool.closed == pool.opened


def test_a_recorder_that_dies_is_replaced_by_one_that_knows() -> None:
    pool = _Pool([None, RecorderLostError("died")])
    assert _run(pool, [4]) == [(0, 2), (2, 2)]
    assert pool.calls == [("shard1", 0, 2, False), ("shard1", 2, 2, False), ("shard1", 2, 2, True)]
    assert pool.opened == 2


def test_recorders_that_die_again_and_again_end_the_sweep() -> None:
    pool = _Pool([RecorderLostError("died")] * 99)
    with pytest.raises(RecorderLostError, match="died"):
        _run(pool, [4])
    assert len(pool.calls) == 5


def test_a_recorder_that_does_not_start_ends_the_sweep_once_the_patience_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service.execution.pipeline, "_START_SECONDS", 0.0)
    pool = _Pool([])
    pool.starts = [_NEVER]
    with pytest.raises(StoreUnavailableError, match=r"no node\ngave up after waiting"):
        _run(pool, [4], seconds=0.3)
    assert pool.trained == 1, "training goes on meanwhile"
    assert (pool.opened, pool.closed, pool.calls) == (1, 1, [])


def test_a_recorder_that_does_not_start_is_left_alone_while_another_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.execution.pipeline, "_START_SECONDS", 0.0)
    pool = _Pool([])
    pool.starts = [None, _NEVER]
    assert len(_run(pool, [6] * 5, _Recipe(writers=2), seconds=0.0)) == 15
    assert (pool.opened, pool.closed) == (2, 2)


def test_a_recorder_that_can_not_start_any_more_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.execution.pipeline, "_START_SECONDS", 0.0)
    monkeypatch.setattr(_Recorder, "stranded", True)
    pool = _Pool([])
    pool.starts = [_NEVER]
    assert _run(pool, [4], seconds=0.0) == [(0, 2), (2, 2)]
    assert (pool.opened, pool.closed) == (2, 2)


def test_a_recorder_that_dies_while_it_starts_is_replaced() -> None:
    pool = _Pool([])
    pool.starts = [RecorderLostError("died")]
    assert _run(pool, [2]) == [(0, 2)]
    assert pool.calls == [("shard1", 0, 2, False)]
    pool.starts = [RecorderLostError("died")] * 99
    with pytest.raises(RecorderLostError, match="died"):
        _run(pool, [2])


def test_a_store_that_is_away_is_asked_again_and_another_error_ends_the_sweep() -> None:
    pool = _Pool([StoreUnavailableError("away"), StoreUnavailableError("away")])
    assert _run(pool, [2]) == [(0, 2)]
    assert [call[1:3] for call in pool.calls] == [(0, 2)] * 3
    with pytest.raises(StoreError, match="wrong"):
        _run(_Pool([StoreError("wrong")]), [2])
    with pytest.raises(StoreUnavailableError, match="gave up"):
        _run(_Pool([StoreUnavailableError("away")]), [2], seconds=0.0)


def test_training_waits_when_too_much_is_waiting_to_be_recorded() -> None:
    pool = _Pool([])
    pool.spare_bytes = 350
    _run(pool, [2] * 20)
    assert pool.trained == 20
    assert pool.most_ahead <= pool.tasks_at_once + 3


def test_the_other_parts_of_a_shard_follow_the_one_that_writes_its_curves() -> None:
    """If they were recorded first and the sweep died, its trials would count as recorded without their curves."""
    pool = _Pool([StoreUnavailableError("away")])
    _run(pool, [4, 4], _Recipe(writers=2))
    for shard in ("shard1", "shard2"):
        firsts = [first for name, first, _, _ in pool.calls if name == shard]
        assert firsts[-2:] == [0, 2]
        assert set(firsts[:-1]) == {0}


def test_a_store_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = _Pool([])
    calls = iter([None])

    def hangs(handles: Collection[Any], seconds: float | None) -> Any:
        if next(calls, "interrupted") == "interrupted":
            assert seconds is not None  # a limit, once the sweep stops
            return None
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "first_done", hangs)
    with pytest.raises(KeyboardInterrupt):
        _run(pool, [2])
    assert pool.closed == pool.opened
