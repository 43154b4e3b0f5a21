"""A thread that shows at intervals that the driver is alive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from experiments.errors import StoreError

_AGAIN_SECONDS = 5.0  # after a failure


class Heartbeat:
    """Calls `beat` at intervals while the block runs. A store that fails does not stop the sweep.

    seconds: between two calls. After a StoreError the next call follows sooner.
    """

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
