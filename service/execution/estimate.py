"""Estimate the time of a sweep, and decide whether it is worth starting Ray."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.execution.cores import available_cores
from service.execution.measured_speed import kept_factors
from service.recording.connection import resolve

if TYPE_CHECKING:
    from service.execution.plan import Plan

RAY_START_SECONDS = 4.0
"""Seconds that Ray takes to start on one machine."""

_MLFLOW_START_SECONDS = 2.0
_SECONDS_A_RUN, _SECONDS_A_ROW = 0.0006, 0.000008  # to write a run, and each of its metric rows, in bulk


def recording_seconds(plan: Plan) -> float:
    """Return how many seconds it takes to write the sweep's runs into a database in bulk."""
    return plan.runs * _SECONDS_A_RUN + plan.metric_rows * _SECONDS_A_ROW


def trains_here(plan: Plan, workers: int | None = None, address: str | None = None) -> bool:
    """Return whether a sweep is trained and recorded in its own process, because it ends before Ray would have started.

    plan: of the trials to train.
    workers, address: as the user gave them. One of them, or RAY_ADDRESS, asks for Ray.
    """
    asked = workers or address or "RAY_ADDRESS" in os.environ
    if asked:
        return False
    return plan.seconds_in_threads(available_cores()) + recording_seconds(plan) < RAY_START_SECONDS


@dataclass(frozen=True)
class Estimate:
    """How long a sweep will take, from start to end.

    workers: how many tasks of Ray train at once; None if the sweep's own process trains.
    seconds: the time.
    measured: whether `gradgrid doctor --speed` has measured this store and these workers.
    """

    workers: int | None
    seconds: float
    measured: bool


def estimated(
    plan: Plan,
    tracking_uri: str | None,
    *,
    workers: int | None = None,
    address: str | None = None,
    inline: bool = False,
) -> Estimate:
    """Estimate the time of a sweep.

    plan: of the trials to train.
    The other arguments are those of `run_sweep`.
    """
    if inline or trains_here(plan, workers, address):
        training = plan.seconds_in_threads(1 if inline else available_cores())
        return Estimate(None, _MLFLOW_START_SECONDS + training + recording_seconds(plan), measured=False)
    workers = workers or available_cores()
    factors = kept_factors(resolve(tracking_uri), address)
    training, recording = plan.seconds / workers, recording_seconds(plan)
    seconds = _MLFLOW_START_SECONDS + RAY_START_SECONDS
    if factors is None:
        return Estimate(workers, seconds + training + recording, measured=False)
    training, recording = training * factors.training, recording * factors.recording
    seconds += max(training, recording, (training + recording) * factors.both)
    return Estimate(workers, seconds, measured=True)
