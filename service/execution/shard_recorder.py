"""Record shards in a process that may be far from the driver."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments.errors import StoreError
from service.execution.shard_tables import ShardTables
from service.recording.artifact_writers import ArtifactWriter, File, open_artifact_writer
from service.recording.artifacts import local_folder
from service.recording.connection import translated_errors
from service.recording.environment import recording_environment
from service.recording.recorder import Recorder
from service.recording.recorder_recipe import RecorderRecipe
from service.recording.redaction import remember

if TYPE_CHECKING:
    from experiments.sections import RecordSpec
    from service.recording.infos import SweepInfo
    from service.recording.store import Store

_ROWS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class ShardRecorderRecipe:
    """All that a process needs to record a sweep's shards.

    runs: how to write runs; None if trials get no runs.
    uri: the store's.
    location: of the artifacts of the sweep's own run.
    environment: the variables from which MLflow takes credentials and certificates.
    """

    runs: RecorderRecipe | None
    uri: str = field(repr=False)
    location: str
    environment: Mapping[str, str] = field(repr=False)

    @property
    def writers(self) -> int:
        """How many recorders at once the store can use."""
        return self.runs.writers if self.runs else 1

    @property
    def batch(self) -> int:
        """How many trials to record at a time."""
        return self.runs.batch if self.runs else _ROWS_AT_ONCE

    @property
    def note(self) -> str:
        """A message for the user about the way of recording; may be empty."""
        return self.runs.note if self.runs else ""

    @property
    def is_local(self) -> bool:
        """Whether it writes files of this machine."""
        return local_folder(self.location) is not None or (self.runs is not None and self.runs.is_local)


def shard_recorder_recipe(
    store: Store, sweep: SweepInfo, record: RecordSpec, *, runs: bool = True
) -> ShardRecorderRecipe:
    """Return what a recorder of a sweep's shards needs.

    record: the sweep file's section. runs: whether trials get runs.
    Raises StoreError.
    """
    recorder = store.recorder(sweep, weights=record.weights == "artifact") if runs else None
    return ShardRecorderRecipe(recorder, store.uri, store.run_location(sweep), recording_environment())


class ShardRecorder:
    """Records shards, part by part. It returns errors of the store, as only the driver knows how long to wait.

    elsewhere: whether this process does not have the driver's environment.
    """

    def __init__(self, recipe: ShardRecorderRecipe, *, elsewhere: bool = False) -> None:
        if elsewhere:
            os.environ.update(recipe.environment)
            remember(recipe.uri)
        self._recipe = recipe
        self._runs: Recorder | None = None
        self._files: ArtifactWriter | None = None

    def record(self, tables: ShardTables, first: int, count: int, *, again: bool = False) -> list[str] | StoreError:
        """Record `count` trials of a shard, from the one at position `first`.

        again: whether another recorder, which has died, may have recorded some of them.
        Return the ids of the trials' runs, if they get runs; or the store's error, after which another attempt
        completes the work. The part with the first trial writes the shard's curves before its trials count as recorded.
        """
        try:
            if first == 0 and tables.curves:
                self._write(tables.curves)
            run_ids = self._recorder().record(tables.runs.slice(first, count), again=again) if tables.runs else []
            if first == 0 and tables.rows:
                self._write(tables.rows)
        except StoreError as error:
            return error
        return run_ids

    def finish(self) -> StoreError | None:
        """Complete the work once every trial is recorded."""
        try:
            if self._recipe.runs:
                self._recorder().finish()
        except StoreError as error:
            return error
        return None

    def close(self) -> None:
        """Free threads and connections."""
        for opened in (self._runs, self._files):
            if opened:
                opened.close()

    def _write(self, file: File) -> None:
        with translated_errors(self._recipe.uri):
            self._files = self._files or open_artifact_writer(self._recipe.uri, self._recipe.location)
            self._files.write([file])

    def _recorder(self) -> Recorder:
        if self._runs is None:
            assert self._recipe.runs is not None
            self._runs = self._recipe.runs.open()
        return self._runs
