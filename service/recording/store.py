"""Write and read sweeps in MLflow's store: their experiments, their own runs, their trials."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import NotFoundError, StoreError
from service.recording.connection import sqlite_path, translated_errors
from service.recording.deleted import check_trials_experiment, delete_trials, restore_hint, restore_runs
from service.recording.infos import SweepInfo, TrialInfo, from_mlflow_value, sweep_info, trial_info
from service.recording.parquet_parts import ROWS_FOLDER
from service.recording.runs import TRIAL, is_active
from service.recording.signs_of_life import driver_tags
from service.recording.sqlite_files import check_writable
from service.recording.sweep_files import (
    BATCH,
    BRACKETS_FILE,
    COMPARED_FILE,
    DATA_FILE,
    FRAME_FILE,
    PARTS_FILE,
    POINTS_FILE,
    SPEC_FILE,
    STEPS_FILE,
    SweepFiles,
)
from service.recording.tags import Tag

if TYPE_CHECKING:
    import pandas as pd

    from engine.arrays import Array, Floats, Integers, Words
    from service.recording.gradgrid_model import GradgridModel
    from service.recording.recorder_recipe import RecorderRecipe
    from service.recording.registry import Registered

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # else MLflow's pages open it in another mode
_SWEEPS, _TRIALS = "sweeps", "trials"


class Store(SweepFiles):
    """Writes sweeps to MLflow's store, and reads them back. Every failure is a StoreError."""

    # ------------------------------------------------------------------------------------------------------ writing

    def begin(
        self,
        sweep: str,
        name: str,
        spec: Mapping[str, Any],
        tags: Mapping[str, str],
        params: Mapping[str, str],
        parts: str = "",
        data: Mapping[str, Any] | None = None,
        frame: bytes = b"",
    ) -> SweepInfo:
        """Create the sweep's experiments and its run; return the sweep.

        sweep: its id.
        name: the one in the sweep file.
        spec: the content of the sweep file.
        tags, params: of the run.
        parts: the text of the file of custom functions; may be empty.
        data: the description of the data set.
        frame: the data as a Parquet file, if they come from Python.
        """
        import yaml
        from mlflow.entities import Param

        with translated_errors(self.uri):
            parent = self._experiment(name, _SWEEPS)
            trials = self._experiment(f"{name}/{sweep}", _TRIALS)
            identity = {Tag.SWEEP: sweep, Tag.SPEC: name, Tag.EXPERIMENT: trials}
            run = self._client.create_run(parent, tags={**identity, **tags, **driver_tags()}, run_name=sweep)
            run_id = str(run.info.run_id)
            self._client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
            texts = {SPEC_FILE: yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True)}
            if parts:
                texts[PARTS_FILE] = parts
            texts[DATA_FILE] = json.dumps(data or {})
            files = {name: text.encode() for name, text in texts.items()}
            self._artifacts.write(run_id, {**files, FRAME_FILE: frame} if frame else files)
            self._client.set_tag(run_id, Tag.KIND, "sweep")  # last: a sweep that is found can be resumed
            return sweep_info(self._client.get_run(run_id))

    def write_steps(self, sweep: SweepInfo, steps: Integers) -> None:
        """Write the steps that each trial is trained for, (trials,), as a file of the sweep's run."""
        self._write_columns(sweep, STEPS_FILE, {"steps": steps})

    def write_brackets(self, sweep: SweepInfo, firsts: Integers) -> None:
        """Write the index of the rung at which each trial is compared first, (trials,), to the sweep's run."""
        self._write_columns(sweep, BRACKETS_FILE, {"first": firsts})

    def write_compared(self, sweep: SweepInfo, steps: int, numbers: Integers, values: Floats) -> None:
        """Write a comparison that the budget cut short as a file of the sweep's run.

        steps: to which the trials were trained.
        numbers, values: of the trials that were, (compared,).
        """
        import numpy as np

        columns = {"steps": np.full(len(numbers), steps), "number": numbers, "value": values}
        self._write_columns(sweep, COMPARED_FILE, columns)

    def write_points(self, sweep: SweepInfo, names: Sequence[str], points: Words, batch: Integers) -> None:
        """Write the points that a search has asked for as a file of the sweep's run.

        names: of the dimensions.
        points: their coordinates, (points, dimensions).
        batch: the number of the batch of each point, (points,).
        """
        columns = dict(zip(names, points.T, strict=True))
        self._write_columns(sweep, POINTS_FILE, {**columns, BATCH: batch})

    def _write_columns(self, sweep: SweepInfo, name: str, columns: Mapping[str, Array]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = BytesIO()
        pq.write_table(pa.table(dict(columns)), file, compression="zstd")
        self.write_files(sweep, None, {name: file.getvalue()})

    def _experiment(self, name: str, kind: str) -> str:
        """Return the id of the experiment with this name. Create it if there is none; don't change one that exists."""
        from mlflow.exceptions import MlflowException

        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                folder = f"{self._artifacts_folder}/{name}" if self._artifacts_folder else None
                return str(self._client.create_experiment(name, folder, tags={**_KIND, Tag.KIND: kind}))
            except MlflowException:
                # another sweep has created it meanwhile, or the answer was lost
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        if not is_active(experiment):
            raise StoreError(
                f"the experiment {name!r} was deleted: {restore_hint(experiment.experiment_id, self.uri)}; or give "
                "the sweep another name"
            )
        return str(experiment.experiment_id)

    def tag_experiment(self, experiment_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of an experiment."""
        with translated_errors(self.uri):
            for name, value in tags.items():
                self._client.set_experiment_tag(experiment_id, name, value)

    def recorder(self, sweep: SweepInfo, *, weights: bool = True) -> RecorderRecipe:
        """Return the recipe of the recorder for the sweep's trials. weights: whether to record the final weights.

        Raises StoreError.
        """
        from service.recording.recorders import recorder_recipe

        with translated_errors(self.uri):
            experiment = self._client.get_experiment(sweep.experiment_id)
            folder = self._artifacts.location(str(experiment.artifact_location), sweep.run_id)
            return recorder_recipe(self.uri, experiment, folder, weights=weights, backend_uri=self._backend_uri)

    def run_location(self, sweep: SweepInfo) -> str:
        """Return where the artifacts of the sweep's run are now."""
        with translated_errors(self.uri):
            return self._artifacts.run_location(sweep.run_id)

    def register(self, trial: TrialInfo, name: str, network: GradgridModel, example: pd.DataFrame) -> Registered:
        """Register a trial's network as a new version of the model `name`.

        example: a few rows of features, as in the user's table. Raises UserError for a name that MLflow does not take.
        """
        from service.recording.registry import register  # MLflow's models take half a second to import

        self._check_writable()
        with translated_errors(self.uri):
            location = str(self._client.get_experiment(trial.experiment_id).artifact_location)
            if self._artifacts.location(location, trial.run_id) != location:
                raise StoreError(
                    f"the store was moved or copied: MLflow would write the model to {location}, the old place; "
                    f"link that to the new place (`ln -s`), then register the model"
                )
            return register(self._client, trial, name, network, example)

    def _check_writable(self) -> None:
        path = sqlite_path(self.uri)
        if path:
            check_writable(path)

    def reopen(self, sweep: SweepInfo) -> None:
        """Mark the sweep's run as running again, with this process as its driver, and delete incomplete runs.

        No other driver may be at work on the sweep. Raises StoreError if the experiment of its trials was deleted.
        """
        self._check_writable()
        with translated_errors(self.uri):
            check_trials_experiment(self._runs, sweep, self.uri)
            self.tag(sweep, driver_tags())
            self.discard_unfinished(sweep)
            self._client.update_run(sweep.run_id, status="RUNNING")

    def extend(
        self, sweep: SweepInfo, spec: Mapping[str, Any], tags: Mapping[str, str], params: Mapping[str, str]
    ) -> None:
        """Record an extension of a sweep: the new content of its sweep file, tags, and new params of its run."""
        import yaml
        from mlflow.entities import Param

        text = yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True)
        self.write_files(sweep, None, {SPEC_FILE: text.encode()})
        with translated_errors(self.uri):
            self.tag(sweep, tags)
            self._client.log_batch(sweep.run_id, params=[Param(key, value) for key, value in params.items()])

    def tag(self, sweep: SweepInfo, tags: Mapping[str, str]) -> None:
        """Set tags of the sweep's run."""
        from mlflow.entities import RunTag

        with translated_errors(self.uri):
            self._client.log_batch(sweep.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def discard_unfinished(self, sweep: SweepInfo) -> None:
        """Delete incomplete runs of trials. No other driver may be at work on the sweep."""
        with translated_errors(self.uri):
            for run in list(self._runs.of([sweep.experiment_id], f"{TRIAL} AND attributes.status = 'RUNNING'")):
                self._client.delete_run(run.info.run_id)

    def restore_deleted(
        self, sweep: SweepInfo, is_missing: Callable[[str], bool], *, weights: bool
    ) -> tuple[list[TrialInfo], int]:
        """Restore a deleted run of each missing trial; return the trials, and how many could not be restored.

        is_missing: whether the trial with this id is missing.
        weights: whether a run must have its final weights.
        """
        with translated_errors(self.uri):
            runs, lost = restore_runs(
                self._client, self._runs, self._artifacts, sweep.experiment_id, is_missing, weights=weights
            )
            return list(map(trial_info, runs)), lost

    def end(
        self,
        sweep: SweepInfo,
        status: str,
        *,
        table: Path,
        metrics: Mapping[str, float],
        description: str,
        files: Mapping[str, bytes],
    ) -> None:
        """Write table, metrics, description and files to the sweep's run, and end it.

        status: MLflow's, FINISHED or KILLED.
        table: the trials' table, a file called trials.parquet.
        description: Markdown.
        files: name -> content.
        """
        from mlflow.entities import Metric

        with translated_errors(self.uri):
            self._artifacts.copy(sweep.run_id, table)
            self.write_files(sweep, None, files)
            now = time.time_ns() // 1_000_000  # of equal times MLflow would keep the greater value
            finite = {key: float(value) for key, value in metrics.items() if not math.isnan(value)}
            self._client.log_batch(sweep.run_id, metrics=[Metric(key, value, now, 0) for key, value in finite.items()])
            self._client.set_tag(sweep.run_id, "mlflow.note.content", description)
            self._client.set_terminated(sweep.run_id, status)
        with suppress(Exception):  # not every artifact store can remove files; the table has the rows
            self._artifacts.remove(sweep.run_id, ROWS_FOLDER)

    def write_files(self, sweep: SweepInfo, folder: str | None, files: Mapping[str, bytes]) -> None:
        """Write files to the sweep's run, or into a folder of it."""
        self._check_writable()
        self._artifacts.write(sweep.run_id, files, folder)

    def abandon(self, sweep: SweepInfo, seconds: float | None = None) -> None:
        """End the sweep's run as failed. Ignores errors: an earlier error is about to be reported.

        seconds: that the sweep has taken so far.
        """
        with suppress(Exception):
            self._client.set_terminated(sweep.run_id, "FAILED")
            if seconds is not None:
                self.count_seconds(sweep, seconds)

    def count_seconds(self, sweep: SweepInfo, seconds: float) -> None:
        """Write how many seconds the sweep has taken so far to its run."""
        with translated_errors(self.uri):
            self._client.log_metric(sweep.run_id, "seconds", seconds, step=0)

    # ------------------------------------------------------------------------------------------------------ reading

    def experiment_tags(self, experiment_id: str) -> dict[str, str]:
        """Return the tags of an experiment."""
        with translated_errors(self.uri):
            return dict(self._client.get_experiment(experiment_id).tags)

    def find_trial(self, name: str) -> TrialInfo:
        """Return the trial with this run id, or with this beginning of it. Raises NotFoundError."""
        match = self.find(name)
        if isinstance(match, TrialInfo):
            return match
        raise NotFoundError(f"{name!r} is a sweep: give a trial's run, such as `gradgrid top {name}` lists")

    def curve(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return a recorded curve, as (step, value)."""
        with translated_errors(self.uri):
            return [(m.step, from_mlflow_value(m.value)) for m in self._client.get_metric_history(run_id, metric)]

    def delete(self, sweep: SweepInfo) -> None:
        """Delete a sweep's run and its trials' experiment in MLflow. `mlflow gc` removes them for good.

        If the experiment holds other runs of the user, only the trials are deleted.
        """
        self._check_writable()
        with translated_errors(self.uri):
            delete_trials(self._client, self._runs, sweep.experiment_id)
            self._client.delete_run(sweep.run_id)
