"""Estimate the time of a sweep, and decide whether it is worth to start Ray."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from service.execution.cores import available_cores

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
    workers, address: as the user gave them. Who gives one, or sets RAY_ADDRESS, asks for Ray.
    """
    asked = workers or address or "RAY_ADDRESS" in os.environ
    return not asked and plan.seconds + recording_seconds(plan) < RAY_START_SECONDS


def planned_workers(plan: Plan, workers: int | None, address: str | None = None, *, inline: bool = False) -> int | None:
    """Return how many tasks will train at once on this machine's Ray; None if the sweep's own process trains.

    plan: of the trials to train.
    workers, address, inline: as the user gave them.
    """
    return None if inline or trains_here(plan, workers, address) else workers or available_cores()


def sweep_seconds(plan: Plan, workers: int | None) -> float:
    """Return how many seconds a sweep takes from start to end. workers: as `planned_workers` returns them."""
    start = _MLFLOW_START_SECONDS + (0.0 if workers is None else RAY_START_SECONDS)
    return start + plan.seconds / (workers or 1) + recording_seconds(plan)
