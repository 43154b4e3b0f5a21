"""Train and record in this process, without Ray: same interface as Ray's pool, same numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from experiments.data.datasets import Dataset
from experiments.sections import EarlyStoppingSpec
from service.execution.pool import Handle, RecorderHandle
from service.execution.shard import Shard
from service.execution.shard_recorder import ShardRecorder, ShardRecorderRecipe
from service.execution.shard_tables import TableSettings, train_tables
from service.execution.worker import screened


class _Done:
    """A result that is here. Two of them are never equal."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Working:
    """A result of a thread, which may not be here yet.

    future: of the thread's results. at: the position of this one; None if it is the only one.
    """

    def __init__(self, future: Future[Any], at: int | None = None) -> None:
        self.future = future
        self._at = at

    @property
    def value(self) -> Any:
        result = self.future.result()
        return result if self._at is None else result[self._at]


class InlinePool:
    """Does all work at once, for debugging."""

    workers = 1
    tasks_at_once = 1
    spare_bytes = 2**28

    def wait(self) -> None:
        pass

    def release(self) -> None:
        pass

    def share(self, datasets: Sequence[Dataset]) -> Handle:
        return _Done(datasets)

    def train(self, shard: Shard, datasets: Handle, settings: TableSettings) -> tuple[Handle, Handle]:
        summary, tables = train_tables(shard, datasets.value, settings)
        return _Done(summary), _Done(tables)

    def screen(self, shard: Shard, datasets: Handle, metric: str, rule: EarlyStoppingSpec | None) -> Handle:
        return _Done(screened(shard, datasets.value, metric, rule))

    def open_recorder(self, recipe: ShardRecorderRecipe) -> RecorderHandle:
        return _InlineRecorder(recipe)

    def first_done(self, handles: Collection[Handle], seconds: float | None) -> Handle | None:
        return next(iter(handles), None)

    def fetch(self, handle: Handle) -> Any:
        return handle.value


class ThreadPool(InlinePool):
    """Trains in threads, on all cores: the engine computes without Python's lock. Records in the caller's thread.

    threads: how many shards are trained at once.
    Nothing waits for the threads: a sweep that is interrupted ends although a shard is being trained.
    """

    def __init__(self, threads: int) -> None:
        self.workers = threads
        self.tasks_at_once = 2 * threads  # one trains, one waits
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        for _ in range(threads):
            threading.Thread(target=self._live, name="train", daemon=True).start()

    def _live(self) -> None:
        while (task := self._work.get()) is not None:
            task()

    def release(self) -> None:
        with suppress(Empty):
            while True:
                self._work.get_nowait()
        for _ in range(self.workers):
            self._work.put(None)

    def train(self, shard: Shard, datasets: Handle, settings: TableSettings) -> tuple[Handle, Handle]:
        future = self._started(lambda: train_tables(shard, datasets.value, settings))
        return _Working(future, 0), _Working(future, 1)

    def screen(self, shard: Shard, datasets: Handle, metric: str, rule: EarlyStoppingSpec | None) -> Handle:
        return _Working(self._started(lambda: screened(shard, datasets.value, metric, rule)))

    def _started(self, work: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()

        def task() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        self._work.put(task)
        return future

    def first_done(self, handles: Collection[Handle], seconds: float | None) -> Handle | None:
        done = next((handle for handle in handles if _is_done(handle)), None)
        if done is None:
            wait([handle.future for handle in handles], seconds, FIRST_COMPLETED)
            done = next((handle for handle in handles if _is_done(handle)), None)
        return done


def _is_done(handle: Handle) -> bool:
    return isinstance(handle, _Done) or handle.future.done()


class _InlineRecorder:
    """A recorder in this process."""

    stranded, delay = False, ""

    def __init__(self, recipe: ShardRecorderRecipe) -> None:
        self._recorder = ShardRecorder(recipe)

    def started(self) -> Handle:
        return _Done(None)

    def record(self, tables: Handle, first: int, count: int, again: bool) -> Handle:
        return _Done(self._recorder.record(tables.value, first, count, again=again))

    def finish(self) -> Handle:
        return _Done(self._recorder.finish())

    def close(self) -> None:
        self._recorder.close()
