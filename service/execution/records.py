"""What is recorded of a trial, in MLflow's terms but without MLflow: the same for every way of writing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from engine import DIVERGED, ENGINE_VERSION, History
from engine.tensors import elements
from experiments.spec import RecordSpec
from service.execution.plan import Plan
from service.execution.worker import Trained
from service.recording.infos import TrialInfo
from service.recording.recorded_table import recorded_row
from service.recording.trial_record import TrialRecord
from service.results.curves import kept_curves
from service.results.metrics import METRICS, PARAMS
from service.results.trials_table import as_text, cell_value


@dataclass(frozen=True)
class SweepIdentity:
    """What every run of a sweep carries: the sweep's id and its own run, the spec's name, the swept hyperparameters,
    and how much is recorded.
    """

    sweep: str
    sweep_run_id: str
    spec: str
    swept: tuple[str, ...]
    record: RecordSpec


def trial_records(trained: Trained, trials: Sequence[str], identity: SweepIdentity) -> Iterator[TrialRecord]:
    """The records of a shard's trials; `trials` are their ids."""
    for position, trial in enumerate(trials):
        params = trained.shard.params(position)
        history = trained.history
        outcome = history.outcome(position)
        yield TrialRecord(
            number=int(trained.shard.numbers[position]),
            trial=trial,
            name=_name(params, identity.swept) or identity.spec,
            status="FAILED" if outcome == DIVERGED else "FINISHED",
            params={key: as_text(value) for key, value in params.items()},
            tags={
                "gradgrid.sweep": identity.sweep,
                "gradgrid.sweep_run": identity.sweep_run_id,
                "gradgrid.trial": trial,
                "gradgrid.number": str(trained.shard.numbers[position]),
                "gradgrid.outcome": outcome,
                "gradgrid.outcome_step": str(history.outcomes.began[position]),
                "gradgrid.last_step": str(history.last_step[position]),
                "gradgrid.kernel": history.kernel,
                "gradgrid.engine": ENGINE_VERSION,
                "gradgrid.host": trained.host,
            },
            curves=_curves(trained, position, identity.record),
            weights=[
                {"name": name, "shape": list(values.shape), "values": values.ravel().tolist()}
                for name, values in history.tensor_values(position)
            ],
            start_time=trained.start_time,
            end_time=trained.end_time,
        )


def _name(params: Mapping[str, Any], swept: Sequence[str]) -> str:
    """The swept values in the order of the axes: short, for tables and legends cut it; the params name each."""
    return ", ".join(as_text(params[name]) for name in swept if name in params)


def _curves(trained: Trained, position: int, record: RecordSpec) -> dict[str, list[tuple[int, float, int]]]:
    """Times are spread evenly over the shard's, for there is one time for all its trials."""
    history = trained.history
    points = history.points(position)
    span = trained.end_time - trained.start_time
    steps = int(history.steps[-1])
    times = [trained.start_time + span * step // steps for _, step in points]
    chosen = {name: history.curves[name][position] for name in kept_curves(history.curves, record)}
    if history.gradients is not None:
        chosen.update(zip(_weight_names(history), history.gradients[position].T, strict=True))
    return {
        name: [(step, values[k], time) for (k, step), time in zip(points, times, strict=True)]
        for name, values in ((name, curve.tolist()) for name, curve in chosen.items())
    }


def _weight_names(history: History) -> Iterator[str]:
    return (f"gradient.{name}.{'.'.join(map(str, index))}" for name, index in elements(history.tensors))


def trained_rows(trained: Trained, trials: Sequence[str], record: RecordSpec) -> pd.DataFrame:
    """The rows of a shard that was trained."""
    history, shard = trained.history, trained.shard
    params = [shard.params(position) for position in range(shard.trials)]
    return pd.DataFrame(
        {
            "number": shard.numbers,
            "trial": trials,
            **{PARAMS + name: [cell_value(values[name]) for values in params] for name in params[0]},
            "outcome": [history.outcome(position) for position in range(history.trials)],
            "outcome_step": history.outcomes.began,
            "last_step": history.last_step,
            **{METRICS + name: history.final(name) for name in kept_curves(history.curves, record)},
        }
    )


def recovered_rows(plan: Plan, numbers: Mapping[str, int], recorded: Iterable[TrialInfo]) -> pd.DataFrame:
    """The rows of trials that an earlier run of the sweep recorded; `numbers`: trial -> number."""
    params = [p.params(trial) for p in plan.populations for trial in range(p.trials)]
    rows = []
    for info in recorded:
        number = numbers[info.tags["gradgrid.trial"]]
        row = {name: value for name, value in recorded_row(info).items() if not name.startswith(PARAMS)}
        typed = {PARAMS + name: cell_value(value) for name, value in params[number].items()}  # text in MLflow
        rows.append({**row, **typed, "number": number})
    return pd.DataFrame(rows)
