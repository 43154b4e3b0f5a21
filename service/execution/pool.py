"""A pool trains shards in tasks and records them in recorders. The pipeline sees no more of Ray than this."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from experiments.data.datasets import Dataset
from experiments.errors import GradgridError
from experiments.sections import EarlyStoppingSpec
from service.execution.shard import Shard
from service.execution.shard_recorder import ShardRecorderRecipe
from service.execution.shard_tables import TableSettings

Handle = Any
"""The result of work that may not have ended yet. It stays where it was made until it is fetched."""


class RecorderLostError(GradgridError):
    """The process of a recorder has ended."""


class RecorderHandle(Protocol):
    """A `ShardRecorder`, which may be in another process.

    stranded: whether it can't start any more, as the nodes for it are gone.
    delay: a message for the user if it does not start.
    """

    @property
    def stranded(self) -> bool: ...

    @property
    def delay(self) -> str: ...

    def started(self) -> Handle:
        """Return a handle whose work ends when the recorder has started."""
        ...

    def record(self, tables: Handle, first: int, count: int, again: bool) -> Handle:
        """Start `ShardRecorder.record`. tables: as `Pool.train` returned them."""
        ...

    def finish(self) -> Handle:
        """Start `ShardRecorder.finish`."""
        ...

    def close(self) -> None:
        """End the recorder. It must have no work; it may not have started."""
        ...


class Pool(Protocol):
    """Trains shards and records them.

    workers: how many shards are trained at once.
    tasks_at_once: how many tasks to start before the first has ended.
    spare_bytes: how much trained work may wait for a store that is unavailable, in bytes.
    """

    spare_bytes: int

    @property
    def workers(self) -> int: ...

    @property
    def tasks_at_once(self) -> int: ...

    def wait(self) -> None:
        """Wait until the pool can train. Raises ClusterError if Ray can't be reached or started."""
        ...

    def release(self) -> None:
        """End all tasks and free the pool's resources, in the background. Nothing may be trained afterwards."""
        ...

    def share(self, datasets: Sequence[Dataset]) -> Handle:
        """Return a handle of the data, for `train`."""
        ...

    def train(self, shard: Shard, datasets: Handle, settings: TableSettings) -> tuple[Handle, Handle]:
        """Start `train_tables`; return handles of its two results."""
        ...

    def screen(self, shard: Shard, datasets: Handle, metric: str, rule: EarlyStoppingSpec | None) -> Handle:
        """Start `screened`; return a handle of its result."""
        ...

    def open_recorder(self, recipe: ShardRecorderRecipe) -> RecorderHandle:
        """Open a recorder."""
        ...

    def first_done(self, handles: Collection[Handle], seconds: float | None) -> Handle | None:
        """Return a handle whose work has ended; None if there is none after some seconds. No limit: None."""
        ...

    def fetch(self, handle: Handle) -> Any:
        """Return the result. Raises ClusterError if a task was lost and its retries failed, RecorderLostError."""
        ...
