"""Make the records of a trained shard's trials, and their rows of the trials' table."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from engine import DIVERGED, ENGINE_VERSION, History
from engine.tensors import elements
from experiments.spec import RecordSpec
from service.execution.plan import Plan
from service.execution.worker import TrainedShard
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.recorded_table import row_from_trial
from service.recording.tags import Tag
from service.recording.trial_record import TrialRecord
from service.results.curves import kept_curves
from service.results.metrics import METRICS, PARAMS
from service.results.trials_table import as_text, cell_value


def trial_records(trained: TrainedShard, plan: Plan, sweep: SweepInfo) -> Iterator[TrialRecord]:
    """Yield the record of each of a shard's trials."""
    history = trained.history
    for position, number in enumerate(trained.shard.numbers.tolist()):
        params = trained.shard.params(position)
        outcome = history.outcome(position)
        yield TrialRecord(
            number=number,
            trial=plan.trial_ids[number],
            name=_name(params, plan.swept) or plan.name,
            status="FAILED" if outcome == DIVERGED else "FINISHED",
            params={key: as_text(value) for key, value in params.items()},
            tags={
                Tag.SWEEP: sweep.sweep,
                Tag.SWEEP_RUN: sweep.run_id,
                Tag.TRIAL: plan.trial_ids[number],
                Tag.NUMBER: str(number),
                Tag.OUTCOME: outcome,
                Tag.OUTCOME_STEP: str(history.outcomes.onset_step[position]),
                Tag.LAST_STEP: str(history.last_step[position]),
                Tag.KERNEL: history.kernel,
                Tag.ENGINE: ENGINE_VERSION,
                Tag.HOST: trained.host,
            },
            curves=_curves(trained, position, plan.record),
            weights=[
                {"name": name, "shape": list(values.shape), "values": values.ravel().tolist()}
                for name, values in history.tensor_values(position)
            ],
            start_time=trained.start_time,
            end_time=trained.end_time,
        )


def _name(params: Mapping[str, Any], swept: Sequence[str]) -> str:
    """Return the swept values in axis order. MLflow cuts long names, so the hyperparameters' names are left out."""
    return ", ".join(as_text(params[name]) for name in swept if name in params)


def _curves(trained: TrainedShard, position: int, record: RecordSpec) -> dict[str, list[tuple[int, float, int]]]:
    """Return the recorded points of each curve. The trials of a shard trained together, so times are spread evenly."""
    history = trained.history
    points = history.points(position)
    span = trained.end_time - trained.start_time
    steps = int(history.steps[-1])
    times = [trained.start_time + span * step // steps for _, step in points]
    curves = {name: history.curves[name][position] for name in kept_curves(history.curves, record)}
    if history.gradients is not None:
        curves.update(zip(_weight_names(history), history.gradients[position].T, strict=True))
    return {
        name: [(step, values[k], time) for (k, step), time in zip(points, times, strict=True)]
        for name, values in ((name, curve.tolist()) for name, curve in curves.items())
    }


def _weight_names(history: History) -> Iterator[str]:
    return (f"gradient.{name}.{'.'.join(map(str, index))}" for name, index in elements(history.tensors))


def trial_rows(trained: TrainedShard, plan: Plan) -> pd.DataFrame:
    """Return the shard's rows of the trials' table, without run ids."""
    history, shard = trained.history, trained.shard
    params = [shard.params(position) for position in range(shard.trials)]
    return pd.DataFrame(
        {
            "number": shard.numbers,
            "trial": [plan.trial_ids[number] for number in shard.numbers],
            **{PARAMS + name: [cell_value(values[name]) for values in params] for name in params[0]},
            "outcome": [history.outcome(position) for position in range(history.trials)],
            "outcome_step": history.outcomes.onset_step,
            "last_step": history.last_step,
            **{METRICS + name: history.final(name) for name in kept_curves(history.curves, plan.record)},
        }
    )


def recovered_rows(plan: Plan, numbers: Mapping[str, int], recorded: Iterable[TrialInfo]) -> pd.DataFrame:
    """Return the rows of trials that have runs already.

    numbers: trial id -> number.
    recorded: the trials as the store has them.
    """
    params = dict(itertools.chain.from_iterable(population.every_params() for population in plan.populations))
    rows = []
    for info in recorded:
        number = numbers[info.trial]
        row = {name: value for name, value in row_from_trial(info).items() if not name.startswith(PARAMS)}
        typed = {PARAMS + name: cell_value(value) for name, value in params[number].items()}  # text in MLflow
        rows.append({**row, **typed, "number": number})
    return pd.DataFrame(rows)
