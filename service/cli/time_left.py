"""The time left of a sweep that stops trials: it is known only while those that went to the end are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.execution.plan import Plan


class StoppingTimeLeft:
    """The time left of a search by halving or Hyperband, or of a sweep with early stopping.

    Trials that stopped early take less time than those that go on, so their rate says nothing of the time left. Once
    all comparisons are over, the rate of the trials that go to the last step does. Early stopping has no last one.
    """

    def __init__(self, plan: Plan, done: int) -> None:
        """plan: of the sweep. done: how many trials are recorded already."""
        self._total, self._done = plan.trials, done
        self._last = 0
        if ladder := plan.ladder:
            configurations = sum(len(bracket.members) for bracket in ladder.brackets)
            self._last = round(ladder.reaching(len(ladder.rungs) - 1) * plan.trials / configurations)
        self._began: tuple[int, float] | None = None

    def text(self, trials: int, now: float) -> str:
        """Return the time left, such as `12 s left`; empty if it is not known.

        trials: that were recorded since the last call.
        now: the time in seconds.
        """
        self._done += trials
        left = self._total - self._done
        if left > self._last:
            return ""
        if self._began is None:
            self._began = self._done, now
        recorded, seconds = self._done - self._began[0], now - self._began[1]
        return f"{duration(left * seconds / recorded)} left" if recorded and seconds else ""


def duration(seconds: float) -> str:
    """Return a time in words: 95 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
