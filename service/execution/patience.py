"""Waiting for a store that is away: restarting, locked by another, or on a disk that is full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from experiments.errors import StoreAway

DEFAULT_SECONDS = 600.0

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0

_Result = TypeVar("_Result")


class Waiting(Protocol):
    """Who is told that the store is waited for."""

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        """The store has been away for these seconds; it is waited for until `bound`."""
        ...

    def back(self) -> None:
        """The store is there again."""
        ...


class Patience:
    """Attempts what a store refuses for now again and again, for at most `seconds` since it last succeeded."""

    def __init__(self, seconds: float, observer: Waiting) -> None:
        self._seconds = seconds
        self._observer = observer
        self._ended = threading.Event()
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    def end(self) -> None:
        """Wait no longer: what is waiting gives up."""
        self._ended.set()

    def each(self, attempt: Callable[[], Iterator[_Result]]) -> Iterator[_Result]:
        """Yield what attempts yield, until one comes to its end. Raises StoreAway once patience is over."""
        while True:
            try:
                for result in attempt():
                    self._succeeded()
                    yield result
                self._succeeded()
                return
            except StoreAway as error:
                self._wait(error)

    def call(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns, once it does. Raises StoreAway once patience is over."""
        (result,) = self.each(lambda: iter([work()]))
        return result

    def _wait(self, error: StoreAway) -> None:
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._seconds or self._ended.is_set():
            raise StoreAway(f"{error}\nit was waited for {now - self._since:.0f} s in vain") from error
        self._observer.waiting(str(error), now - self._since, self._seconds)
        self._ended.wait(min(self._pause, self._seconds - (now - self._since)))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _succeeded(self) -> None:
        if self._since is not None:
            self._since, self._pause = None, _FIRST_PAUSE
            self._observer.back()
