"""Sweeps from Python, for notebooks and scripts: run or find one, and get its trials as DataFrames.

All errors are kinds of GradgridError (`experiments.errors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.compared import ComparedSweeps as ComparedSweeps

if TYPE_CHECKING:
    import pandas as pd

    from experiments.spec import ResolvedSpec
    from service.execution.observer import ProgressObserver
    from service.execution.plan import Plan
    from service.recording.gradgrid_model import GradgridModel
    from service.recording.infos import SweepInfo
    from service.recording.store import Store
    from service.report.report import Report


class RecordedSweep:
    """A recorded sweep. Each property and method reads MLflow's store, and raises StoreError if that fails.

    info: the sweep as the store has it: id, status, tags, metrics of its run.
    """

    def __init__(self, store: Store, info: SweepInfo) -> None:
        self._store = store
        self.info = info

    @property
    def id(self) -> str:
        """The sweep's id, by which the command `gradgrid` finds it."""
        return self.info.sweep

    @property
    def objective(self) -> str:
        """The metric that the trials are ranked by."""
        return self.info.objective

    @property
    def notes(self) -> list[str]:
        """Notes about the data, as a dry run prints them."""
        return list(self._store.data(self.info).get("notes", []))

    @property
    def trials(self) -> pd.DataFrame:
        """All trials so far, one row each.

        Columns: number, trial, run_id, params.*, outcome, outcome_step, last_step, metrics.* of the last step.
        `service.results.trials_table` describes each.
        """
        from service.recording.recorded_table import read_table

        return read_table(self._store, self.info)

    def leaderboard(self, by: str | None = None, where: str | Sequence[str] = ()) -> pd.DataFrame:
        """Return the swept configurations, best first, by the mean of a metric over their seeds.

        Columns: rank, which configurations share that the data can't tell apart; tied, whether another one shares it;
        the swept hyperparameters without the seed; trials and finished, their numbers; mean, and low and high of its
        95 % confidence interval; run_id of the best trial.

        by: the metric; None for the objective.
        where: a condition such as `learning_rate<0.1`, or several; only trials that meet all of them count.
        Raises NotFoundError if no trial has the metric, UserError for a condition that no trial can meet.
        """
        from service.results.frames import entries_frame
        from service.results.leaderboard import ranked
        from service.results.trials_table import shown_params

        table = self.trials
        names = shown_params(table.columns, self.info.swept)
        return entries_frame(ranked(table, by or self.objective, names, where))

    def best(self, by: str | None = None) -> pd.Series:
        """Return the row of the best finished trial.

        by: the metric; None for the objective. Raises NotFoundError if no trial finished with this metric.
        """
        from experiments.errors import NotFoundError
        from service.results.trials_table import best_trials

        rows = best_trials(self.trials, by or self.objective, 1)
        if not len(rows):
            raise NotFoundError(f"no trial of {self.id} finished with the metric {by or self.objective!r}")
        return rows.iloc[0]

    def curves(self, metric: str, trials: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return a metric's recorded points, one row each. Columns: number, run_id, step, value.

        The points come from the sweep's curve files. If it has none (`record: {curves: none}`), they are read from each
        run, which is slow for many trials.

        metric: the metric's name, such as `loss`.
        trials: rows of `trials` whose curves to return; None for all.
        Raises NotFoundError if there is no such metric, or if neither curve files nor runs of the trials are there.
        """
        import pandas as pd

        from experiments.errors import NotFoundError, did_you_mean

        rows = self.trials if trials is None else trials
        points = self._store.curves(self.info)
        if len(points):
            if metric not in points:
                raise NotFoundError(f"no curve of {self.id} is called {metric!r}{did_you_mean(metric, list(points))}")
            run_ids = dict(zip(rows["number"], rows["run_id"], strict=True))
            curves = points.loc[points["number"].isin(list(run_ids)), ["number", "step", metric]].dropna()
            curves.insert(1, "run_id", curves["number"].map(run_ids))
            return curves.rename(columns={metric: "value"}).reset_index(drop=True)
        rows = rows.dropna(subset=["run_id"])
        if not len(rows):
            raise NotFoundError(
                f"{self.id} has no files of curves, and none of these trials has a run to read them from"
            )
        return pd.DataFrame(
            [
                {"number": number, "run_id": run_id, "step": step, "value": value}
                for number, run_id in zip(rows["number"], rows["run_id"], strict=True)
                for step, value in self._store.curve(run_id, metric)
            ]
        )

    def final_weights(self, run_id: str) -> list[dict[str, Any]] | None:
        """Return a trial's final weights: for each tensor its name, shape and values (a flat list).

        run_id: the trial's run id. Returns None if they were not recorded.
        """
        return self._store.final_weights(run_id)

    def model(self, run_id: str) -> GradgridModel:
        """Return the network of a trial: `model(run_id).predict(features)`.

        run_id: the trial's run id, or the beginning of it.
        If the weights were not recorded, the trial is trained again, which needs its data.
        Raises NotFoundError if there is no such trial, UntrustedPartsError if the sweep's parts file may not run,
        SpecError if the trial has to be trained again and the data or the engine have changed since.
        """
        from service.inspection.models import load_model

        return load_model(self._store, self._store.find_trial(run_id))

    def report(
        self, by: str | None = None, *, lost_by: str = "", dashboard: str | None = None, keep: bool = True
    ) -> Report:
        """Return the sweep's report: a page that a notebook shows. Its `write(path)` writes page and pictures.

        by: the metric that cells and ranks are by; None for the objective.
        lost_by: the metric that colours the lost trials of a map; empty for the step at which they failed.
        dashboard: the address of the MLflow server that links lead to; None for the store's, or that of
            `gradgrid dashboard`.
        keep: whether the sweep's run gets a copy.
        Raises NotFoundError if the sweep has no trials or no such metric, UntrustedPartsError if its parts file may not
        run.
        """
        from service.report.report import make_report

        return make_report(self._store, self.info, metric=by, lost_by=lost_by, dashboard=dashboard, keep=keep)

    def extend(
        self, *assignments: str, workers: int | None = None, address: str | None = None, inline: bool = False
    ) -> RecordedSweep:
        """Add trials to the sweep, train only what it does not have, and return it.

        assignments: what is different in the new trials, `key=value` as for `--set`: `grid.seed.range=20`.
        workers, address, inline: as for `sweep`.
        Raises SpecError for a wrong assignment, or if the sweep has all of these trials already; what `sweep` raises.
        """
        from service.execution.recorded_plan import extended_spec
        from service.run import run_sweep

        resolved = extended_spec(self._store, self.info, assignments)
        where = {"workers": workers, "address": address, "inline": inline}
        run_sweep(resolved, tracking_uri=self._store.uri, resume=self.id, extend=True, **where)  # type: ignore[arg-type]
        return RecordedSweep(self._store, self._store.find_sweep(self.id))

    def __repr__(self) -> str:
        return f"<sweep {self.info.spec}/{self.id}, {self.info.status.lower()}>"

    def _repr_html_(self) -> str:
        """Return the first ten rows of the leaderboard, for a notebook."""
        from html import escape

        title = escape(f"{self.info.spec}/{self.id} by {self.objective}")
        return f"<b>{title}</b>{self.leaderboard().head(10).to_html(index=False, float_format='%.5g')}"


def sweep(
    spec: str | Path | Mapping[str, Any],
    *assignments: str,
    data: Any = None,
    target: Any = None,
    tracking_uri: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    inline: bool = False,
    minutes: float | None = None,
) -> RecordedSweep:
    """Train every trial of a spec, record each as an MLflow run, and return the sweep.

    spec: a sweep file, the name of a ready sweep, or a mapping with the content of a sweep file.
    assignments: overrides of the spec, `key=value`, as for `--set`.
    data: the samples, if they are not in a file: a DataFrame, or a (samples, features) array, whose features are then
        called x0, x1, ... They are stored with the sweep's run.
    target: the name of a column of `data`, or a list of names to predict several numbers; or values, (samples,) or
        (samples, targets); None if the spec names it.
    tracking_uri: MLflow's store; None for MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db in the working folder.
    workers: the number of tasks at once; None for one per core.
    address: a running Ray, `host:port`; None for RAY_ADDRESS, or else Ray is started for the sweep.
    inline: whether to train in this process, without Ray.
    minutes: a budget, after which no more trials begin; `gradgrid resume` trains the rest.
    Raises SpecError and DataError for a wrong spec or wrong data, StoreError if the store fails, ClusterError if Ray
    does, Interrupted after Ctrl-C. Warns with DataWarning of notes about data that are not built in.
    """
    from service.run import run_sweep

    result = run_sweep(
        _resolved_spec(spec, assignments, data, target),
        tracking_uri=tracking_uri,
        workers=workers,
        address=address,
        inline=inline,
        minutes=minutes,
        observer=_warning_observer(),
    )
    return load_sweep(result.sweep, tracking_uri=tracking_uri)


def _resolved_spec(
    spec: str | Path | Mapping[str, Any], assignments: tuple[str, ...], data: Any, target: Any
) -> ResolvedSpec:
    from experiments.errors import DataError
    from experiments.spec import load_spec

    if data is None and target is not None:
        raise DataError("target goes with data; a data set of the spec names its own under dataset.target")
    if data is None:
        return load_spec(spec, assignments)
    from experiments.data.frames import given_frame

    frame, name = given_frame(data, target)
    return load_spec(spec, assignments, frame=frame, target=name)


def _warning_observer() -> ProgressObserver:
    """Return an observer that warns of notes about the data, unless the data set comes with gradgrid."""
    import warnings

    from experiments.errors import DataWarning
    from service.execution.observer import NullObserver

    class WarningObserver(NullObserver):
        def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
            if plan.dataset.notes and plan.resolved.spec.dataset.name is None:
                warnings.warn(f"{plan.dataset.name}: {'; '.join(plan.dataset.notes)}", DataWarning, stacklevel=2)

    return WarningObserver()


def load_sweep(name: str, *, tracking_uri: str | None = None, trust_parts: bool = False) -> RecordedSweep:
    """Return a recorded sweep.

    name: the sweep's id, the beginning of it, or a spec's name for its newest sweep.
    tracking_uri: MLflow's store; None for MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db in the working folder.
    trust_parts: whether the sweep's parts file, a Python file, may run although you have not run it before. If not,
        `model` and `report` raise UntrustedPartsError.
    Raises NotFoundError if there is no such sweep, StoreError if the store can't be read.
    """
    from service.recording.store import Store
    from service.recording.trust import Trust

    store = Store(tracking_uri, trust=Trust(everything=trust_parts))
    return RecordedSweep(store, store.find_sweep(name))


def compare(
    *sweeps: str | RecordedSweep,
    by: str | None = None,
    where: str | Sequence[str] = (),
    tracking_uri: str | None = None,
) -> ComparedSweeps:
    """Compare two to eight recorded sweeps of one store.

    sweeps: their names, as for `load_sweep`, or the sweeps themselves.
    by: the metric; None for their objective.
    where: a condition such as `learning_rate<0.1`, or several; only trials that meet all of them are compared.
    tracking_uri: MLflow's store; None for that of a sweep that is given itself, or else as for `load_sweep`.
    Raises NotFoundError if there is no such sweep, no trial, or no such metric; UserError if there are fewer than two
    sweeps, if they are of different tasks or stores, or have different objectives and `by` is None; StoreError.
    """
    from experiments.errors import UserError
    from service.inspection.compare import compare as compare_infos
    from service.inspection.compare import find_sweeps
    from service.recording.redaction import without_passwords
    from service.recording.store import Store

    if len(sweeps) < 2:
        hint = "`load_sweep` returns a single one" if sweeps else "name them: `compare('first', 'second')`"
        raise UserError(f"a comparison needs two sweeps, not {len(sweeps)}; {hint}")
    stores = [given._store for given in sweeps if isinstance(given, RecordedSweep)]
    store = Store(tracking_uri) if tracking_uri or not stores else stores[0]
    others = {other.uri for other in stores} - {store.uri}
    if others:
        every = ", ".join(map(without_passwords, sorted({store.uri, *others})))
        raise UserError(f"sweeps of different stores can't be compared: {every}")
    infos = find_sweeps(store, [given.id if isinstance(given, RecordedSweep) else given for given in sweeps])
    return ComparedSweeps(store, compare_infos(store, infos, by, where))
