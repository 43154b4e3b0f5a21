"""Sweeps from Python, for notebooks and scripts: run one or find one, and look at its trials as DataFrames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from experiments.spec import Sweepable
    from service.execution.observer import ProgressObserver
    from service.execution.plan import Plan
    from service.recording.gradgrid_model import GradgridModel
    from service.recording.infos import SweepInfo
    from service.recording.store import Store
    from service.report.report import Report


class RecordedSweep:
    """A sweep that was recorded. What it tells is read from MLflow's store when it is asked for."""

    def __init__(self, store: Store, info: SweepInfo) -> None:
        self._store = store
        self.info = info

    @property
    def id(self) -> str:
        """What the command calls it."""
        return self.info.sweep

    @property
    def objective(self) -> str:
        """The metric that its trials are ranked by."""
        return self.info.objective

    @property
    def notes(self) -> list[str]:
        """What a dry run notes of its data."""
        return list(self._store.data(self.info).get("notes", []))

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial: number, trial, run_id, params.*, outcome, outcome_step, last_step, metrics.* at its end."""
        from service.recording.recorded_table import read_table

        return read_table(self._store, self.info)

    def leaderboard(self, by: str | None = None, where: Sequence[str] = ()) -> pd.DataFrame:
        """The swept configurations, the best first, by the mean of a metric over their seeds.

        Columns: rank (equal where the data can't separate two), tied, the swept hyperparameters, trials, finished; mean
        with low and high of its 95 % confidence interval; run_id of the best. `where`: conditions such as
        `learning_rate<0.1`. Raises NotFoundError and UserError.
        """
        import pandas as pd

        from service.results.leaderboard import ranked
        from service.results.trials_table import shown_params

        table = self.trials
        entries = ranked(table, by or self.objective, shown_params(table.columns, self.info.swept), where)
        rows = [{"rank": e.rank, "tied": e.tied, **e.params, **_figures(e)} for e in entries]
        return pd.DataFrame(rows)

    def best(self, by: str | None = None) -> pd.Series:
        """The row of the best finished trial. Raises NotFoundError where there is none."""
        from experiments.errors import NotFoundError
        from service.results.trials_table import best_trials

        found = best_trials(self.trials, by or self.objective, 1)
        if not len(found):
            raise NotFoundError(f"no trial of {self.id} finished with the metric {by or self.objective!r}")
        return found.iloc[0]

    def curves(self, metric: str, trials: pd.DataFrame | None = None) -> pd.DataFrame:
        """A metric's curves, a row a point: number, run_id, step, value; of `trials`, rows of `trials`, else of all.

        Read from the sweep's own files; where it has none, run by run, so choose trials where there are many. Raises
        NotFoundError where there is no such metric, or no chosen trial has a run to be asked.
        """
        import pandas as pd

        from experiments.errors import NotFoundError, nearest

        chosen = self.trials if trials is None else trials
        points = self._store.curves(self.info)
        if len(points):
            if metric not in points:
                raise NotFoundError(f"no curve of {self.id} is called {metric!r}{nearest(metric, list(points))}")
            run_ids = dict(zip(chosen["number"], chosen["run_id"], strict=True))
            kept = points.loc[points["number"].isin(list(run_ids)), ["number", "step", metric]].dropna()
            kept.insert(1, "run_id", kept["number"].map(run_ids))
            return kept.rename(columns={metric: "value"}).reset_index(drop=True)
        chosen = chosen.dropna(subset=["run_id"])
        if not len(chosen):
            raise NotFoundError(f"none of these trials of {self.id} has a run, and curves are the runs'")
        return pd.DataFrame(
            [
                {"number": number, "run_id": run_id, "step": step, "value": value}
                for number, run_id in zip(chosen["number"], chosen["run_id"], strict=True)
                for step, value in self._store.curve(run_id, metric)
            ]
        )

    def final_weights(self, run_id: str) -> list[dict[str, Any]] | None:
        """A trial's tensors: name, shape, values; None where they were not recorded."""
        return self._store.final_weights(run_id)

    def model(self, run_id: str) -> GradgridModel:
        """The network of a trial, by the beginning of its run id, to predict with: `model(run).predict(features)`.

        Raises NotFoundError, and SpecError where data or engine are not those that it was trained with.
        """
        from service.inspection.models import load_model

        return load_model(self._store, self._store.find_trial(run_id))

    def report(self, by: str | None = None, *, dashboard: str | None = None, keep: bool = True) -> Report:
        """Its report: a page that a notebook shows, with `write(path)`. It is put on the sweep's run, if `keep`.

        by: what cells and ranks are by. dashboard: the address of MLflow's pages, for links. Raises NotFoundError.
        """
        from service.report.report import make_report

        return make_report(self._store, self.info, metric=by, dashboard=dashboard, keep=keep)

    def __repr__(self) -> str:
        return f"<sweep {self.info.spec}/{self.id}, {self.info.status.lower()}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the leaderboard's first ten."""
        from html import escape

        title = escape(f"{self.info.spec}/{self.id} by {self.objective}")
        return f"<b>{title}</b>{self.leaderboard().head(10).to_html(index=False, float_format='%.5g')}"


def _figures(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in ("trials", "finished", "mean", "low", "high", "run_id")}


def sweep(
    spec: str | Path | Mapping[str, Any],
    *assignments: str,
    data: Any = None,
    target: Any = None,
    tracking_uri: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    inline: bool = False,
) -> RecordedSweep:
    """Train every trial of a spec and record each as an MLflow run; returns the sweep when all are recorded.

    spec: a sweep file, the name of a ready sweep, or a mapping. assignments: `key=value`, as for `--set`.
    data: the samples, where they are in no file: a pandas DataFrame, or (samples, features) numbers, whose features are
    then x0, x1, ... The sweep's run keeps them. target: the name of a column of `data`, or (samples,) values.
    tracking_uri, workers, address, inline: as the command's options.
    Raises GradgridError; `experiments.errors` tells of the kinds. Warns, with DataWarning, of what a dry run notes.
    """
    from service.run import run_sweep

    result = run_sweep(
        _sweepable(spec, assignments, data, target),
        tracking_uri=tracking_uri,
        workers=workers,
        address=address,
        inline=inline,
        observer=_warning_observer(),
    )
    return load_sweep(result.sweep, tracking_uri=tracking_uri)


def _sweepable(spec: str | Path | Mapping[str, Any], assignments: tuple[str, ...], data: Any, target: Any) -> Sweepable:
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
    """Warns of the data's notes as the sweep begins: a data set that comes with gradgrid is as it should be."""
    import warnings

    from experiments.errors import DataWarning
    from service.execution.observer import NullObserver

    class WarningObserver(NullObserver):
        def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
            if plan.dataset.notes and plan.sweepable.spec.dataset.name is None:
                warnings.warn(f"{plan.dataset.name}: {'; '.join(plan.dataset.notes)}", DataWarning, stacklevel=2)

    return WarningObserver()


def load_sweep(name: str, *, tracking_uri: str | None = None, trust_parts: bool = False) -> RecordedSweep:
    """The sweep of this id, the beginning of it, or the newest of a spec.

    trust_parts: whether the Python file of parts that it brings along may run here, though you have not run it before.
    Else `model` and `report` raise UntrustedPartsError. Raises NotFoundError, StoreError.
    """
    from service.recording.store import Store
    from service.recording.trust import Trust

    store = Store(tracking_uri, trust=Trust(everything=trust_parts))
    return RecordedSweep(store, store.find_sweep(name))
