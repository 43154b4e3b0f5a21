"""The events of a sweep under way, for a progress bar or a log."""

from __future__ import annotations

from typing import Protocol

from service.execution.plan import Plan
from service.execution.retry import RetryObserver
from service.recording.infos import SweepInfo


class ProgressObserver(RetryObserver, Protocol):
    """Learns how a sweep progresses."""

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        """Training begins; `done` trials are recorded already. note: what the user should know; may be empty."""
        ...

    def advance(self, best: float | None) -> None:
        """One more trial is recorded. best: the best value of the objective so far."""
        ...

    def end(self) -> None:
        """All is recorded, or the sweep stops."""
        ...


class NullObserver:
    """Ignores every event."""

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        pass

    def advance(self, best: float | None) -> None:
        pass

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        pass

    def back(self) -> None:
        pass

    def end(self) -> None:
        pass
