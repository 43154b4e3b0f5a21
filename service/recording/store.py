"""A sweep in MLflow: its two experiments, its own run, and finding it again."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from experiments.errors import NotFoundError, StoreError
from service.recording import Recorder
from service.recording.connection import check_writable, sqlite_path, translated_errors
from service.recording.deleted import check_trials_experiment, delete_trials, lost_runs, restore_hint, restore_runs
from service.recording.finding import Finder
from service.recording.infos import SweepInfo, TrialInfo, from_mlflow_value, sweep_info, trial_from_row, trial_info
from service.recording.old_names import table_as_written, trial_as_written
from service.recording.parquet_parts import read_parts, write_part
from service.recording.runs import TRIAL, is_active
from service.recording.signs_of_life import driver_tags
from service.recording.sqlite_reader import Unreadable
from service.recording.tags import Tag
from service.recording.weights import WEIGHTS_FILE
from service.results.metrics import lower_is_better

if TYPE_CHECKING:
    import pandas as pd

    from service.recording.gradgrid_model import GradgridModel
    from service.recording.registry import Registered

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # else the UI opens the experiment as something else
_SWEEPS, _TRIALS = "sweeps", "trials"
_SPEC_FILE = "spec.yaml"
_PARTS_FILE = "parts.py"
_DATA_FILE = "dataset.json"
_FRAME_FILE = "data.parquet"
_TABLE_FILE = "trials.parquet"
_ROWS_FOLDER = "rows"
_CURVES_FOLDER = "curves"


class Store(Finder):
    """MLflow's store, opened: what gradgrid writes to it and reads from it. Every failure is a StoreError."""

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
        """Make the sweep's experiments and its run: the spec on it, the text of one's own parts, facts of the data.

        frame: the data as a Parquet file, where it comes from Python.
        """
        import yaml
        from mlflow.entities import Param

        with translated_errors(self.uri):
            parent = self._experiment(name, _SWEEPS)
            trials = self._experiment(f"{name}/{sweep}", _TRIALS)
            own = {Tag.SWEEP: sweep, Tag.SPEC: name, Tag.EXPERIMENT: trials}
            run = self._client.create_run(parent, tags={**own, **tags, **driver_tags()}, run_name=sweep)
            run_id = str(run.info.run_id)
            self._client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
            texts = {_SPEC_FILE: yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True)}
            if parts:
                texts[_PARTS_FILE] = parts
            texts[_DATA_FILE] = json.dumps(data or {})
            files = {name: text.encode() for name, text in texts.items()}
            self._artifacts.write(run_id, {**files, _FRAME_FILE: frame} if frame else files)
            self._client.set_tag(run_id, Tag.KIND, "sweep")  # last: what is found can be resumed
            return sweep_info(self._client.get_run(run_id))

    def _experiment(self, name: str, kind: str) -> str:
        """The id of the experiment of this name, made where there is none. The user's own is left as it is."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, tags={**_KIND, Tag.KIND: kind}))
            except MlflowException:
                found = self._client.get_experiment_by_name(name)  # another sweep was faster, or an answer was lost
                if found is None:
                    raise
        if not is_active(found):
            raise StoreError(
                f"the experiment {name!r} was deleted: {restore_hint(found.experiment_id, self.uri)}; or give the "
                "sweep another name"
            )
        return str(found.experiment_id)

    def tag_experiment(self, experiment_id: str, tags: Mapping[str, str]) -> None:
        """Put tags on an experiment."""
        with translated_errors(self.uri):
            for name, value in tags.items():
                self._client.set_experiment_tag(experiment_id, name, value)

    def recorder(self, sweep: SweepInfo, *, weights: bool = True) -> Recorder:
        """A recorder of the sweep's trials. weights: whether it keeps the final weights. Raises StoreError."""
        from service.recording.recorders import make_recorder

        with translated_errors(self.uri):
            return make_recorder(
                self._client,
                self.uri,
                sweep.experiment_id,
                sweep.sweep,
                weights=weights,
                backend_uri=self._backend_uri,
                current_location=lambda location: self._artifacts.location(location, sweep.run_id),
            )

    def register(self, trial: TrialInfo, name: str, network: GradgridModel, example: pd.DataFrame) -> Registered:
        """Register a trial's network as a new version of the model `name`. Raises UserError for an impossible name."""
        from service.recording.registry import register  # MLflow's models take half a second to import

        self._check_writable()
        with translated_errors(self.uri):
            location = str(self._client.get_experiment(trial.experiment_id).artifact_location)
            if self._artifacts.location(location, trial.run_id) != location:
                raise StoreError(
                    f"the store was moved or copied: MLflow would write the model to {location}, where the store was; "
                    f"link that to where it is now (`ln -s`), and register the model then"
                )
            return register(self._client, trial, name, network, example)

    def _check_writable(self) -> None:
        path = sqlite_path(self.uri)
        if path:
            check_writable(path)

    def write_rows(self, sweep: SweepInfo, rows: pd.DataFrame) -> None:
        """Keep rows of the sweep's table on its run, until `end` puts the whole table there."""
        write_part(self._artifacts, sweep.run_id, _ROWS_FOLDER, rows)

    def write_curves(self, sweep: SweepInfo, points: pd.DataFrame) -> None:
        """Keep a shard's curves on the sweep's run, in one file: thousands of runs are not read one by one."""
        write_part(self._artifacts, sweep.run_id, _CURVES_FOLDER, points)

    def read_rows(self, sweep: SweepInfo) -> pd.DataFrame:
        """The rows of the sweep's table that an earlier run of it kept; no rows where there are none."""
        table = [name for name in self._artifacts.names(sweep.run_id) if name == _TABLE_FILE]
        names = [*table, *self._artifacts.names(sweep.run_id, _ROWS_FOLDER)]
        return table_as_written(read_parts(self._parts(sweep, names), ["trial"]), sweep)

    def curves(self, sweep: SweepInfo) -> pd.DataFrame:
        """Every curve that `write_curves` kept, a row a point: number, step, metrics; no rows where there are none."""
        names = self._artifacts.names(sweep.run_id, _CURVES_FOLDER)
        points = read_parts(self._parts(sweep, names), ["number", "step"])
        return points.sort_values(["number", "step"], ignore_index=True) if len(points) else points

    def _parts(self, sweep: SweepInfo, names: Sequence[str]) -> Iterator[bytes]:
        return (self._read(sweep.run_id, name) for name in names)

    def reopen(self, sweep: SweepInfo) -> None:
        """Mark the sweep's run as running again, by this process, and delete what was cut off in the middle of writing.

        Only the sweep's own driver may. Raises StoreError where its trials' experiment was deleted.
        """
        self._check_writable()
        with translated_errors(self.uri):
            check_trials_experiment(self._runs, sweep, self.uri)
            self.tag(sweep, driver_tags())
            self.discard_unfinished(sweep)
            self._client.update_run(sweep.run_id, status="RUNNING")

    def tag(self, sweep: SweepInfo, tags: Mapping[str, str]) -> None:
        """Set tags of the sweep's run."""
        from mlflow.entities import RunTag

        with translated_errors(self.uri):
            self._client.log_batch(sweep.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def discard_unfinished(self, sweep: SweepInfo) -> None:
        """Delete the trials' runs that a sweep cut off in the middle of writing; only its own driver may."""
        with translated_errors(self.uri):
            for run in list(self._runs.of([sweep.experiment_id], f"{TRIAL} AND attributes.status = 'RUNNING'")):
                self._client.delete_run(run.info.run_id)

    def restore_deleted(
        self, sweep: SweepInfo, trials: Collection[str], *, weights: bool
    ) -> tuple[list[TrialInfo], int]:
        """Restore a deleted run of each of these trials; returns those, and how many have lost too much for it."""
        with translated_errors(self.uri):
            found = (self._client, self._runs, self._artifacts, sweep.experiment_id, trials)
            runs, lost = restore_runs(*found, weights=weights)
            return list(map(trial_info, runs)), lost

    def end(
        self,
        sweep: SweepInfo,
        status: str,
        *,
        table: pd.DataFrame,
        metrics: Mapping[str, float],
        description: str,
        files: Mapping[str, bytes],
    ) -> None:
        """Put table, summary, description and files on the sweep's run, and end it."""
        from mlflow.entities import Metric

        with translated_errors(self.uri):
            self.write_files(sweep, None, {_TABLE_FILE: table.to_parquet(index=False), **files})
            finite = {key: float(value) for key, value in metrics.items() if not math.isnan(value)}
            self._client.log_batch(sweep.run_id, metrics=[Metric(k, v, 0, 0) for k, v in finite.items()])
            self._client.set_tag(sweep.run_id, "mlflow.note.content", description)
            self._client.set_terminated(sweep.run_id, status)
        with suppress(Exception):  # `table` has them; not every artifact store can remove them
            self._artifacts.remove(sweep.run_id, _ROWS_FOLDER)

    def write_files(self, sweep: SweepInfo, folder: str | None, files: Mapping[str, bytes]) -> None:
        """Put files on the sweep's run, or into a folder of it."""
        self._check_writable()
        self._artifacts.write(sweep.run_id, files, folder)

    def abandon(self, sweep: SweepInfo) -> None:
        """End the sweep's run as failed, if the store still lets us; what went wrong before is told elsewhere."""
        with suppress(Exception):
            self._client.set_terminated(sweep.run_id, "FAILED")

    # ------------------------------------------------------------------------------------------------------ reading

    def experiment_tags(self, experiment_id: str) -> dict[str, str]:
        """The tags of an experiment."""
        with translated_errors(self.uri):
            return dict(self._client.get_experiment(experiment_id).tags)

    def find_trial(self, name: str, *, best: bool = False) -> TrialInfo:
        """A trial by its run id or the beginning of it; with `best`, by a sweep's name its best that has a run.

        Raises NotFoundError.
        """
        found = self.find(name)
        if isinstance(found, SweepInfo) and best:
            ranked = self.best(found, found.objective, 1)
            if not ranked or not ranked[0].run_id:
                raise NotFoundError(f"no trial of {name!r} has finished and has a run")
            return self.find_trial(ranked[0].run_id)
        if isinstance(found, SweepInfo):
            raise NotFoundError(f"{name!r} is a sweep; give a trial's run, such as `gradgrid top {name}` lists")
        return found

    def best(self, sweep: SweepInfo, metric: str, count: int) -> list[TrialInfo]:
        """The best finished trials of a sweep by a metric at their final weights, the best first."""
        from engine import DIVERGED

        if not sweep.has_every_run:
            rows = self.table(sweep) if sweep.ended else self.read_rows(sweep)
            finished = rows[(rows["outcome"] != DIVERGED) & rows[f"metrics.{metric}"].notna()]
            order = finished.sort_values([f"metrics.{metric}", "number"], ascending=[lower_is_better(metric), True])
            return [trial_from_row(row, sweep) for row in order.head(count).to_dict("records")]
        by = f"metrics.`{metric}` {'ASC' if lower_is_better(metric) else 'DESC'}"
        with translated_errors(self.uri):
            found = self._client.search_runs(
                [sweep.experiment_id], f"{TRIAL} AND attributes.status = 'FINISHED'", max_results=count, order_by=[by]
            )
        return [trial for trial in (trial_as_written(run, sweep) for run in found) if metric in trial.metrics]

    def curve(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """(step, value) of a recorded curve."""
        with translated_errors(self.uri):
            return [(m.step, from_mlflow_value(m.value)) for m in self._client.get_metric_history(run_id, metric)]

    def final_weights(self, run_id: str) -> list[dict[str, Any]] | None:
        """The trial's tensors: name, shape, values; None where they were not recorded."""
        if WEIGHTS_FILE not in self._artifacts.names(run_id):
            return None
        tensors: list[dict[str, Any]] = json.loads(self._read(run_id, WEIGHTS_FILE))["tensors"]
        return tensors

    def spec(self, sweep: SweepInfo) -> Any:
        """The sweep file's content that the sweep was made from."""
        import yaml

        return yaml.safe_load(self._read(sweep.run_id, _SPEC_FILE))

    def data(self, sweep: SweepInfo) -> dict[str, Any]:
        """Facts of the sweep's data."""
        facts: dict[str, Any] = json.loads(self._read(sweep.run_id, _DATA_FILE))
        return facts

    def frame(self, sweep: SweepInfo) -> bytes:
        """The Parquet file of a sweep's data that came from Python."""
        return self._read(sweep.run_id, _FRAME_FILE)

    def parts(self, sweep: SweepInfo) -> str:
        """The text of the file of parts that the sweep was made with; empty where there was none."""
        if _PARTS_FILE not in self._artifacts.names(sweep.run_id):
            return ""
        return self._read(sweep.run_id, _PARTS_FILE).decode("utf-8")

    def table(self, sweep: SweepInfo) -> pd.DataFrame:
        """The sweep's trials.parquet. Raises NotFoundError for a sweep that is running still, or was killed."""
        import pandas as pd

        if not sweep.ended:
            raise NotFoundError(
                f"the sweep {sweep.sweep} has not come to its end, so it has no table yet; "
                f"`gradgrid resume {sweep.sweep}` completes one that was killed"
            )
        table = pd.read_parquet(io.BytesIO(self._read(sweep.run_id, _TABLE_FILE)))
        lost = self._lost_runs(sweep, table["run_id"].dropna())
        table = table.assign(run_id=table["run_id"].where(~table["run_id"].isin(lost), None)) if lost else table
        return table_as_written(table, sweep)

    def delete(self, sweep: SweepInfo) -> None:
        """Delete a sweep's run and its trials' experiment, as MLflow deletes: `mlflow gc` removes them for good.

        Where the user has put other runs into that experiment, only the trials are deleted.
        """
        self._check_writable()
        with translated_errors(self.uri):
            delete_trials(self._client, self._runs, sweep.experiment_id)
            self._client.delete_run(sweep.run_id)

    def _lost_runs(self, sweep: SweepInfo, run_ids: Collection[str]) -> set[str]:
        """Those of a sweep's runs that were deleted."""
        if self._reader:
            with suppress(Unreadable):
                return set(run_ids) - self._reader.trial_run_ids(sweep.experiment_id)
        with translated_errors(self.uri):
            return lost_runs(self._runs, sweep.experiment_id, run_ids)

    def _read(self, run_id: str, name: str) -> bytes:
        """The content of an artifact."""
        if self._reader:
            with suppress(Unreadable):
                return self._reader.artifact(run_id, name)
        return self._artifacts.read(run_id, name)
