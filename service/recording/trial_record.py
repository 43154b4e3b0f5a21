"""One trial, ready to be written as an MLflow run by any recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


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
