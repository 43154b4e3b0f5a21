"""Keeping what was trained, in a thread of its own: as runs, or as rows of the sweep's table alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import Protocol

import pandas as pd

from service.execution.interrupts import deferred_interrupts
from service.execution.patience import Patience
from service.execution.records import SweepIdentity, trial_records
from service.execution.spool import Spool
from service.execution.worker import Trained
from service.recording import Recorder
from service.recording.infos import SweepInfo
from service.recording.store import Store


class Keeper(Protocol):
    """Keeps trained shards in the store."""

    note: str

    def keep(self, trained: Trained, trials: Sequence[str], rows: pd.DataFrame) -> Iterator[str]:
        """Keep a shard; yield each of its trials, by id, once it is safe. Raises StoreError."""
        ...

    def finish(self) -> None:
        """What is to be done once all is kept. Raises StoreError."""
        ...

    def close(self) -> None:
        """Let go of what was open."""
        ...


class RunKeeper:
    """Every trial as a run."""

    def __init__(self, recorder: Recorder, identity: SweepIdentity, patience: Patience) -> None:
        self.note = recorder.note
        self._recorder = recorder
        self._identity = identity
        self._patience = patience

    def keep(self, trained: Trained, trials: Sequence[str], rows: pd.DataFrame) -> Iterator[str]:
        records = list(trial_records(trained, trials, self._identity))
        kept: set[str] = set()
        for trial in self._patience.each(lambda: self._recorder.record([r for r in records if r.trial not in kept])):
            kept.add(trial)
            yield trial

    def finish(self) -> None:
        self._patience.call(self._recorder.finish)

    def close(self) -> None:
        self._recorder.close()


class RowKeeper:
    """Every trial as a row of the sweep's table; a shard's are a file on the sweep's run until it is there."""

    note = ""

    def __init__(self, store: Store, sweep: SweepInfo, patience: Patience) -> None:
        self._store = store
        self._sweep = sweep
        self._patience = patience

    def keep(self, trained: Trained, trials: Sequence[str], rows: pd.DataFrame) -> Iterator[str]:
        self._patience.call(lambda: self._store.keep_rows(self._sweep, rows))
        yield from trials

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


class Recording:
    """A thread that does `work` with each shard put to it. Leaving the block completes what was put; leaving it by an
    exception stops between two trials, and what was not recorded is lost.
    """

    def __init__(self, work: Callable[[Trained], Generator[object, None, None]], patience: Patience) -> None:
        self._work = work
        self._patience = patience
        self._spool: Spool[Trained] = Spool()
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._record, name="recording", daemon=True)

    def put(self, trained: Trained) -> None:
        """Have a shard recorded soon. Raises what went wrong with one before it."""
        if self._error is not None:
            raise self._error
        self._spool.put(trained)

    def __enter__(self) -> Recording:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._spool.end()
                while self._thread.is_alive():
                    self._thread.join(0.1)  # a join without end could not be interrupted
        finally:
            with deferred_interrupts():
                if self._thread.is_alive():
                    self._stopped.set()
                    self._patience.end()
                    self._spool.end()
                    self._thread.join()
                self._spool.close()
        if kind is None and self._error is not None:
            raise self._error

    def _record(self) -> None:
        try:
            for trained in self._spool:
                with closing(self._work(trained)) as steps:
                    for _ in steps:
                        if self._stopped.is_set():
                            return
                if self._stopped.is_set():
                    return
        except BaseException as error:
            self._error = error
        finally:
            self._spool.end()
