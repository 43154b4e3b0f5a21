"""Observers that stop a sweep."""

from service.execution.observer import NullObserver
from service.execution.plan import Plan
from service.recording.infos import SweepInfo


class Interrupting(NullObserver):
    """Presses Ctrl-C after a number of trials. done: the trials that were recorded before it began."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.done = 0

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        self.done = done

    def advance(self, trials: int, best: float | None) -> None:
        self.left -= trials
        if self.left <= 0:
            raise KeyboardInterrupt
