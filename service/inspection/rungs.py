"""The rungs of a recorded search by halving or Hyperband."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.arrays import Integers
from experiments.axis import LazyAxis, parse_axis
from experiments.hyperparameters import REPEATS
from experiments.stopping import UNDECIDED
from service.recording.infos import SweepInfo
from service.recording.store import Store
from service.results.rungs import RungCounts, rung_counts


class RungReader:
    """Reads the rungs of a sweep, maybe many times; the sweep file and the brackets, which stay the same, once.

    store: where the sweep is recorded.
    sweep: the sweep.
    """

    def __init__(self, store: Store, sweep: SweepInfo) -> None:
        self._store, self._sweep = store, sweep
        self._firsts: Integers | None = None
        self._repeats = 0  # not read yet

    def read(self) -> list[RungCounts]:
        """Return the trials at each rung, as far as they are decided; empty for a sweep without rungs."""
        sweep = self._sweep
        if not sweep.rungs or sweep.trial_count is None:
            return []
        steps = self._store.steps(sweep)
        is_decided = steps is not None
        if steps is None:
            steps = np.full(sweep.trial_count, UNDECIDED, dtype=np.int64)
        if not self._repeats:
            self._repeats = _repeats(self._store.spec(sweep))
        firsts = self._firsts
        if firsts is None:
            found = self._store.brackets(sweep)
            firsts = np.zeros_like(steps) if found is None else found
            if found is not None or is_decided:  # until then the driver may not have written its file
                self._firsts = firsts
        return rung_counts(sweep.rungs, firsts, steps, self._repeats)


def recorded_rungs(store: Store, sweep: SweepInfo) -> list[RungCounts]:
    """Return the trials at each rung, as far as they are decided; empty for a sweep without rungs."""
    return RungReader(store, sweep).read()


def _repeats(spec: Mapping[str, Any]) -> int:
    """Return the number of trials of each configuration of a sweep file: its seeds and folds."""
    grid = spec.get("grid") or {}
    blocks = grid if isinstance(grid, list) else [grid]
    return max(math.prod(_length(block[name]) for name in REPEATS if name in block) for block in blocks)


def _length(raw: Any) -> int:
    axis = parse_axis(raw)
    return axis.length if isinstance(axis, LazyAxis) else len(axis)
