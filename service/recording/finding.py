"""Finding what a store holds: its sweeps and their trials, by any of their names, deleted or not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from experiments.errors import NotFoundError
from service.recording.artifacts import Artifacts
from service.recording.connection import open_client, resolve, sqlite_path, translated_errors
from service.recording.deleted import how_it_comes_back
from service.recording.infos import SweepInfo, TrialInfo, is_sweep, sweep_info, trial_from_row, trial_info
from service.recording.old_names import trial_as_written
from service.recording.redaction import remember, tracking_option, without_passwords
from service.recording.runs import SWEEP, TRIAL, WHOLE, Runs, is_active
from service.recording.sqlite_reader import SqliteReader, StoredRun, Unreadable
from service.recording.tags import Tag
from service.recording.trust import Trust

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

_RUN_ID_LENGTH = 32
_ASKED_AT_ONCE = 100  # runs by their ids in one request


class Finder:
    """MLflow's store, opened, and its sweeps and trials found. Every failure is a StoreError.

    `backend_uri`: the database behind a tracking server, for recording at its speed; else GRADGRID_BACKEND_STORE_URI.
    `option` is what a command line must say to open the same store, without its password. Sweeps and their tables are
    read from an SQLite file by itself, unless `direct` is False; for all else MLflow's client is opened.
    `trust` decides which Python files out of the store may run here.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        create: bool = False,
        backend_uri: str | None = None,
        trust: Trust | None = None,
        direct: bool = True,
    ) -> None:
        self.uri = resolve(tracking_uri)
        self.trust = trust or Trust()
        self._backend_uri = backend_uri or os.environ.get("GRADGRID_BACKEND_STORE_URI")
        remember(self._backend_uri or "")
        self.option = tracking_option(tracking_uri)
        self._create = create
        path = sqlite_path(self.uri)
        self._reader = SqliteReader(path) if path and path.exists() and direct and not create else None
        if self._reader is None:
            self._client  # noqa: B018 - opened now, so that a store that can't be used is told of first

    @cached_property
    def _client(self) -> MlflowClient:
        return open_client(self.uri, create=self._create)

    @cached_property
    def _runs(self) -> Runs:
        return Runs(self._client)

    @cached_property
    def _artifacts(self) -> Artifacts:
        return Artifacts(self._client, self.uri)

    @property
    def address(self) -> str:
        """How MLflow itself opens the store: a file that can't be written is opened for reading alone."""
        return str(self._client.tracking_uri)

    def sweeps(self) -> list[SweepInfo]:
        """Every sweep of the store, newest first."""
        return self._sweeps()

    def _sweeps(self, *, deleted: bool = False) -> list[SweepInfo]:
        if self._reader and not deleted:
            with suppress(Unreadable):
                return list(map(sweep_info, filter(is_sweep, self._reader.sweeps())))
        with translated_errors(self.uri):
            runs = filter(is_sweep, self._runs.everywhere(SWEEP, deleted=deleted))
            return sorted(map(sweep_info, runs), key=lambda info: info.start_time, reverse=True)

    def find_sweep(self, name: str) -> SweepInfo:
        """The sweep of this id, the beginning of it, its run's id, `spec/id`, or the newest of a spec.

        Raises NotFoundError where there is none, or where the beginning is that of several.
        """
        found = self._one_sweep(name)
        if found is None:
            raise NotFoundError(self._no_sweep(name))
        return found

    def _one_sweep(self, name: str) -> SweepInfo | None:
        begun = _named(self.sweeps(), name)
        if len(begun) > 1:
            raise NotFoundError(f"{len(begun)} sweeps begin with {name!r}: {', '.join(s.sweep for s in begun[:5])}")
        return begun[0] if begun else None

    def _no_sweep(self, name: str) -> str:
        """Why there is no sweep of this name, and what to do."""
        deleted = _named(self._sweeps(deleted=True), name)[:1]
        if not deleted:
            place = without_passwords(self.uri)
            return f"the store at {place} has no sweep {name!r}; `gradgrid list` shows what it has"
        return self._told_deleted(deleted[0])

    def _told_deleted(self, sweep: SweepInfo) -> str:
        with translated_errors(self.uri):
            return how_it_comes_back(self._runs, sweep, self.uri)

    def sweep_of_job(self, job: str) -> str | None:
        """The id of the newest sweep that was begun for this job of a cluster; None where there is none."""
        return next((sweep.sweep for sweep in self.sweeps() if sweep.job == job), None)

    def sweep_of(self, trial: TrialInfo) -> SweepInfo:
        """The sweep that a trial belongs to. Raises NotFoundError where its own run is gone."""
        with translated_errors(self.uri):
            run = self._runs.run(trial.sweep_run_id)
        if run is None:
            raise NotFoundError(f"the sweep {trial.sweep} of this trial was deleted for good")
        if not is_active(run):
            raise NotFoundError(self._told_deleted(sweep_info(run)))
        return sweep_info(run)

    def find(self, name: str) -> SweepInfo | TrialInfo:
        """A sweep by any of its names, or a trial by its run id or the beginning of it. Raises NotFoundError."""
        if len(name) == _RUN_ID_LENGTH:
            with translated_errors(self.uri):
                run = self._runs.run(name)
            if run is not None and is_active(run) and (is_sweep(run) or Tag.TRIAL in run.data.tags):
                return sweep_info(run) if is_sweep(run) else trial_info(run)
        sweep = self._one_sweep(name)
        if sweep is not None:
            return sweep
        found = self._trials_beginning_with(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFoundError(f"several runs begin with {name!r}; give more of the run id")
        for deleted in self._trials_beginning_with(name, deleted=True)[:1]:
            own = deleted.tags.get(Tag.SWEEP, "SWEEP")
            raise NotFoundError(f"the run {deleted.run_id} was deleted; `gradgrid resume {own}` brings it back")
        raise NotFoundError(f"{self._no_sweep(name)}, and no trial whose run id begins so")

    def _trials_beginning_with(self, run_id: str, *, deleted: bool = False) -> list[TrialInfo]:
        """At most two trials."""
        if not (run_id.isalnum() and run_id.isascii()):
            return []
        with translated_errors(self.uri):
            runs = self._runs.everywhere(f"{TRIAL} AND attributes.run_id LIKE '{run_id}%'", deleted=deleted)
            return [trial_info(run) for run in islice(runs, 2)]

    def listed(self, sweep: SweepInfo, rows: pd.DataFrame) -> list[TrialInfo]:
        """The trials of these rows of the sweep's table, in their order: from their runs where there are any."""
        ids = [str(run_id) for run_id in rows["run_id"].dropna()] if "run_id" in rows else []
        runs: dict[str, TrialInfo] = {}
        with translated_errors(self.uri):
            for start in range(0, len(ids), _ASKED_AT_ONCE):
                wanted = ", ".join(f"'{run_id}'" for run_id in ids[start : start + _ASKED_AT_ONCE])
                for run in self._runs.of([sweep.experiment_id], f"attributes.run_id IN ({wanted})"):
                    runs[run.info.run_id] = trial_as_written(run, sweep)
        return [runs.get(str(row["run_id"])) or trial_from_row(row, sweep) for row in rows.to_dict("records")]

    def trials(self, sweep: SweepInfo) -> Iterator[TrialInfo]:
        """Every trial of the sweep that was recorded whole, each once."""
        seen: set[str] = set()
        for run in self._trial_runs(sweep):
            trial = run.data.tags[Tag.TRIAL]
            if run.info.status in WHOLE and trial not in seen:
                seen.add(trial)
                yield trial_as_written(run, sweep)

    def _trial_runs(self, sweep: SweepInfo) -> Iterator[Run | StoredRun]:
        if self._reader:
            with suppress(Unreadable):
                yield from self._reader.trials(sweep.experiment_id)
                return
        with translated_errors(self.uri):
            yield from self._runs.of([sweep.experiment_id], TRIAL)


def _named(sweeps: Sequence[SweepInfo], name: str) -> list[SweepInfo]:
    """The sweep that goes by this name; several where it is the beginning of several ids."""
    exact = [s for s in sweeps if name in (s.sweep, s.run_id, f"{s.spec}/{s.sweep}")]
    newest = [s for s in sweeps if s.spec == name]
    return exact[:1] or newest[:1] or [s for s in sweeps if s.sweep.startswith(name)]
