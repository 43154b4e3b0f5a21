"""A trial in the form for recorders that write run after run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrialRecord:
    """A trial in the form for recorders that write run after run.

    number: its position in the grid.
    trial: its id, 32 hexadecimal digits.
    name: the run's name.
    status: of the run, `FINISHED` or `FAILED`.
    params: hyperparameter -> value as text.
    tags: name -> text; see `Tag`.
    curves: metric -> [(step, value, time)], steps rising, time in milliseconds since 1970.
    weights: the tensors of the final weights: name, shape, values.
    start_time, end_time: milliseconds since 1970.
    """

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
