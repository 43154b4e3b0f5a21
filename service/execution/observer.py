"""The events of a running sweep, for a progress bar or a log."""

from __future__ import annotations

from typing import Protocol

from service.execution.plan import Plan
from service.execution.retry import RetryObserver
from service.recording.infos import SweepInfo


class ProgressObserver(RetryObserver, Protocol):
    """Receives the events of a running sweep."""

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        """Training begins.

        done: how many trials are recorded already.
        workers: how many tasks run at once.
        note: a message for the user; may be empty.
        """
        ...

    def advance(self, trials: int, best: float | None) -> None:
        """So many more trials are recorded. best: the best value of the objective so far."""
        ...

    def comparing(self, trials: int, steps: int) -> None:
        """So many trials are trained up to a step, to decide which of them stop. They are recorded later."""
        ...

    def end(self) -> None:
        """Every trial is recorded, or the sweep stops."""
        ...


class NullObserver:
    """Ignores every event."""

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        pass

    def advance(self, trials: int, best: float | None) -> None:
        pass

    def comparing(self, trials: int, steps: int) -> None:
        pass

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        pass

    def back(self) -> None:
        pass

    def end(self) -> None:
        pass
