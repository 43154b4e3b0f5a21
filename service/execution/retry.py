"""Retry while the store is unavailable: it restarts, another process has locked it, or its disk is full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from experiments.errors import StoreUnavailableError

DEFAULT_SECONDS = 600.0

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds

_Result = TypeVar("_Result")


class RetryObserver(Protocol):
    """Receives the events of a store that is unavailable."""

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
        self._ended = threading.Event()
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    def end(self) -> None:
        """End the retries: from now on, an attempt that fails raises its error."""
        self._ended.set()

    def iterate(self, attempt: Callable[[], Iterator[_Result]]) -> Iterator[_Result]:
        """Yield the results of attempt after attempt, until one completes. Raises StoreUnavailableError."""
        while True:
            try:
                for result in attempt():
                    self._succeeded()
                    yield result
                self._succeeded()
                return
            except StoreUnavailableError as error:
                self._wait(error)

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of the first call that succeeds. Raises StoreUnavailableError."""
        (result,) = self.iterate(lambda: iter([work()]))
        return result

    def _wait(self, error: StoreUnavailableError) -> None:
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._seconds or self._ended.is_set():
            raise StoreUnavailableError(f"{error}\ngave up after waiting {now - self._since:.0f} s") from error
        self._observer.waiting(str(error), now - self._since, self._seconds)
        self._ended.wait(min(self._pause, self._seconds - (now - self._since)))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _succeeded(self) -> None:
        if self._since is not None:
            self._since, self._pause = None, _FIRST_PAUSE
            self._observer.back()
