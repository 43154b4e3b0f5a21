"""Call a function with many items, in a few threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

_REQUESTS = 8  # at once: enough to keep a server of several processes busy, and one process can serve them

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ThreadedMap:
    """A pool of threads that calls a function with many items."""

    def __init__(self, threads: int = _REQUESTS) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads

    def map_unordered(self, function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
        """Yield each result as soon as it is ready. Raises the first error.

        After an error, or if the iterator is closed early, start no more calls, and wait for those that are running.
        """
        remaining = iter(items)
        running: set[Future[_Result]] = set()
        try:
            while True:
                running |= {
                    self._pool.submit(function, item) for item in islice(remaining, self._threads - len(running))
                }
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    running.remove(future)
                    yield future.result()
        finally:
            wait(running)

    def run(self, function: Callable[[_Item], object], items: Sequence[_Item]) -> None:
        """Call the function with every item. Raises the first error, after the running calls have ended."""
        for _ in self.map_unordered(function, items):
            pass

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
