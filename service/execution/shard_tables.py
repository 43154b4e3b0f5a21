"""Turn a trained shard into the tables that are recorded. The worker that trained it does so, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from engine import ENGINE_VERSION, History
from engine.arrays import Flags, Floats, Integers
from engine.tensors import elements
from experiments.data.datasets import Dataset
from experiments.sections import RecordSpec
from experiments.trial_ids import trial_ids
from service.execution.plan import Plan
from service.execution.shard import Shard
from service.execution.worker import TrainedShard, train_shard
from service.recording.artifact_writers import File
from service.recording.bulk_recorder import run_id
from service.recording.infos import SweepInfo
from service.recording.parquet_parts import CURVES_FOLDER, ROWS_FOLDER, part_file
from service.recording.run_table import RunTable
from service.recording.tags import Tag
from service.results.curves import kept_curves, recorded_points
from service.results.metrics import METRICS, PARAMS
from service.results.table_values import as_text, cell_value

_MAX_NAME = 250  # characters of a run's name in MLflow's tables


@dataclass(frozen=True)
class TableSettings:
    """What a worker must know of a sweep to make its tables.

    sweep, sweep_run_id: the sweep's id, and the id of its own run.
    name: the sweep's name.
    swept: the swept hyperparameters, in the order of the axes.
    objective: the metric that ranks the trials.
    record: the sweep file's section.
    runs: whether trials get runs.
    curves: whether curves are written, if the section asks for files of them.
    """

    sweep: str
    sweep_run_id: str
    name: str
    swept: tuple[str, ...]
    objective: str
    record: RecordSpec
    runs: bool = True
    curves: bool = True

    @classmethod
    def of(cls, plan: Plan, sweep: SweepInfo, *, runs: bool = True, curves: bool = True) -> TableSettings:
        """Return the settings of a sweep of this plan."""
        names = (plan.name, plan.swept, plan.objective, plan.record)
        return cls(sweep.sweep, sweep.run_id, *names, runs, curves)


@dataclass(frozen=True)
class ShardSummary:
    """What the driver keeps of a shard.

    rows: its rows of the trials' table, without run ids.
    objective: (trials,) the metric that ranks trials; NaN for those that diverged.
    nbytes: the size of its `ShardTables`.
    """

    rows: pa.Table
    objective: Floats
    nbytes: int

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(self.objective)


@dataclass(frozen=True)
class ShardTables:
    """What a recorder writes of a shard.

    runs: the trials as runs; None if trials get no runs.
    curves: the file of its curves for the sweep's own run; None if there is none.
    rows: the file of its rows of the trials' table for the sweep's own run, if trials get no runs. A trial whose row is
        there counts as recorded, so this file is written last.
    """

    runs: RunTable | None
    curves: File | None
    rows: File | None

    @property
    def nbytes(self) -> int:
        """The size in memory."""
        files = [file for file in (self.curves, self.rows) if file]
        return (self.runs.nbytes if self.runs else 0) + sum(len(content) for _, content in files)


def train_tables(
    shard: Shard, datasets: Sequence[Dataset], settings: TableSettings
) -> tuple[ShardSummary, ShardTables]:
    """Train a shard and make its tables: the work of one task."""
    trained = train_shard(shard, datasets, settings.record.measures)
    ids = ids_of(shard)
    rows = trial_rows(trained, settings, ids)
    runs = run_table(trained, settings, ids) if settings.runs else None
    curves = None
    if settings.curves and settings.record.curves == "file":
        curves = part_file(CURVES_FOLDER, shard.numbers, _curve_table(trained, settings.record))
    tables = ShardTables(runs, curves, None if settings.runs else part_file(ROWS_FOLDER, shard.numbers, rows))
    objective = np.where(trained.history.diverged, np.nan, trained.final(settings.objective))
    return ShardSummary(rows, objective, tables.nbytes), tables


def ids_of(shard: Shard) -> list[str]:
    """Return the ids of a shard's trials."""
    shared = shard.architecture.hyperparameters
    return trial_ids(shared, shard.columns, shard.fingerprint, shard.architecture.parts)


def run_table(trained: TrainedShard, settings: TableSettings, ids: Sequence[str]) -> RunTable:
    """Return a shard's trials as runs. ids: of the trials."""
    history, shard = trained.history, trained.shard
    trials, numbers = shard.trials, shard.numbers.tolist()
    texts = _param_texts(shard)
    names = list(map(", ".join, zip(*(texts[name] for name in settings.swept if name in texts), strict=True)))
    names = [name[:_MAX_NAME] for name in names]
    step, is_recorded = recorded_points(history)
    outcomes, outcome_steps = trained.outcomes(settings.record.outcomes)
    return RunTable.from_columns(
        {
            "number": shard.numbers,
            "trial": ids,
            "run_id": [run_id(settings.sweep, trial, number) for trial, number in zip(ids, numbers, strict=True)],
            "name": names or [settings.name] * trials,
            "status": np.where(history.diverged, "FAILED", "FINISHED").tolist(),
            "start_time": np.full(trials, trained.start_time),
            "end_time": np.full(trials, trained.end_time),
        },
        params=texts,
        tags={
            Tag.SWEEP: [settings.sweep] * trials,
            Tag.SWEEP_RUN: [settings.sweep_run_id] * trials,
            Tag.TRIAL: ids,
            Tag.NUMBER: list(map(str, numbers)),
            Tag.OUTCOME: outcomes,
            Tag.OUTCOME_STEP: list(map(str, outcome_steps.tolist())),
            Tag.LAST_STEP: list(map(str, history.last_step.tolist())),
            Tag.KERNEL: [history.kernel] * trials,
            Tag.ENGINE: [ENGINE_VERSION] * trials,
            Tag.HOST: [trained.host] * trials,
        },
        points=is_recorded.sum(axis=1),
        step=step[is_recorded],
        time=_times(trained, step)[is_recorded],
        curves=_curves(history, settings.record, is_recorded),
        measures=trained.measures,
        weights=history.weights,
        tensors=history.tensors,
    )


def _param_texts(shard: Shard) -> dict[str, list[str]]:
    """Return hyperparameter -> its text for each trial, by the user's names."""
    shared = {name: [as_text(value)] * shard.trials for name, value in shard.shared_params.items()}
    return {**shared, **{name: list(map(as_text, column.tolist())) for name, column in shard.columns.items()}}


def _param_cells(shard: Shard) -> dict[str, pa.Array]:
    """Return hyperparameter -> its value in the table for each trial, by the user's names."""
    shared = {name: pa.repeat(cell_value(value), shard.trials) for name, value in shard.shared_params.items()}
    return {**shared, **{name: pa.array(column.tolist()) for name, column in shard.columns.items()}}


def _times(trained: TrainedShard, step: Integers) -> Integers:
    """Return the time of each step, in milliseconds. The trials trained together, so times are spread evenly."""
    return trained.start_time + (trained.end_time - trained.start_time) * step // int(trained.history.steps[-1])


def _curves(history: History, record: RecordSpec, is_recorded: Flags) -> Mapping[str, Floats]:
    """Return metric -> its recorded points, (points of all trials,)."""
    curves = {name: history.curves[name][is_recorded] for name in kept_curves(history.curves, record)}
    if history.gradients is not None:
        names = (f"gradient.{name}.{'.'.join(map(str, index))}" for name, index in elements(history.tensors))
        curves.update(zip(names, history.gradients[is_recorded].T, strict=True))
    return {name: curve.astype(np.float64) for name, curve in curves.items()}


def trial_rows(trained: TrainedShard, settings: TableSettings, ids: Sequence[str]) -> pa.Table:
    """Return a shard's rows of the trials' table. ids: of the trials.

    They have no run ids: a recorder gives these.
    """
    history, shard = trained.history, trained.shard
    outcomes, outcome_steps = trained.outcomes(settings.record.outcomes)
    return pa.table(
        {
            "number": pa.array(shard.numbers, pa.int64()),
            "trial": pa.array(ids, pa.string()),
            "run_id": pa.nulls(shard.trials, pa.string()),
            **{PARAMS + name: cells for name, cells in _param_cells(shard).items()},
            "outcome": pa.array(outcomes, pa.string()),
            "outcome_step": pa.array(outcome_steps, pa.int64()),
            "last_step": pa.array(history.last_step, pa.int64()),
            **{METRICS + name: _final(history, name) for name in kept_curves(history.curves, settings.record)},
            **{METRICS + name: pa.array(values) for name, values in trained.measures.items()},
        }
    )


def _final(history: History, metric: str) -> pa.Array:
    return pa.array(history.final(metric).astype(np.float64))


def _curve_table(trained: TrainedShard, record: RecordSpec) -> pa.Table:
    """Return a row for each recorded point: number, step, and every recorded metric."""
    history = trained.history
    step, is_recorded = recorded_points(history)
    numbers = np.broadcast_to(trained.shard.numbers[:, None], step.shape)
    names = kept_curves(history.curves, record)
    return pa.table(
        {
            "number": numbers[is_recorded],
            "step": step[is_recorded],
            **{name: history.curves[name][is_recorded].astype(np.float64) for name in names},
        }
    )
