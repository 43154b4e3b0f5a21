"""A few things at once, in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

_REQUESTS = 8  # at once: enough for a server of several processes, few enough for one

_Item = TypeVar("_Item")


class Concurrently:
    """Runs a function over items, several at once, and yields the items that are done."""

    def __init__(self, threads: int = _REQUESTS) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads

    def each(self, work: Callable[[_Item], object], items: Sequence[_Item]) -> Iterator[_Item]:
        """Yield each item whose `work` is done. The first error is raised once those that were begun have ended, and so
        is the end of an iterator that is closed early; nothing more is begun then.
        """
        waiting = iter(items)
        running: dict[Future[object], _Item] = {}
        try:
            while True:
                for item in islice(waiting, self._threads - len(running)):
                    running[self._pool.submit(work, item)] = item
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    item = running.pop(future)
                    future.result()
                    yield item
        finally:
            wait(running)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
