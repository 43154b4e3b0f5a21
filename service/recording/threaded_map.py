"""A function over many items in a few threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

_REQUESTS = 8  # at once: enough for a server of several processes, few enough for one

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ThreadedMap:
    """Maps items by a function, several at once."""

    def __init__(self, threads: int = _REQUESTS) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads

    def map_unordered(self, function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
        """Yield each result as soon as it is there.

        After an error, or when the iterator is closed early, no more calls begin; those that run are waited for.
        Raises the first error.
        """
        waiting = iter(items)
        running: set[Future[_Result]] = set()
        try:
            while True:
                running |= {self._pool.submit(function, item) for item in islice(waiting, self._threads - len(running))}
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    running.remove(future)
                    yield future.result()
        finally:
            wait(running)

    def run(self, function: Callable[[_Item], object], items: Sequence[_Item]) -> None:
        """Call the function with every item. Raises the first error, when the calls that ran by then have ended."""
        for _ in self.map_unordered(function, items):
            pass

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
