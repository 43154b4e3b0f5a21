"""A thread that shows, again and again, that the driver is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from experiments.errors import StoreError

_AGAIN_SECONDS = 5.0  # after a store that was away


class Heartbeat:
    """Calls `beat` each `seconds` while the block runs. A store that is away is asked again soon; the sweep goes on."""

    def __init__(self, beat: Callable[[], None], seconds: float) -> None:
        self._beat = beat
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended.set()

    def _run(self) -> None:
        pause = self._seconds
        while not self._ended.wait(pause):
            try:
                self._beat()
                pause = self._seconds
            except StoreError:
                pause = min(_AGAIN_SECONDS, self._seconds)
