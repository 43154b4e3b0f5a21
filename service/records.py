"""What is recorded of a trial, in MLflow's terms but without MLflow: the same for every way of writing it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import DIVERGED, ENGINE_VERSION, History
from experiments.spec import RecordSpec
from service.curves import kept_curves
from service.worker import Trained

SECONDS_A_RUN, SECONDS_A_ROW = 0.0006, 0.000008
"""About what it takes to write a run into a database in bulk, and each metric row of it, while workers train."""


@dataclass(frozen=True)
class TrialRecord:
    """One trial, ready to be written as a run. `curves`: metric -> [(step, value, milliseconds since 1970)]."""

    number: int
    trial: str
    name: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    curves: Mapping[str, Sequence[tuple[int, float, int]]]
    weights: Sequence[Mapping[str, Any]]
    start_time: int
    end_time: int


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
        configuration = trained.shard.configuration(position)
        history = trained.history
        outcome = history.outcome(position)
        yield TrialRecord(
            number=int(trained.shard.numbers[position]),
            trial=trial,
            name=_name(configuration, identity.swept) or identity.spec,
            status="FAILED" if outcome == DIVERGED else "FINISHED",
            params={key: as_text(value) for key, value in configuration.items()},
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


def as_text(value: Any) -> str:
    """A hyperparameter as MLflow shows it."""
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _name(configuration: Mapping[str, Any], swept: Sequence[str]) -> str:
    """The swept values in the order of the axes: short, for tables and legends cut it; the params name each."""
    shown = ["output" if name == "activation" and name not in configuration else name for name in swept]
    return ", ".join(as_text(configuration[name]) for name in shown if name in configuration)


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
    for tensor in history.tensors:
        for index in np.ndindex(*tensor.shape):
            yield f"gradient.{tensor.name}.{'.'.join(map(str, index))}"


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of the metric is the better one."""
    return "accuracy" not in metric


def is_better(metric: str, value: float, than: float | None) -> bool:
    """Whether `value` beats `than`; NaN beats nothing."""
    if math.isnan(value):
        return False
    return than is None or (value < than if lower_is_better(metric) else value > than)
