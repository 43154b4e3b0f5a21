"""The seconds that a sweep takes, over all processes that train it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from experiments.errors import StoreError
from service.recording.infos import SweepInfo
from service.recording.store import Store


def total_seconds(sweep: SweepInfo, start: float) -> float:
    """Return the seconds that a sweep has taken so far.

    sweep: as it was when this process opened it, with the seconds of earlier processes.
    start: when this process began, by `time.monotonic`.
    """
    return time.monotonic() - start + sweep.metrics.get("seconds", 0.0)


@contextmanager
def seconds_counted(store: Store, sweep: SweepInfo, start: float) -> Iterator[None]:
    """Write the seconds to the sweep's run if the block fails or is interrupted. sweep, start: of `total_seconds`."""
    try:
        yield
    except BaseException:
        with suppress(StoreError):
            store.count_seconds(sweep, total_seconds(sweep, start))
        raise
