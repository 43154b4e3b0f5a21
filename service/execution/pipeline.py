"""Train shards and record them, as fast as both go: the driver only hands results on.

A task trains a shard and makes its tables. They stay where they are until a recorder fetches them. The driver sees a
summary of each shard, and which parts of it are recorded.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from experiments.data.datasets import Dataset
from experiments.errors import GradgridError, StoreError, StoreUnavailableError
from service.execution.interrupts import deferred_interrupts
from service.execution.pool import Handle, Pool, RecorderHandle, RecorderLostError
from service.execution.retry import Retry
from service.execution.shard import Shard
from service.execution.shard_recorder import ShardRecorderRecipe
from service.execution.shard_tables import ShardSummary, TableSettings

_MAX_LOSSES = 5  # of recorders one after another, without a success between them
_START_SECONDS = 10  # for a recorder. Two are enough, unless no node may record
_STOP_SECONDS = 60  # to complete what is being recorded when a sweep is interrupted

Commit = Callable[[ShardSummary, int, list[str]], None]
"""Called when a part of a shard is recorded: its summary, the position of the first trial, the ids of the runs."""


@dataclass(frozen=True)
class _Part:
    """A part of a shard that is to be recorded.

    summary, tables: of the shard; the tables' handle.
    first, count: the position of its first trial in the shard, and the number of its trials.
    again: whether a recorder that has died may have recorded it.
    """

    summary: ShardSummary
    tables: Handle
    first: int
    count: int
    again: bool = False

    @property
    def nbytes(self) -> int:
        """The size that it keeps from being freed: the whole shard's for its first part, which the others follow."""
        return self.summary.nbytes if self.first == 0 else self.summary.nbytes * self.count // self.summary.trials


class Pipeline:
    """Trains shards in a pool's tasks, and records them with a pool's recorders.

    commit: is called for each part of a shard that is recorded.
    The observer of `retry` hears of a store that is unavailable, and of recorders none of which starts. Training goes
    on meanwhile.
    """

    def __init__(self, pool: Pool, recipe: ShardRecorderRecipe, retry: Retry, commit: Commit) -> None:
        self._pool = pool
        self._recipe = recipe
        self._retry = retry
        self._commit = commit
        self._training: dict[Handle, Handle] = {}  # summary -> tables
        self._waiting: deque[_Part] = deque()
        self._recording: dict[Handle, tuple[RecorderHandle, _Part]] = {}
        self._starting: dict[Handle, RecorderHandle] = {}
        self._idle: list[RecorderHandle] = []
        self._recorders = 0
        self._start_due = -math.inf
        self._losses = 0
        self._next_attempt = -math.inf

    def run(self, shards: Iterable[Shard], datasets: Sequence[Dataset], settings: TableSettings) -> None:
        """Train the shards and record them.

        If it is interrupted, it completes the parts that are being recorded, and commits them.
        Raises StoreError, and ClusterError if a task was lost and its retries failed.
        """
        shared, remaining = self._pool.share(datasets), iter(shards)
        try:
            while True:
                now = time.monotonic()
                self._start_recording(now)
                self._start_training(remaining, shared, settings)
                if not (self._training or self._recording or self._waiting):
                    break
                self._handle_one(now)
            self._finish()
        finally:
            with deferred_interrupts():
                self._stop()

    def _start_training(self, remaining: Iterator[Shard], datasets: Handle, settings: TableSettings) -> None:
        """Start tasks, unless too much work waits to be recorded."""
        while len(self._training) < self._pool.tasks_at_once:
            if sum(part.nbytes for part in self._waiting) > self._pool.spare_bytes:
                return
            shard = next(remaining, None)
            if shard is None:
                return
            summary, tables = self._pool.train(shard, datasets, settings)
            self._training[summary] = tables

    def _start_recording(self, now: float) -> None:
        self._check_start(now)
        if now < self._next_attempt:
            return
        while self._waiting and self._idle:
            with deferred_interrupts():
                recorder, part = self._idle.pop(), self._waiting.popleft()
                handle = recorder.record(part.tables, part.first, part.count, part.again)
                self._recording[handle] = (recorder, part)
        while len(self._starting) < len(self._waiting) and self._recorders < self._recipe.writers:
            recorder = self._pool.open_recorder(self._recipe)
            self._starting[recorder.started()] = recorder
            self._recorders += 1
            self._start_due = now + _START_SECONDS

    def _check_start(self, now: float) -> None:
        """Wait for a recorder that should have started as for a store that is unavailable, unless another records.

        A recorder whose nodes are gone is replaced by one elsewhere: Ray would wait for such nodes for ever.
        """
        if not self._all_start or now < max(self._start_due, self._next_attempt):
            return
        handle, late = next(iter(self._starting.items()))
        if late.stranded:
            del self._starting[handle]
            self._drop(late)
        else:
            self._next_attempt = now + self._retry.failed(StoreUnavailableError(late.delay))

    @property
    def _all_start(self) -> bool:
        return bool(self._starting) and not (self._idle or self._recording)

    def _handle_one(self, now: float) -> None:
        """Wait for a result and handle it, or until the next attempt to record."""
        handles = [*self._starting, *self._recording, *self._training]
        due = self._next_attempt if self._waiting else -math.inf
        if self._all_start:
            due = max(due, self._start_due)
        if not handles:
            time.sleep(max(due - now, 0.0))
            return
        done = self._pool.first_done(handles, due - now if due > now else None)
        with deferred_interrupts():
            if done in self._training:
                self._trained(done)
            elif done in self._starting:
                self._started(done)
            elif done is not None:
                self._recorded(done)

    def _started(self, handle: Handle) -> None:
        recorder = self._starting.pop(handle)
        try:
            self._pool.fetch(handle)
        except RecorderLostError as error:
            self._lost(recorder, error)
        else:
            self._idle.append(recorder)
            self._next_attempt = -math.inf  # it may have been the recorder for which recording waited

    def _trained(self, handle: Handle) -> None:
        tables = self._training.pop(handle)
        summary: ShardSummary = self._pool.fetch(handle)
        self._waiting.append(_Part(summary, tables, 0, min(self._recipe.batch, summary.trials)))

    def _recorded(self, handle: Handle) -> None:
        recorder, part = self._recording.pop(handle)
        try:
            result: list[str] | StoreError = self._pool.fetch(handle)
        except RecorderLostError as error:
            self._waiting.appendleft(replace(part, again=True))
            self._lost(recorder, error)
            return
        self._idle.append(recorder)
        if isinstance(result, StoreUnavailableError):
            self._waiting.appendleft(part)
            self._next_attempt = time.monotonic() + self._retry.failed(result)
        elif isinstance(result, StoreError):
            raise result
        else:
            self._losses = 0
            self._retry.succeeded()
            self._commit(part.summary, part.first, result)
            if part.first == 0:  # it has written the shard's curves: now the other trials may count as recorded
                self._waiting.extend(self._other_parts(part))

    def _other_parts(self, part: _Part) -> Iterator[_Part]:
        size, trials = self._recipe.batch, part.summary.trials
        for first in range(size, trials, size):
            yield _Part(part.summary, part.tables, first, min(size, trials - first))

    def _lost(self, recorder: RecorderHandle, error: RecorderLostError) -> None:
        """Drop a recorder whose process has ended; another will look for what it had written."""
        self._drop(recorder)
        self._losses += 1
        if self._losses >= _MAX_LOSSES:
            raise error

    def _drop(self, recorder: RecorderHandle) -> None:
        recorder.close()  # it may only be out of reach
        self._recorders -= 1

    def _finish(self) -> None:
        for recorder in self._idle:

            def finish(recorder: RecorderHandle = recorder) -> None:
                error = self._pool.fetch(recorder.finish())
                if error is not None:
                    raise error

            with suppress(RecorderLostError):
                self._retry.call(finish)

    def _stop(self) -> None:
        """Complete what is being recorded, and close the recorders. The tasks that train end with the pool."""
        self._idle += [recorder for recorder, _ in self._recording.values()]
        deadline = time.monotonic() + _STOP_SECONDS
        while self._recording:
            handle = self._pool.first_done(list(self._recording), max(deadline - time.monotonic(), 0.0))
            if handle is None:
                break  # the store hangs: these trials are trained again when the sweep is resumed
            _, part = self._recording.pop(handle)
            with suppress(GradgridError):
                result = self._pool.fetch(handle)
                if not isinstance(result, StoreError):
                    self._commit(part.summary, part.first, result)
        for left in (self._training, self._recording, self._waiting):
            left.clear()
        for recorder in [*self._idle, *self._starting.values()]:
            recorder.close()
        self._idle.clear()
        self._starting.clear()
