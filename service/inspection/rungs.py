"""The rungs of a recorded search by halving or Hyperband."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.axis import LazyAxis, parse_axis
from experiments.hyperparameters import REPEATS
from experiments.stopping import UNDECIDED
from service.recording.infos import SweepInfo
from service.recording.store import Store
from service.results.rungs import RungCounts, rung_counts


def recorded_rungs(store: Store, sweep: SweepInfo) -> list[RungCounts]:
    """Return the trials at each rung, as far as they are decided; empty for a sweep without rungs."""
    if not sweep.rungs or sweep.trial_count is None:
        return []
    steps, firsts = store.steps(sweep), store.brackets(sweep)
    if steps is None:
        steps = np.full(sweep.trial_count, UNDECIDED, dtype=np.int64)
    firsts = np.zeros_like(steps) if firsts is None else firsts
    return rung_counts(sweep.rungs, firsts, steps, _repeats(store.spec(sweep)))


def _repeats(spec: Mapping[str, Any]) -> int:
    """Return the number of trials of each configuration of a sweep file: its seeds and folds."""
    grid = spec.get("grid") or {}
    blocks = grid if isinstance(grid, list) else [grid]
    return max(math.prod(_length(block[name]) for name in REPEATS if name in block) for block in blocks)


def _length(raw: Any) -> int:
    axis = parse_axis(raw)
    return axis.length if isinstance(axis, LazyAxis) else len(axis)
