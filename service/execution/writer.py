"""Write trained shards into the store, in a thread that runs while the next shards are trained."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from types import TracebackType

import pandas as pd

from service.execution.disk_queue import DiskQueue
from service.execution.interrupts import deferred_interrupts
from service.execution.plan import Plan
from service.execution.records import trial_records
from service.execution.retry import Retry
from service.execution.worker import TrainedShard
from service.recording import Recorder
from service.recording.infos import SweepInfo
from service.recording.store import Store
from service.recording.trial_record import RecordedTrial
from service.results.curves import curve_points


class ShardWriter:
    """Writes a shard's trials as runs, or as rows of the sweep's table.

    runs: whether trials get runs.
    note: a message for the user about the way of recording; may be empty.
    """

    def __init__(self, store: Store, sweep: SweepInfo, plan: Plan, retry: Retry, *, runs: bool) -> None:
        self._store = store
        self._sweep = sweep
        self._plan = plan
        self._retry = retry
        self._recorder = retry.call(self._make_recorder) if runs else None
        self.note = self._recorder.note if self._recorder else ""

    def write_trials(self, trained: TrainedShard, rows: pd.DataFrame) -> Iterator[RecordedTrial]:
        """Write a shard; yield each trial once it is recorded.

        rows: the shard's rows of the trials' table.
        Raises StoreError.
        """
        recorder = self._recorder
        if recorder is None:
            self._retry.call(lambda: self._store.write_rows(self._sweep, rows))
            yield from (RecordedTrial(trial, None) for trial in rows["trial"])
            return
        remaining = {record.trial: record for record in trial_records(trained, self._plan, self._sweep)}
        for recorded in self._retry.iterate(lambda: recorder.record(list(remaining.values()))):
            if remaining.pop(recorded.trial, None):
                yield recorded

    def write_curves(self, trained: TrainedShard) -> None:
        """Write a shard's curves as one file, if the spec asks for files. Raises StoreError."""
        if self._plan.record.curves == "file":
            points = curve_points(trained.history, trained.shard.numbers, self._plan.record)
            self._retry.call(lambda: self._store.write_curves(self._sweep, points))

    def finish(self) -> None:
        """Complete the work once every shard is written. Raises StoreError."""
        if self._recorder:
            self._retry.call(self._recorder.finish)

    def close(self) -> None:
        """Free threads and connections."""
        if self._recorder:
            self._recorder.close()

    def _make_recorder(self) -> Recorder:
        return self._store.recorder(self._sweep, weights=self._plan.record.weights == "artifact")


class BackgroundWriter:
    """A thread that calls `write` with each shard that it is given.

    At the end of the block it waits until every shard is written. If the block raises, it stops between two trials and
    drops the rest.
    """

    def __init__(self, write: Callable[[TrainedShard], Generator[object, None, None]], retry: Retry) -> None:
        self._write = write
        self._retry = retry
        self._queue: DiskQueue[TrainedShard] = DiskQueue()
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)

    def put(self, trained: TrainedShard) -> None:
        """Give a shard to the thread. Raises the error that ended the thread, if one did."""
        if self._error is not None:
            raise self._error
        self._queue.put(trained)

    def __enter__(self) -> BackgroundWriter:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._queue.end()
                while self._thread.is_alive():
                    self._thread.join(0.1)  # a join without a limit could not be interrupted
        finally:
            with deferred_interrupts():
                if self._thread.is_alive():
                    self._stopped.set()
                    self._retry.end()
                    self._queue.end()
                    self._thread.join()
                self._queue.close()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for trained in self._queue:
                with closing(self._write(trained)) as steps:
                    for _ in steps:
                        if self._stopped.is_set():
                            return
                if self._stopped.is_set():
                    return
        except BaseException as error:
            self._error = error
        finally:
            self._queue.end()
