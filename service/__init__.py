"""Run and record sweeps. In Python, `sweep` runs one, `load_sweep` finds a recorded one, `compare` compares several."""

from service.api import ComparedSweeps, RecordedSweep, compare, load_sweep, sweep

__all__ = ["ComparedSweeps", "RecordedSweep", "compare", "load_sweep", "sweep"]
