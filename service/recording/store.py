"""A sweep in MLflow: its two experiments, its own run, and finding it again."""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import NotFoundError, StoreError
from service.recording import Recorder
from service.recording.connection import open_client, resolve, sqlite_path, translated_errors
from service.recording.infos import SweepInfo, TrialInfo, as_recorded, listed_trial, sweep_info, trial_info
from service.recording.signs_of_life import driver_tags
from service.recording.sqlite_reader import SqliteReader, StoredRun, Unreadable
from service.recording.weights import WEIGHTS_FILE
from service.results.metrics import lower_is_better

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from service.recording.gradgrid_model import GradgridModel
    from service.recording.registry import Registered

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # else the UI opens the experiment as something else
_SWEEPS, _TRIALS = "sweeps", "trials"
_WHOLE = ("FINISHED", "FAILED")  # how a run ends once all of a trial is written
_PAGE = 1_000
_SPEC_FILE = "spec.yaml"
_PARTS_FILE = "parts.py"
_DATA_FILE = "dataset.json"
_TABLE_FILE = "trials.parquet"
_ROWS_FOLDER = "rows"
_CURVES_FOLDER = "curves"


class Store:
    """MLflow's store, opened: what gradgrid writes to it and reads from it. Every failure is a StoreError.

    `backend_uri`: the database behind a tracking server, for recording at its speed; else GRADGRID_BACKEND_STORE_URI.
    `option` is what a command line must say to open the same store. Sweeps and their tables are read from an SQLite
    file by itself, unless `direct` is False; MLflow is imported, and its client opened, by whatever else is asked.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        create: bool = False,
        backend_uri: str | None = None,
        direct: bool = True,
    ) -> None:
        self.uri = resolve(tracking_uri)
        self._backend_uri = backend_uri or os.environ.get("GRADGRID_BACKEND_STORE_URI")
        self.option = f" --tracking-uri {tracking_uri}" if tracking_uri else ""
        self._create = create
        path = sqlite_path(self.uri)
        self._reader = SqliteReader(path) if path and path.exists() and direct and not create else None
        if self._reader is None:
            self._client  # noqa: B018 - opened now, so that a store that can't be used is told of first

    @cached_property
    def _client(self) -> MlflowClient:
        return open_client(self.uri, create=self._create)

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
    ) -> SweepInfo:
        """Make the sweep's experiments and its run: the spec on it, the text of one's own parts, facts of the data."""
        import yaml
        from mlflow.entities import Param

        with translated_errors(self.uri):
            parent = self._experiment(name, _SWEEPS)
            trials = self._experiment(f"{name}/{sweep}", _TRIALS)
            own = {"gradgrid.sweep": sweep, "gradgrid.spec": name, "gradgrid.experiment": trials}
            run = self._client.create_run(parent, tags={**own, **tags, **driver_tags()}, run_name=sweep)
            run_id = str(run.info.run_id)
            self._client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
            self._client.log_text(run_id, yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True), _SPEC_FILE)
            if parts:
                self._client.log_text(run_id, parts, _PARTS_FILE)
            self._client.log_text(run_id, json.dumps(data or {}), _DATA_FILE)
            self._client.set_tag(run_id, "gradgrid.kind", "sweep")  # last: what is found can be resumed
            return sweep_info(self._client.get_run(run_id))

    def _experiment(self, name: str, kind: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, tags={**_KIND, "gradgrid.kind": kind}))
            except MlflowException:
                found = self._client.get_experiment_by_name(name)  # another sweep was faster, or an answer was lost
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise StoreError(f"the experiment {name!r} was deleted; restore it, or give the sweep another name")
        return str(found.experiment_id)

    def recorder(self, sweep: SweepInfo, runs: dict[str, str], *, weights: bool = True) -> Recorder:
        """What writes the sweep's trials; `runs` are those it has already, trial -> run id."""
        from service.recording.recorders import make_recorder

        with translated_errors(self.uri):
            return make_recorder(
                self._client,
                self.uri,
                sweep.experiment_id,
                sweep.sweep,
                runs,
                weights=weights,
                backend_uri=self._backend_uri,
            )

    def register(self, trial: TrialInfo, name: str, network: GradgridModel, example: pd.DataFrame) -> Registered:
        """Register a trial's network as a new version of the model `name`. Raises UserError for an impossible name."""
        from service.recording.registry import register  # MLflow's models take half a second to import

        with translated_errors(self.uri):
            return register(self._client, trial, name, network, example)

    def keep_rows(self, sweep: SweepInfo, rows: pd.DataFrame) -> None:
        """Keep rows of the sweep's table on its run, until `end` puts the whole table there."""
        self._keep_part(sweep, _ROWS_FOLDER, rows)

    def keep_curves(self, sweep: SweepInfo, points: pd.DataFrame) -> None:
        """Keep a shard's curves on the sweep's run, in one file: thousands of runs are not read one by one."""
        self._keep_part(sweep, _CURVES_FOLDER, points)

    def _keep_part(self, sweep: SweepInfo, kind: str, rows: pd.DataFrame) -> None:
        numbers, floats = rows["number"], [name for name in rows if rows[name].dtype == "float64"]
        with translated_errors(self.uri), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{numbers.iloc[0]:08}-{numbers.iloc[-1]:08}.parquet"
            split = {"use_dictionary": [n for n in rows if n not in floats], "use_byte_stream_split": floats}
            rows.to_parquet(path, index=False, compression="zstd", **split)
            self._client.log_artifact(sweep.run_id, str(path), kind)

    def kept_rows(self, sweep: SweepInfo) -> pd.DataFrame:
        """The rows of the sweep's table that an earlier run of it kept; no rows where there are none."""
        with translated_errors(self.uri):
            names = [a.path for a in self._client.list_artifacts(sweep.run_id) if a.path == _TABLE_FILE]
        return self._parts(sweep, [*names, *self._part_names(sweep, _ROWS_FOLDER)], ["trial"])

    def curves(self, sweep: SweepInfo) -> pd.DataFrame:
        """Every curve that `keep_curves` kept, a row a point: number, step, metrics; no rows where there are none."""
        points = self._parts(sweep, self._part_names(sweep, _CURVES_FOLDER), ["number", "step"])
        return points.sort_values(["number", "step"], ignore_index=True) if len(points) else points

    def _part_names(self, sweep: SweepInfo, kind: str) -> list[str]:
        with translated_errors(self.uri):
            return [artifact.path for artifact in self._client.list_artifacts(sweep.run_id, kind)]

    def _parts(self, sweep: SweepInfo, names: Sequence[str], key: list[str]) -> pd.DataFrame:
        """Tables of one kind as one; of what was kept twice, the first."""
        import pandas as pd
        import pyarrow

        parts = []
        for name in names:
            with suppress(pyarrow.ArrowInvalid):  # cut off by whatever ended the sweep; trained again
                parts.append(pd.read_parquet(io.BytesIO(self._artifact_bytes(sweep.run_id, name))))
        filled = [part for part in parts if len(part)]
        return pd.concat(filled, ignore_index=True).drop_duplicates(key) if filled else pd.DataFrame()

    def _discard_rows(self, sweep: SweepInfo) -> None:
        """Remove what `keep_rows` wrote; not every artifact store can."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with suppress(Exception):
            place = self._client.get_run(sweep.run_id).info.artifact_uri
            get_artifact_repository(place, tracking_uri=self.uri).delete_artifacts(_ROWS_FOLDER)  # type: ignore[no-untyped-call]

    def reopen(self, sweep: SweepInfo) -> None:
        """Mark the sweep's run as running again, by this process."""
        self.tag(sweep, driver_tags())
        with translated_errors(self.uri):
            self._client.update_run(sweep.run_id, status="RUNNING")

    def tag(self, sweep: SweepInfo, tags: Mapping[str, str]) -> None:
        """Set tags of the sweep's run."""
        from mlflow.entities import RunTag

        with translated_errors(self.uri):
            self._client.log_batch(sweep.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def discard_unfinished(self, sweep: SweepInfo) -> None:
        """Delete the trials' runs that a sweep cut off in the middle of writing; only its own driver may."""
        with translated_errors(self.uri):
            for run in list(self._runs([sweep.experiment_id], "attributes.status = 'RUNNING'")):
                self._client.delete_run(run.info.run_id)

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

        with translated_errors(self.uri), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / _TABLE_FILE
            table.to_parquet(path, index=False)
            self._client.log_artifact(sweep.run_id, str(path))
            self.keep_files(sweep, None, files)
            finite = {key: float(value) for key, value in metrics.items() if not math.isnan(value)}
            self._client.log_batch(sweep.run_id, metrics=[Metric(k, v, 0, 0) for k, v in finite.items()])
            self._client.set_tag(sweep.run_id, "mlflow.note.content", description)
            self._client.set_terminated(sweep.run_id, status)
        self._discard_rows(sweep)

    def keep_files(self, sweep: SweepInfo, folder: str | None, files: Mapping[str, bytes]) -> None:
        """Put files on the sweep's run, or into a folder of it."""
        with translated_errors(self.uri), tempfile.TemporaryDirectory() as place:
            for name, content in files.items():
                path = Path(place) / name
                path.write_bytes(content)
                self._client.log_artifact(sweep.run_id, str(path), folder)

    def abandon(self, sweep: SweepInfo) -> None:
        """End the sweep's run as failed, if the store still lets us; what went wrong before is told elsewhere."""
        with suppress(Exception):
            self._client.set_terminated(sweep.run_id, "FAILED")

    # ------------------------------------------------------------------------------------------------------ reading

    def sweeps(self) -> list[SweepInfo]:
        """Every sweep of the store, newest first."""
        if self._reader:
            with suppress(Unreadable):
                return list(map(sweep_info, self._reader.sweeps()))
        with translated_errors(self.uri):
            experiments = self._client.search_experiments(filter_string=f"tags.`gradgrid.kind` = '{_SWEEPS}'")
            runs = self._runs([e.experiment_id for e in experiments], "tags.`gradgrid.kind` = 'sweep'")
            return sorted(map(sweep_info, runs), key=lambda info: info.start_time, reverse=True)

    def find_sweep(self, name: str) -> SweepInfo:
        """The sweep of this id, the beginning of it, its run's id, `spec/id`, or the newest of a spec.

        Raises NotFoundError where there is none, or where the beginning is that of several.
        """
        sweeps = self.sweeps()
        exact = [s for s in sweeps if name in (s.sweep, s.run_id, f"{s.spec}/{s.sweep}")]
        if exact:
            return exact[0]
        newest = [s for s in sweeps if s.spec == name]
        if newest:
            return newest[0]
        begun = [s for s in sweeps if s.sweep.startswith(name)]
        if len(begun) == 1:
            return begun[0]
        if begun:
            raise NotFoundError(f"{len(begun)} sweeps begin with {name!r}: {', '.join(s.sweep for s in begun[:5])}")
        raise NotFoundError(f"the store at {self.uri} has no sweep {name!r}; `gradgrid list` shows what it has")

    def sweep_of_job(self, job: str) -> str | None:
        """The id of the newest sweep that was begun for this job of a cluster; None where there is none."""
        return next((sweep.sweep for sweep in self.sweeps() if sweep.tags.get("gradgrid.job") == job), None)

    def find(self, name: str) -> SweepInfo | TrialInfo:
        """A sweep by any of its names, or a trial by its run id or the beginning of it. Raises NotFoundError."""
        try:
            return self.find_sweep(name)
        except NotFoundError as error:
            found = self._trials_beginning_with(name)
            if len(found) == 1:
                return found[0]
            if found:
                raise NotFoundError(f"several runs begin with {name!r}; give more of the run id") from None
            raise NotFoundError(f"{error}, and no trial whose run id begins so") from None

    def find_trial(self, name: str, *, best: bool = False) -> TrialInfo:
        """A trial by its run id or the beginning of it; with `best`, by a sweep's name its best that has a run.

        Raises NotFoundError.
        """
        found = self.find(name)
        if isinstance(found, SweepInfo) and best:
            ranked = self.best(found, found.tags["gradgrid.objective"], 1)
            if not ranked or not ranked[0].run_id:
                raise NotFoundError(f"no trial of {name!r} has finished and has a run")
            return self.find_trial(ranked[0].run_id)
        if isinstance(found, SweepInfo):
            raise NotFoundError(f"{name!r} is a sweep; give a trial's run, such as `gradgrid top {name}` lists")
        return found

    def _trials_beginning_with(self, run_id: str) -> list[TrialInfo]:
        if not run_id.isalnum():
            return []
        with translated_errors(self.uri):
            experiments = self._client.search_experiments(filter_string=f"tags.`gradgrid.kind` = '{_TRIALS}'")
            ids = [experiment.experiment_id for experiment in experiments]
            runs = self._client.search_runs(ids, f"attributes.run_id LIKE '{run_id}%'", max_results=2) if ids else []
            return [trial_info(run) for run in runs]

    def best(self, sweep: SweepInfo, metric: str, count: int) -> list[TrialInfo]:
        """The best finished trials of a sweep by a metric at their final weights, the best first."""
        from engine import DIVERGED

        if not sweep.has_every_run:
            rows = self.table(sweep) if sweep.ended else self.kept_rows(sweep)
            finished = rows[(rows["outcome"] != DIVERGED) & rows[f"metrics.{metric}"].notna()]
            order = finished.sort_values([f"metrics.{metric}", "number"], ascending=[lower_is_better(metric), True])
            return [listed_trial(row, sweep) for row in order.head(count).to_dict("records")]
        by = f"metrics.`{metric}` {'ASC' if lower_is_better(metric) else 'DESC'}"
        with translated_errors(self.uri):
            found = self._client.search_runs(
                [sweep.experiment_id], "attributes.status = 'FINISHED'", max_results=count, order_by=[by]
            )
        return [trial for trial in map(trial_info, found) if metric in trial.metrics]

    def trials(self, sweep: SweepInfo) -> Iterator[TrialInfo]:
        """Every trial of the sweep that was recorded whole."""
        for run in self._trial_runs(sweep):
            if run.info.status in _WHOLE:
                yield trial_info(run)

    def _trial_runs(self, sweep: SweepInfo) -> Iterator[Run | StoredRun]:
        if self._reader:
            with suppress(Unreadable):
                yield from self._reader.trials(sweep.experiment_id)
                return
        with translated_errors(self.uri):
            yield from self._runs([sweep.experiment_id], "tags.`gradgrid.trial` != ''")

    def curve(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """(step, value) of a recorded curve."""
        with translated_errors(self.uri):
            return [(m.step, as_recorded(m.value)) for m in self._client.get_metric_history(run_id, metric)]

    def final_weights(self, run_id: str) -> list[dict[str, Any]] | None:
        """The trial's tensors: name, shape, values; None where they were not recorded."""
        with translated_errors(self.uri):
            if WEIGHTS_FILE not in {artifact.path for artifact in self._client.list_artifacts(run_id)}:
                return None
        tensors: list[dict[str, Any]] = json.loads(self._artifact(run_id, WEIGHTS_FILE))["tensors"]
        return tensors

    def spec(self, sweep: SweepInfo) -> Any:
        """The sweep file's content that the sweep was made from."""
        import yaml

        return yaml.safe_load(self._artifact(sweep.run_id, _SPEC_FILE))

    def data(self, sweep: SweepInfo) -> dict[str, Any]:
        """Facts of the sweep's data."""
        facts: dict[str, Any] = json.loads(self._artifact(sweep.run_id, _DATA_FILE))
        return facts

    def parts(self, sweep: SweepInfo) -> str:
        """The text of the file of parts that the sweep was made with; empty where there was none."""
        with translated_errors(self.uri):
            names = {artifact.path for artifact in self._client.list_artifacts(sweep.run_id)}
        return self._artifact(sweep.run_id, _PARTS_FILE) if _PARTS_FILE in names else ""

    def table(self, sweep: SweepInfo) -> pd.DataFrame:
        """The sweep's trials.parquet. Raises NotFoundError for a sweep that is running still, or was killed."""
        import pandas as pd

        if not sweep.ended:
            raise NotFoundError(
                f"the sweep {sweep.sweep} has not come to its end, so it has no table yet; "
                f"`gradgrid resume {sweep.sweep}` completes one that was killed"
            )
        return pd.read_parquet(io.BytesIO(self._artifact_bytes(sweep.run_id, _TABLE_FILE)))

    def delete(self, sweep: SweepInfo) -> None:
        """Delete a sweep's run and its trials' experiment, as MLflow deletes: `mlflow gc` removes them for good."""
        with translated_errors(self.uri):
            self._client.delete_experiment(sweep.experiment_id)
            self._client.delete_run(sweep.run_id)

    def _artifact(self, run_id: str, name: str) -> str:
        return self._artifact_bytes(run_id, name).decode("utf-8")

    def _artifact_bytes(self, run_id: str, name: str) -> bytes:
        if self._reader:
            with suppress(Unreadable):
                return self._reader.artifact(run_id, name)
        with translated_errors(self.uri), tempfile.TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(run_id, name, folder)).read_bytes()

    def _runs(self, experiment_ids: Sequence[str], condition: str) -> Iterator[Run]:
        from mlflow.entities import ViewType

        token: str | None = None
        while experiment_ids:
            page = self._client.search_runs(
                list(experiment_ids), condition, ViewType.ACTIVE_ONLY, max_results=_PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return
