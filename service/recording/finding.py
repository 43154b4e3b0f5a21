"""Find sweeps and trials in a store, by any of their names."""

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
from service.recording.deleted import deleted_sweep_message
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
_IDS_A_REQUEST = 100


class Finder:
    """Opens MLflow's store, and finds sweeps and trials in it. Every failure is a StoreError.

    tracking_uri: the store's address; else MLflow's default.
    create: make an SQLite store if its file does not exist.
    backend_uri: the database behind a tracking server, to record at its speed; else GRADGRID_BACKEND_STORE_URI.
    artifacts: the folder for the artifacts of new experiments; None for the store's own.
    trust: decides which Python files out of the store may run here.
    direct: read sweeps and their tables straight from an SQLite file, without MLflow's client.

    `option` is the command's option that opens the same store, without a password.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        create: bool = False,
        backend_uri: str | None = None,
        artifacts: str | None = None,
        trust: Trust | None = None,
        direct: bool = True,
    ) -> None:
        self.uri = resolve(tracking_uri)
        self.trust = trust or Trust()
        self._backend_uri = backend_uri or os.environ.get("GRADGRID_BACKEND_STORE_URI")
        remember(self._backend_uri or "")
        self._artifacts_folder = artifacts
        self.option = tracking_option(tracking_uri)
        self._create = create
        path = sqlite_path(self.uri)
        self._reader = SqliteReader(path) if path and path.exists() and direct else None
        if self._reader is None or create:
            self._client  # noqa: B018 - open now, to fail early if the store can't be used

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
        """The address with which MLflow opens the store: read-only if its file can't be written."""
        return str(self._client.tracking_uri)

    def sweeps(self) -> list[SweepInfo]:
        """Return every sweep of the store, newest first."""
        return self._sweeps()

    def _sweeps(self, *, deleted: bool = False) -> list[SweepInfo]:
        if self._reader and not deleted:
            with suppress(Unreadable):
                return list(map(sweep_info, filter(is_sweep, self._reader.sweeps())))
        with translated_errors(self.uri):
            runs = filter(is_sweep, self._runs.everywhere(SWEEP, deleted=deleted))
            return sorted(map(sweep_info, runs), key=lambda info: info.start_time, reverse=True)

    def find_sweep(self, name: str) -> SweepInfo:
        """Return the sweep with this name.

        name: its id, the beginning of its id, its run's id, `spec/id`, or a spec, for the newest sweep of it.
        Raises NotFoundError if there is none, or if several ids begin so.
        """
        sweep = self._one_sweep(name)
        if sweep is None:
            raise NotFoundError(self._no_sweep(name))
        return sweep

    def _one_sweep(self, name: str) -> SweepInfo | None:
        sweeps = _by_name(self.sweeps(), name)
        if len(sweeps) > 1:
            ids = ", ".join(sweep.sweep for sweep in sweeps[:5])
            raise NotFoundError(f"{len(sweeps)} sweeps begin with {name!r}: {ids}; give more of the id")
        return sweeps[0] if sweeps else None

    def _no_sweep(self, name: str) -> str:
        """Return the message that there is no sweep with this name."""
        deleted = _by_name(self._sweeps(deleted=True), name)[:1]
        if not deleted:
            return f"the store at {without_passwords(self.uri)} has no sweep {name!r}: `gradgrid list` shows its sweeps"
        return self._deleted_message(deleted[0])

    def _deleted_message(self, sweep: SweepInfo) -> str:
        with translated_errors(self.uri):
            return deleted_sweep_message(self._runs, sweep, self.uri)

    def sweep_of_job(self, job: str) -> str | None:
        """Return the id of the newest sweep of a cluster's job; None if there is none."""
        return next((sweep.sweep for sweep in self.sweeps() if sweep.job == job), None)

    def sweep_of(self, trial: TrialInfo) -> SweepInfo:
        """Return the sweep of a trial. Raises NotFoundError if the sweep's own run was deleted."""
        with translated_errors(self.uri):
            run = self._runs.run(trial.sweep_run_id)
        if run is None:
            raise NotFoundError(f"the sweep {trial.sweep} of this trial was deleted for good")
        if not is_active(run):
            raise NotFoundError(self._deleted_message(sweep_info(run)))
        return sweep_info(run)

    def find(self, name: str) -> SweepInfo | TrialInfo:
        """Return a sweep by any of its names, or a trial by its run id or the beginning of it. Raises NotFoundError."""
        if len(name) == _RUN_ID_LENGTH:
            with translated_errors(self.uri):
                run = self._runs.run(name)
            if run is not None and is_active(run) and (is_sweep(run) or Tag.TRIAL in run.data.tags):
                return sweep_info(run) if is_sweep(run) else trial_info(run)
        sweep = self._one_sweep(name)
        if sweep is not None:
            return sweep
        trials = self._trials_beginning_with(name)
        if len(trials) == 1:
            return trials[0]
        if trials:
            raise NotFoundError(f"several runs begin with {name!r}: give more of the run id")
        for deleted in self._trials_beginning_with(name, deleted=True)[:1]:
            of_sweep = deleted.tags.get(Tag.SWEEP, "SWEEP")
            raise NotFoundError(f"the run {deleted.run_id} was deleted: `gradgrid resume {of_sweep}` brings it back")
        raise NotFoundError(f"{self._no_sweep(name)}; no trial's run id begins so either")

    def _trials_beginning_with(self, run_id: str, *, deleted: bool = False) -> list[TrialInfo]:
        """Return at most two trials whose run ids begin so."""
        if not (run_id.isalnum() and run_id.isascii()):
            return []
        with translated_errors(self.uri):
            runs = self._runs.everywhere(f"{TRIAL} AND attributes.run_id LIKE '{run_id}%'", deleted=deleted)
            return [trial_info(run) for run in islice(runs, 2)]

    def trials_of_rows(self, sweep: SweepInfo, rows: pd.DataFrame) -> list[TrialInfo]:
        """Return the trials of these rows of the sweep's table, in order; from their runs if they have runs."""
        ids = [str(run_id) for run_id in rows["run_id"].dropna()] if "run_id" in rows else []
        runs: dict[str, TrialInfo] = {}
        with translated_errors(self.uri):
            for start in range(0, len(ids), _IDS_A_REQUEST):
                quoted_ids = ", ".join(f"'{run_id}'" for run_id in ids[start : start + _IDS_A_REQUEST])
                for run in self._runs.of([sweep.experiment_id], f"attributes.run_id IN ({quoted_ids})"):
                    runs[run.info.run_id] = trial_as_written(run, sweep)
        return [runs.get(str(row["run_id"])) or trial_from_row(row, sweep) for row in rows.to_dict("records")]

    def trials(self, sweep: SweepInfo) -> Iterator[TrialInfo]:
        """Yield every completely recorded trial of the sweep, each once."""
        yielded: set[str] = set()
        for run in self._trial_runs(sweep):
            trial = run.data.tags[Tag.TRIAL]
            if run.info.status in WHOLE and trial not in yielded:
                yielded.add(trial)
                yield trial_as_written(run, sweep)

    def _trial_runs(self, sweep: SweepInfo) -> Iterator[Run | StoredRun]:
        if self._reader:
            with suppress(Unreadable):
                yield from self._reader.trials(sweep.experiment_id)
                return
        with translated_errors(self.uri):
            yield from self._runs.of([sweep.experiment_id], TRIAL)


def _by_name(sweeps: Sequence[SweepInfo], name: str) -> list[SweepInfo]:
    """Return the sweep with this name; several if it is the beginning of several ids."""
    exact = [s for s in sweeps if name in (s.sweep, s.run_id, f"{s.spec}/{s.sweep}")]
    newest = [s for s in sweeps if s.spec == name]
    return exact[:1] or newest[:1] or [s for s in sweeps if s.sweep.startswith(name)]
