"""The rungs of a recorded search by halving or Hyperband."""

from __future__ import annotations

import numpy as np

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
    return rung_counts(sweep.rungs, np.zeros_like(steps) if firsts is None else firsts, steps)
