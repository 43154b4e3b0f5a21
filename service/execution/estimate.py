"""Estimate the time of a sweep, and decide whether Ray is worth its start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.execution.plan import Plan

RAY_START_SECONDS = 4.0
"""Seconds that Ray takes to start on one machine."""

_SECONDS_A_RUN, _SECONDS_A_ROW = 0.0006, 0.000008  # to write a run, and each of its metric rows, in bulk


def recording_seconds(plan: Plan) -> float:
    """Return how many seconds it takes to write the sweep's runs into a database in bulk."""
    return plan.runs * _SECONDS_A_RUN + plan.metric_rows * _SECONDS_A_ROW


def ends_before_ray_starts(plan: Plan) -> bool:
    """Return whether this process can train and record the sweep in the time that Ray takes to start."""
    return plan.seconds + recording_seconds(plan) < RAY_START_SECONDS
