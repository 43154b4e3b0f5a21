"""Retry while the store is unavailable: it restarts, another process has locked it, or its disk is full."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from experiments.errors import StoreUnavailableError

DEFAULT_SECONDS = 600.0

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds

_Result = TypeVar("_Result")


class RetryObserver(Protocol):
    """Receives the events of a store that is unavailable. For a driver, so is one for which no recorder starts."""

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        """The store has been unavailable for some seconds.

        why: the error's message.
        bound: the seconds after which the retries end.
        """
        ...

    def back(self) -> None:
        """The store is available again."""
        ...


class Retry:
    """Repeats attempts that raise StoreUnavailableError.

    seconds: give up when so many have passed since the last success.
    """

    def __init__(self, seconds: float, observer: RetryObserver) -> None:
        self._seconds = seconds
        self._observer = observer
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of the first call that succeeds. Raises StoreUnavailableError."""
        while True:
            try:
                result = work()
            except StoreUnavailableError as error:
                time.sleep(self.failed(error))
            else:
                self.succeeded()
                return result

    def failed(self, error: StoreUnavailableError) -> float:
        """Return how many seconds to wait before the next attempt. Raises StoreUnavailableError if it is time to stop.

        error: of the attempt that failed.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._seconds:
            raise StoreUnavailableError(f"{error}\ngave up after waiting {now - self._since:.0f} s") from error
        self._observer.waiting(str(error), now - self._since, self._seconds)
        pause = min(self._pause, self._seconds - (now - self._since))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return pause

    def succeeded(self) -> None:
        """Note that an attempt has succeeded."""
        if self._since is not None:
            self._since, self._pause = None, _FIRST_PAUSE
            self._observer.back()
